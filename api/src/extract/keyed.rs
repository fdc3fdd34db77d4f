//! A body together with the `Idempotency-Key` of its request.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, BodyDataStream, Bytes},
    extract::{FromRequest, Request},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use futures::{Stream, stream};
use sha2::{Digest, Sha256};
use utoipa::IntoParams;

use crate::{
    once::Once,
    problem::{Kind, Problem},
    state::AppState,
};

const HEADER: &str = "idempotency-key";
/// Longest key, in characters.
const MAX_CHARS: usize = 255;
/// Most bytes behind what a body's reader needed, such as the end of a form.
const MAX_REST: usize = 64 * 1024;

/// Describes the header.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "describes the header, which is read by hand")]
pub struct KeyHeader {
    /// Makes a repetition safe: the same key with the same request, byte for byte, gets the first response again, with
    /// `Idempotency-Replayed: true`. 1 to 255 visible ASCII characters, kept for at least 24 hours; refusals are not kept.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 255,
        pattern = "^[ -~]+$",
        example = "order-4711"
    )]
    key: Option<String>,
}

/// A body read by `T`, and the key that makes sending it again safe.
#[derive(Debug)]
pub struct Keyed<T> {
    pub once: Once,
    pub body: T,
}

impl<T: FromRequest<AppState> + Send> FromRequest<AppState> for Keyed<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Response> {
        let (request, watched) = Watched::begin(request).map_err(IntoResponse::into_response)?;
        let body = T::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        let once = watched.end().await.map_err(IntoResponse::into_response)?;
        Ok(Self { once, body })
    }
}

/// For a route that wants no body: whatever comes is a part of what makes it the same request.
#[derive(Debug)]
pub struct NoBody;

impl FromRequest<AppState> for NoBody {
    type Rejection = Infallible;

    async fn from_request(_: Request, _: &AppState) -> Result<Self, Infallible> {
        Ok(Self)
    }
}

/// A request whose body is hashed while it is read.
pub struct Watched(Option<(String, Arc<Mutex<Tee>>)>);

impl Watched {
    /// Puts itself between the body and its reader, when the request has a key.
    pub fn begin(request: Request) -> Result<(Request, Self), Problem> {
        let Some(key) = key(request.headers())? else { return Ok((request, Self(None))) };
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let hasher = Sha256::new().chain_update(format!("{} {path}\n", parts.method));
        let tee = Arc::new(Mutex::new(Tee { body: body.into_data_stream(), hasher }));
        let body = Body::from_stream(stream::poll_fn({
            let tee = tee.clone();
            move |context| poll(&tee, context)
        }));
        Ok((Request::from_parts(parts, body), Self(Some((key, tee)))))
    }

    /// Takes in what the reader left of the body: the same body has the same fingerprint, wherever its pieces ended.
    pub async fn end(self) -> Result<Once, Problem> {
        let Some((key, tee)) = self.0 else { return Ok(Once::NO_KEY) };
        let mut left = MAX_REST;
        while let Some(piece) = std::future::poll_fn(|context| poll(&tee, context)).await {
            let piece = piece
                .map_err(|error| Problem::new(Kind::MalformedRequest).detail("The body broke off.").cause(error))?;
            left = left.checked_sub(piece.len()).ok_or_else(|| Problem::new(Kind::PayloadTooLarge))?;
        }
        let fingerprint = lock(&tee).hasher.clone().finalize().into();
        Ok(Once::new(key, fingerprint))
    }
}

struct Tee {
    body: BodyDataStream,
    hasher: Sha256,
}

/// A std mutex: it is held for one poll, which awaits nothing.
fn lock(tee: &Mutex<Tee>) -> std::sync::MutexGuard<'_, Tee> {
    tee.lock().unwrap_or_else(PoisonError::into_inner)
}

fn poll(tee: &Mutex<Tee>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, axum::Error>>> {
    let mut tee = lock(tee);
    let piece = ready!(Pin::new(&mut tee.body).poll_next(context));
    if let Some(Ok(bytes)) = &piece {
        tee.hasher.update(bytes);
    }
    Poll::Ready(piece)
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(header) = headers.get(HEADER) else { return Ok(None) };
    let allowed =
        |key: &&str| (1..=MAX_CHARS).contains(&key.len()) && key.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    match header.to_str().ok().filter(allowed) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Problem::field("Idempotency-Key", format!("must have 1 to {MAX_CHARS} visible ASCII characters"))),
    }
}
