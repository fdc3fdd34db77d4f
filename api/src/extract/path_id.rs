//! Ids in paths.

use std::str::FromStr;

use axum::{
    RequestPartsExt,
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use jobs::domain::ids::InvalidId;

use crate::problem::{Kind, Problem};

/// A typed id. What is no id of the kind names nothing that exists: 404, as for another tenant's.
#[derive(Debug, Clone, Copy)]
pub struct PathId<T>(pub T);

impl<S: Send + Sync, T: FromStr<Err = InvalidId>> FromRequestParts<S> for PathId<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Path(text) = parts.extract::<Path<String>>().await.map_err(|_| Problem::new(Kind::NotFound))?;
        text.parse().map(Self).map_err(|invalid| Problem::new(Kind::NotFound).detail(format!("{invalid}.")))
    }
}
