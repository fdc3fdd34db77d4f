//! The catalogue of problems. A slug is part of the API and never changes its meaning.

use axum::http::StatusCode;

/// Begins every problem's `type`.
pub const BASE: &str = "https://metachat.dev/problems/";

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $status:ident, $slug:literal, $title:literal;)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Kind {
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            pub const fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug,)+ }
            }

            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }

            /// One sentence for the API's description.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

kinds! {
    /// The body is not JSON.
    MalformedJson = BAD_REQUEST, "malformed-json", "The body is not valid JSON";
    /// The request cannot be read at all, such as a multipart body that breaks off.
    MalformedRequest = BAD_REQUEST, "malformed-request", "The request cannot be read";
    /// The signature of a webhook to metachat is missing, old or wrong.
    BadSignature = BAD_REQUEST, "bad-signature", "The signature does not match";
    /// No key or session, one that is unknown or has ended, or one of another audience.
    Unauthorized = UNAUTHORIZED, "unauthorized", "A valid key is required";
    /// The email or the password is wrong, or the account cannot log in.
    BadCredentials = UNAUTHORIZED, "bad-credentials", "The email or the password is wrong";
    /// The plan's limit is reached; `meter`, `limit` and `current` say which.
    PlanLimit = PAYMENT_REQUIRED, "plan-limit", "The plan's limit is reached";
    /// The request came without HTTPS, which the operator asks for.
    HttpsRequired = FORBIDDEN, "https-required", "HTTPS is required";
    /// The tenant is switched off, or is being erased.
    TenantDisabled = FORBIDDEN, "tenant-disabled", "The tenant is disabled";
    /// The key or the role does not allow this; `scope` says what it lacks.
    InsufficientScope = FORBIDDEN, "insufficient-scope", "The credential may not do this";
    /// Only an owner, logged in, decides about owners.
    OwnerRequired = FORBIDDEN, "owner-required", "Only an owner decides about owners";
    /// A session's request without its CSRF token, or from a page of another origin.
    Csrf = FORBIDDEN, "csrf", "The request is not known to be meant";
    /// No such thing, or it belongs to another tenant.
    NotFound = NOT_FOUND, "not-found", "Not found";
    /// The path does not take this method; `Allow` lists those it takes.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed";
    /// The body stopped coming and was not waited for any longer.
    SlowBody = REQUEST_TIMEOUT, "slow-body", "The body did not come in time";
    /// The first request with this Idempotency-Key has not finished.
    IdempotencyInFlight = CONFLICT, "idempotency-in-flight", "The first request with this key is in flight";
    /// The same work waits under another job already.
    AlreadyQueued = CONFLICT, "already-queued", "The same work is queued already";
    /// The message has ended and cannot be changed any more.
    AlreadyEnded = CONFLICT, "already-ended", "The message has ended already";
    /// The key was revoked, has expired or was rotated already.
    KeyEnded = CONFLICT, "key-ended", "The key has ended";
    /// The tenant has a user with this email.
    EmailTaken = CONFLICT, "email-taken", "There is a user with this email";
    /// The tenant has a channel of this account.
    AccountTaken = CONFLICT, "account-taken", "There is a channel of this account";
    /// The team would be left without an owner who can log in.
    LastOwner = CONFLICT, "last-owner", "An owner must remain";
    /// A fixed number of such things per tenant is reached; `limit` says which.
    LimitReached = CONFLICT, "limit-reached", "There are too many of these";
    /// The body is larger than the route takes.
    PayloadTooLarge = PAYLOAD_TOO_LARGE, "payload-too-large", "The body is too large";
    /// The body's content type is missing or not one the route takes.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The content type is not supported";
    /// The request was read and a field, header or parameter is not acceptable; `errors` names each.
    InvalidRequest = UNPROCESSABLE_ENTITY, "invalid-request", "The request is not valid";
    /// The Idempotency-Key was used with another request.
    IdempotencyMismatch = UNPROCESSABLE_ENTITY, "idempotency-mismatch", "The key was used with another request";
    /// Too many requests a minute; `violated-policies` names the limits, `Retry-After` says when to come back.
    RateLimited = TOO_MANY_REQUESTS, "rate-limited", "Too many requests";
    /// Too many attempts to log in failed; `Retry-After` says when the next is heard.
    TooManyAttempts = TOO_MANY_REQUESTS, "too-many-attempts", "Too many attempts";
    /// A fault of metachat; the request's id helps to find it.
    Internal = INTERNAL_SERVER_ERROR, "internal", "Something went wrong";
    /// Something the request needs is away or busy; `Retry-After` says when to come back.
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "Not available right now";
    /// Too much work is waiting already: nothing was accepted; `Retry-After` says when to come back.
    Overloaded = SERVICE_UNAVAILABLE, "overloaded", "Too busy to accept more";
    /// The request took too long and was given up.
    Timeout = SERVICE_UNAVAILABLE, "timeout", "The request took too long";
    /// The operator has not configured what the request needs.
    NotConfigured = SERVICE_UNAVAILABLE, "not-configured", "Not configured";
}

impl Kind {
    /// The `type` member.
    pub fn uri(self) -> String {
        format!("{BASE}{}", self.slug())
    }

    /// The kind of a refusal made below the handlers, known by its status only.
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::REQUEST_TIMEOUT => Self::SlowBody,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::UNPROCESSABLE_ENTITY => Self::InvalidRequest,
            StatusCode::TOO_MANY_REQUESTS => Self::RateLimited,
            StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            status if status.is_client_error() => Self::MalformedRequest,
            _ => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn slugs_are_unique_and_speak_url() {
        let slugs: HashSet<_> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
        assert!(slugs.iter().all(|slug| slug.chars().all(|c| c.is_ascii_lowercase() || c == '-')));
    }
}
