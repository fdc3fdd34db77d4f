//! Query parameters.

use axum::{extract::FromRequestParts, http::request::Parts};
use serde::de::DeserializeOwned;

use super::reason;
use crate::problem::{Kind, Problem};

#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(refused) => Err(match std::error::Error::source(&refused) {
                Some(source) => Problem::fields(vec![reason::field_error(&source.to_string())]),
                None => Problem::new(Kind::MalformedRequest),
            }),
        }
    }
}
