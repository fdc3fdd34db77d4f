//! Requests that may be sent again: with an `Idempotency-Key`, a repetition changes nothing and gets the first response.
//!
//! The key is claimed, the effect made and the response saved in one transaction, so a crash leaves all or nothing. A refusal
//! saves nothing and rolls back before it is answered: the key is free when the client hears of it.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jobs::{
    domain::{audit::Actor, secret::Vault},
    queue::Work,
    store::{
        Scope, StoreError,
        idempotency::{self, Audience, Body, Keyed, Known, Saved},
    },
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    identity::Author,
    problem::{Kind, Problem},
};

pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A request's key, when it has one, and what makes another request the same.
#[derive(Debug, Clone)]
pub struct Once(Option<Keyed>);

impl Once {
    pub const NO_KEY: Self = Self(None);

    /// `fingerprint` is the SHA-256 of method, path, query and body, the body byte for byte as it came.
    pub fn new(key: String, fingerprint: [u8; 32]) -> Self {
        Self(Some(Keyed { audience: Audience::Tenant, key, fingerprint }))
    }

    /// Only the same author repeats the request: for responses that show what others must not see.
    pub fn by(self, author: &Author) -> Self {
        Self(self.0.map(|keyed| {
            let (audience, actor) = match author.actor {
                Actor::Operator(key) => {
                    (Audience::Operator, key.map_or("environment".to_owned(), |key| key.to_string()))
                }
                Actor::Key(key) => (Audience::Tenant, key.to_string()),
                Actor::User(user) => (Audience::Tenant, user.to_string()),
            };
            let fingerprint = Sha256::new().chain_update(keyed.fingerprint).chain_update(actor).finalize().into();
            Keyed { audience, fingerprint, ..keyed }
        }))
    }

    /// Makes the effect and commits it together with the response, or gives the first response again.
    pub async fn run<S: Scope>(
        self,
        vault: &Vault,
        mut work: Work<S>,
        effect: impl AsyncFnOnce(&mut Work<S>) -> Result<Answer, Problem>,
    ) -> Result<Answer, Problem> {
        match self.answer(vault, &mut work, effect).await {
            Ok(answer) if !answer.replayed => {
                work.commit().await?;
                Ok(answer)
            }
            // A connection that is gone took the transaction along.
            ended => {
                let _ = work.rollback().await;
                ended
            }
        }
    }

    async fn answer<S: Scope>(
        self,
        vault: &Vault,
        work: &mut Work<S>,
        effect: impl AsyncFnOnce(&mut Work<S>) -> Result<Answer, Problem>,
    ) -> Result<Answer, Problem> {
        if let Some(keyed) = &self.0 {
            match idempotency::claim(work.tx(), vault, keyed).await? {
                Known::New => {}
                Known::Replay(saved) => return Ok(Answer { saved, replayed: true }),
                Known::InFlight => return Err(Problem::new(Kind::IdempotencyInFlight)),
                Known::Mismatch => return Err(Problem::new(Kind::IdempotencyMismatch)),
            }
        }
        let answer = effect(work).await?;
        if let Some(keyed) = &self.0 {
            idempotency::save(work.tx(), vault, keyed, &answer.saved).await?;
        }
        Ok(answer)
    }
}

/// A response that can be given again.
#[derive(Debug, Clone)]
pub struct Answer {
    saved: Saved,
    pub replayed: bool,
}

impl Answer {
    pub fn new(status: StatusCode, body: &impl Serialize) -> Result<Self, Problem> {
        let body = Body::Plain(serde_json::to_string(body).map_err(StoreError::from)?);
        Ok(Self { saved: Saved { status: status.as_u16(), location: None, body }, replayed: false })
    }

    /// A response that shows a secret.
    pub fn secret(status: StatusCode, body: &impl Serialize) -> Result<Self, Problem> {
        let mut answer = Self::new(status, body)?;
        if let Body::Plain(body) = answer.saved.body {
            answer.saved.body = Body::Secret(body.into());
        }
        Ok(answer)
    }

    /// With a `Location`.
    pub fn at(mut self, location: String) -> Self {
        self.saved.location = Some(location);
        self
    }

    pub fn body(&self) -> &str {
        self.saved.body.as_str()
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.saved.status).unwrap_or(StatusCode::OK);
        let json = HeaderValue::from_static("application/json");
        let mut response = (status, [(header::CONTENT_TYPE, json)], self.body().to_owned()).into_response();
        if let Some(Ok(location)) = self.saved.location.map(HeaderValue::try_from) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        if self.replayed {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}
