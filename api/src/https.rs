//! HTTPS, which proxies end before metachat: who comes without it is sent there, or refused.

use std::str::FromStr;

use axum::{
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    facts::Facts,
    problem::{Kind, Problem},
    routes::probes,
    state::AppState,
};

/// A year, by which browsers keep to HTTPS.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// What happens to requests that did not come by HTTPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpsMode {
    /// They are served.
    Off,
    /// Those that only read are sent to the same address by HTTPS; the others, which have carried their secrets in the
    /// clear already, are refused.
    Redirect,
    /// They are refused.
    Require,
}

impl FromStr for HttpsMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "redirect" => Ok(Self::Redirect),
            "require" => Ok(Self::Require),
            _ => Err("use off, redirect or require".to_owned()),
        }
    }
}

/// Probes are served in every mode: what asks them stands beside the process, not before the proxy.
pub async fn enforce(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if state.https == HttpsMode::Off
        || Facts::of(request.extensions()).client().secure
        || probes::PATHS.contains(&request.uri().path())
    {
        return next.run(request).await;
    }
    let reads = matches!(request.method(), &Method::GET | &Method::HEAD);
    match (state.https, secure_address(&request)) {
        (HttpsMode::Redirect, Some(location)) if reads => {
            (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, location)]).into_response()
        }
        _ => Problem::new(Kind::HttpsRequired).into_response(),
    }
}

/// Tells a browser that came by HTTPS to keep to it.
pub fn mark(facts: &Facts, response: &mut Response) {
    if facts.client().secure {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
}

/// The same address by HTTPS, at its usual port; `None` when the request names no host.
fn secure_address(request: &Request) -> Option<HeaderValue> {
    let host = request.headers().get(header::HOST)?.to_str().ok()?.parse::<Authority>().ok()?;
    // An authority may hold a user name, which is no host.
    if host.as_str().contains('@') {
        return None;
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    HeaderValue::from_str(&format!("https://{}{path}", host.host())).ok()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn the_secure_address_is_that_of_the_host_and_nothing_else() {
        let address = |host: &str, path: &str| {
            let request = Request::builder().uri(path).header("host", host).body(Body::empty()).unwrap();
            secure_address(&request).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(address("a.example:8080", "/x?y=1").as_deref(), Some("https://a.example/x?y=1"));
        assert_eq!(address("[2001:db8::1]:80", "/").as_deref(), Some("https://[2001:db8::1]/"));
        assert_eq!(address("a@b.example", "/"), None);
        assert_eq!(address("a.example/evil", "/"), None);
        assert_eq!(address("", "/"), None);
    }
}
