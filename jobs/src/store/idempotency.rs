//! Saved responses of requests that carry an `Idempotency-Key`.

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::{Scope, StoreError, secrets::Column};
use crate::domain::secret::{Sealed, Vault};

/// Who sends a request: a tenant's keys and the operator's do not meet. The operator's are told apart by the tenant that the
/// transaction is of, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    Tenant,
    Operator,
}

impl Audience {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Operator => "operator",
        }
    }
}

/// A request that may be sent again.
#[derive(Debug, Clone)]
pub struct Keyed {
    pub audience: Audience,
    pub key: String,
    /// SHA-256 of what makes it the same request.
    pub fingerprint: [u8; 32],
}

/// A response as it was given first.
#[derive(Debug, Clone)]
pub struct Saved {
    pub status: u16,
    pub location: Option<String>,
    /// JSON, byte for byte.
    pub body: Body,
}

#[derive(Debug, Clone)]
pub enum Body {
    Plain(String),
    /// Shows a secret; sealed where it is stored.
    Secret(SecretString),
}

/// What is known of a key.
#[derive(Debug, Clone)]
pub enum Known {
    /// Never seen: the caller goes on and saves its response in this transaction.
    New,
    /// Another request with this key has not finished.
    InFlight,
    /// The same request finished with this response.
    Replay(Saved),
    /// Another request used the key.
    Mismatch,
}

/// Claims a key until the transaction ends. Whoever refuses the request rolls back before it answers: a lock that is left to
/// the pool to drop makes the next request find this one in flight.
pub async fn claim<S: Scope>(tx: &mut S, vault: &Vault, keyed: &Keyed) -> Result<Known, StoreError> {
    let tenant = tx.owner().map(|tenant| tenant.uuid());
    let free = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(
             hashtextextended(concat_ws(':', $1::text, coalesce($2::uuid::text, '-'), $3::text), 0)) as "free!""#,
        keyed.audience.as_str(),
        tenant,
        keyed.key,
    )
    .fetch_one(tx.connection())
    .await?;
    if !free {
        return Ok(Known::InFlight);
    }
    let saved = sqlx::query!(
        // Either part goes along the unique index, which `is not distinct from` would not.
        r#"select id as "id!", fingerprint as "fingerprint!", status as "status!", location,
             response::text as response, sealed
           from idempotency_keys where tenant_id = $1 and audience = $2 and key = $3
           union all
           select id, fingerprint, status, location, response::text, sealed
           from idempotency_keys where $1 is null and tenant_id is null and audience = $2 and key = $3"#,
        tenant,
        keyed.audience.as_str(),
        keyed.key,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(saved) = saved else { return Ok(Known::New) };
    if saved.fingerprint != keyed.fingerprint {
        return Ok(Known::Mismatch);
    }
    let body = match (saved.response, saved.sealed) {
        (Some(response), _) => Body::Plain(response),
        (None, sealed) => {
            let place = Column::SavedResponse.place(tx.owner(), saved.id);
            Body::Secret(vault.open(place, &Sealed::from_bytes(sealed.unwrap_or_default()))?)
        }
    };
    Ok(Known::Replay(Saved { status: saved.status.cast_unsigned(), location: saved.location, body }))
}

pub async fn save<S: Scope>(tx: &mut S, vault: &Vault, keyed: &Keyed, response: &Saved) -> Result<(), StoreError> {
    let (id, tenant) = (Uuid::now_v7(), tx.owner());
    let (plain, sealed) = match &response.body {
        Body::Plain(body) => (Some(body.as_str()), None),
        Body::Secret(body) => (None, Some(vault.seal(Column::SavedResponse.place(tenant, id), body))),
    };
    sqlx::query!(
        "insert into idempotency_keys
           (id, tenant_id, audience, key, fingerprint, status, location, response, sealed)
         values ($1, $2, $3, $4, $5, $6, $7, $8::text::json, $9)",
        id,
        tenant.map(|tenant| tenant.uuid()),
        keyed.audience.as_str(),
        keyed.key,
        &keyed.fingerprint[..],
        response.status.cast_signed(),
        response.location,
        plain,
        sealed.as_ref().map(Sealed::as_bytes),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

impl Body {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Plain(body) => body,
            Self::Secret(body) => body.expose_secret(),
        }
    }
}
