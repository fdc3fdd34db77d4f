//! JSON bodies, refused with the path of the field that is wrong.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::JsonRejection},
    http::{HeaderMap, StatusCode, header},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::reason;
use crate::problem::{Kind, Problem};

/// A JSON body.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(Kind::UnsupportedMediaType).detail("Send the body as application/json."));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|refused| match refused.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Kind::PayloadTooLarge),
            _ => Problem::new(Kind::MalformedRequest).detail("The body broke off.").cause(refused),
        })?;
        parse(&bytes).map(Self)
    }
}

/// Whether the body claims to be JSON.
pub fn is_json(headers: &HeaderMap) -> bool {
    let claimed = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = claimed.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let axum::Json(value) = axum::Json::from_bytes(bytes).map_err(refusal)?;
    // Postgres holds no NUL in text or jsonb. Raw ones are no JSON; escaped ones are rare enough to look twice.
    if bytes.windows(6).any(|window| window == b"\\u0000") {
        let body = serde_json::from_slice(bytes)
            .map_err(|error| Problem::new(Kind::MalformedJson).detail(error.to_string()))?;
        if let Some(path) = nul_in(&body) {
            return Err(Problem::field(path, "contains a NUL character"));
        }
    }
    Ok(value)
}

fn refusal(rejection: JsonRejection) -> Problem {
    let source = std::error::Error::source(&rejection).map(ToString::to_string).unwrap_or_default();
    match rejection {
        JsonRejection::JsonDataError(_) => Problem::fields(vec![reason::field_error(&source)]),
        _ => Problem::new(Kind::MalformedJson).detail(source),
    }
}

/// The path of the first text that contains a NUL.
fn nul_in(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(at, item)| nul_in(item).map(|path| format!("[{at}]{}", dotted(&path))))
        }
        Value::Object(members) => members.iter().find_map(|(name, member)| match name.contains('\0') {
            true => Some(String::new()),
            false => nul_in(member).map(|path| format!("{name}{}", dotted(&path))),
        }),
        _ => None,
    }
}

fn dotted(path: &str) -> String {
    match path.is_empty() || path.starts_with('[') {
        true => path.to_owned(),
        false => format!(".{path}"),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only parsed")]
    struct Body {
        text: String,
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only parsed")]
    struct Inner {
        count: u32,
    }

    fn refused(body: &str) -> (Kind, String) {
        let problem = parse::<Body>(body.as_bytes()).unwrap_err();
        (problem.kind(), format!("{problem:?}"))
    }

    #[test]
    fn broken_json_and_wrong_fields_are_told_apart() {
        for broken in ["", "{", "nul", "{\"text\":\"a\"} x", "\u{0}"] {
            assert_eq!(refused(broken).0, Kind::MalformedJson, "{broken}");
        }
        for (wrong, field) in [
            ("{}", "text"),
            (r#"{"text":5}"#, "text"),
            (r#"{"text":"a","inner":{"count":"b"}}"#, "inner.count"),
            (r#"{"text":"a","inner":{"count":1,"more":2}}"#, "inner.more"),
            (r#"{"text":"a","txet":"b"}"#, "txet"),
            (r#"{"text":"a\u0000"}"#, "text"),
        ] {
            let (kind, shown) = refused(wrong);
            assert_eq!(kind, Kind::InvalidRequest, "{wrong}");
            assert!(shown.contains(&format!("field: \"{field}\"")), "{wrong}: {shown}");
        }
        assert!(parse::<Body>(br#"{"text":"a\\u0000"}"#).is_ok());
    }

    #[test]
    fn a_nul_is_found_wherever_it_hides() {
        assert_eq!(nul_in(&json!({ "a": [{ "b": "x" }, { "b": "\0" }] })).as_deref(), Some("a[1].b"));
        assert_eq!(nul_in(&json!({ "a": { "\0": 1 } })).as_deref(), Some("a"));
        assert_eq!(nul_in(&json!({ "a": [1, null, "b"] })), None);
    }
}
