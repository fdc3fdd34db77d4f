//! Cookies of the console: what a browser sends, and what it is told to keep.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use jobs::store::sessions;

/// The session's token.
const SESSION: &str = "metachat_session";
/// By which a browser is known again at its next log-in.
const DEVICE: &str = "metachat_device";
/// A device that is not seen for as long is a stranger.
const DEVICE_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Makes browsers insist on https, on this very host and on all its paths.
const SECURE_PREFIX: &str = "__Host-";
/// Digits of a token.
const TOKEN_CHARS: usize = 64;

/// How cookies are written.
#[derive(Debug, Clone, Copy)]
pub struct Cookies {
    /// Whether they are for https only.
    pub secure: bool,
}

impl Cookies {
    /// The session's token that a request carries.
    pub fn session(self, headers: &HeaderMap) -> Option<&str> {
        self.token(headers, SESSION)
    }

    pub fn device(self, headers: &HeaderMap) -> Option<&str> {
        self.token(headers, DEVICE)
    }

    pub fn keep_session(self, token: &str) -> HeaderValue {
        self.written(SESSION, token, sessions::LIFE)
    }

    pub fn keep_device(self, token: &str) -> HeaderValue {
        self.written(DEVICE, token, DEVICE_LIFE)
    }

    pub fn forget_session(self) -> HeaderValue {
        self.written(SESSION, "", Duration::ZERO)
    }

    fn token<'a>(self, headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = pairs.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let token = pairs.find_map(|(named, value)| (self.name(name) == named).then_some(value))?;
        (token.len() == TOKEN_CHARS && token.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(token)
    }

    fn name(self, name: &str) -> String {
        format!("{}{name}", if self.secure { SECURE_PREFIX } else { "" })
    }

    fn written(self, name: &str, value: &str, life: Duration) -> HeaderValue {
        let secure = if self.secure { "; Secure" } else { "" };
        let (name, seconds) = (self.name(name), life.as_secs());
        let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
        HeaderValue::from_str(&cookie).expect("names and tokens are visible ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secure_cookie_is_bound_to_its_host_and_an_insecure_one_is_not_taken_for_it() {
        let token = "0f".repeat(32);
        let headers =
            |cookie: String| HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&cookie).unwrap())]);
        let (plain, secure) = (Cookies { secure: false }, Cookies { secure: true });
        let kept = secure.keep_session(&token);
        let expected = "; Path=/; HttpOnly; SameSite=Lax; Max-Age=43200; Secure";
        assert_eq!(kept.to_str().unwrap(), format!("__Host-metachat_session={token}{expected}"));
        assert!(!plain.keep_session(&token).to_str().unwrap().contains("Secure"));

        let sent = headers(format!("a=b; __Host-metachat_session={token}"));
        assert_eq!((secure.session(&sent), plain.session(&sent)), (Some(token.as_str()), None));
        let sent = headers(format!("metachat_session={token}"));
        assert_eq!((secure.session(&sent), plain.session(&sent)), (None, Some(token.as_str())));
        for odd in ["", "short", &"x".repeat(64)] {
            assert_eq!(plain.session(&headers(format!("metachat_session={odd}"))), None, "{odd}");
        }
    }
}
