//! What the fuzz targets share: requests made of the fuzzer's bytes, for the extractors that take a request apart.

use axum::{
    body::Body,
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, Request, header::CONTENT_TYPE, request::Parts},
};
use futures::executor::block_on;

/// The head of a request with one line of one header; `None` where HTTP itself does not carry these bytes.
pub fn head(name: &'static str, value: &[u8]) -> Option<Parts> {
    let mut request = Request::new(());
    request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_bytes(value).ok()?);
    Some(request.into_parts().0)
}

/// A request with a body of the type that the bytes up to the first line break claim.
pub fn request(data: &[u8]) -> Option<Request<Body>> {
    let end = data.iter().position(|byte| *byte == b'\n')?;
    let mut request = Request::new(Body::from(data[end + 1..].to_vec()));
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_bytes(&data[..end]).ok()?);
    Some(request)
}

/// Runs an extractor as the router does.
pub fn extract<T: FromRequestParts<()>>(mut parts: Parts) -> Result<T, T::Rejection> {
    block_on(T::from_request_parts(&mut parts, &()))
}
