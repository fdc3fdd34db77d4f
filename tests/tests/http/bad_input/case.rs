//! One refused request, and short ways to write it.

use reqwest::Method;
use serde_json::Value;

/// An id of the right form, without its prefix, that names nothing.
pub const NOBODY: &str = "01983f2ab3c47d1e9f00a1b2c3d4e5f6";

/// Whose key a case sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    None,
    Admin,
    /// The tenant whose request is refused.
    Tenant,
    /// Text in place of `Bearer …`.
    Raw(&'static str),
}

/// One refused request.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: &'static str,
    pub method: Method,
    pub path: String,
    pub key: Key,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Vec<u8>>,
    pub status: u16,
    /// Last part of the problem's `type`.
    pub problem: &'static str,
    /// A field that `errors` must name; empty for none.
    pub field: &'static str,
}

impl Case {
    pub fn new(
        name: &'static str,
        method: Method,
        path: impl Into<String>,
        status: u16,
        problem: &'static str,
    ) -> Self {
        let (headers, body) = (Vec::new(), None);
        Self { name, method, path: path.into(), key: Key::Tenant, headers, body, status, problem, field: "" }
    }

    pub fn get(name: &'static str, path: impl Into<String>, status: u16, problem: &'static str) -> Self {
        Self::new(name, Method::GET, path, status, problem)
    }

    pub fn post(
        name: &'static str,
        path: impl Into<String>,
        body: impl Into<Vec<u8>>,
        status: u16,
        problem: &'static str,
    ) -> Self {
        Self::new(name, Method::POST, path, status, problem).header("content-type", "application/json").body(body)
    }

    /// A JSON body with a field that is refused.
    pub fn field(name: &'static str, path: &str, body: Value, field: &'static str) -> Self {
        Self { field, ..Self::post(name, path, body.to_string(), 422, "invalid-request") }
    }

    pub fn patch(self) -> Self {
        Self { method: Method::PATCH, ..self }
    }

    pub fn key(self, key: Key) -> Self {
        Self { key, ..self }
    }

    pub fn about(self, field: &'static str) -> Self {
        Self { field, ..self }
    }

    /// Sets a header; a content type replaces the one before.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(before, _)| *before != name);
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: Some(body.into()), ..self }
    }
}
