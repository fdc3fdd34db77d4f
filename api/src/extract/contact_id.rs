//! A tenant's own id of its customer, in a path.

use axum::{
    RequestPartsExt,
    extract::{FromRequestParts, Path},
    http::request::Parts,
};

use crate::problem::{Kind, Problem};

/// Longest id of a contact, in characters.
const MAX_CHARS: usize = 200;

/// Percent-decoded. What no contact can be called names nothing that exists: 404.
#[derive(Debug, Clone)]
pub struct ContactId(pub String);

impl<S: Send + Sync> FromRequestParts<S> for ContactId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Path(text) = parts.extract::<Path<String>>().await.map_err(|_| Problem::new(Kind::NotFound))?;
        match (1..=MAX_CHARS).contains(&text.chars().count()) && !text.contains('\0') {
            true => Ok(Self(text)),
            false => Err(Problem::not_found("contact")),
        }
    }
}
