//! Stripe's webhook signature and the few fields of its events that decide a tenant's plan.

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;

use super::{event::EventType, plan::Plan};

/// Oldest and newest signature accepted, in seconds (Stripe's own default).
pub const TOLERANCE_SECONDS: i64 = 300;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    #[error("the Stripe-Signature header is missing or malformed")]
    Malformed,
    #[error("the signature's timestamp is more than {TOLERANCE_SECONDS} seconds away")]
    Stale,
    #[error("no signature matches")]
    Mismatch,
}

/// Checks `Stripe-Signature: t=…,v1=…` over `{t}.{body}` against each of the secrets, in constant time.
pub fn verify(header: &str, body: &[u8], secrets: &[String], now: DateTime<Utc>) -> Result<(), BadSignature> {
    let mut timestamp = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", value)) => timestamp = value.parse::<i64>().ok(),
            Some(("v1", value)) => signatures.extend(hex::decode(value).ok()),
            _ => {}
        }
    }
    let timestamp = timestamp.ok_or(BadSignature::Malformed)?;
    if signatures.is_empty() {
        return Err(BadSignature::Malformed);
    }
    if now.timestamp().abs_diff(timestamp) > TOLERANCE_SECONDS.unsigned_abs() {
        return Err(BadSignature::Stale);
    }
    let matches = |secret: &String| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
        mac.update(timestamp.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
    };
    if secrets.iter().any(matches) { Ok(()) } else { Err(BadSignature::Mismatch) }
}

/// An event as Stripe sends it; fields the product does not use are kept in the payload and ignored here.
#[derive(Debug, Clone, Deserialize)]
pub struct StripeEvent {
    pub id: String,
    #[serde(rename = "type")]
    pub event_type: String,
    /// Unix seconds.
    pub created: i64,
    pub data: StripeData,
}

#[derive(Debug, Clone, Deserialize)]
pub struct StripeData {
    pub object: Value,
}

impl StripeEvent {
    pub fn created_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.created, 0).unwrap_or_default()
    }

    pub fn customer(&self) -> Option<&str> {
        let customer = &self.data.object["customer"];
        customer.as_str().or_else(|| customer["id"].as_str())
    }

    /// `metadata.tenant_id`, or `client_reference_id` of a checkout session.
    pub fn tenant_reference(&self) -> Option<&str> {
        let object = &self.data.object;
        object["metadata"]["tenant_id"].as_str().or_else(|| object["client_reference_id"].as_str())
    }

    /// What the event means; `None` for a type that is kept and ignored.
    pub fn change(&self) -> Option<Change<'_>> {
        let object = &self.data.object;
        let price = object["items"]["data"][0]["price"]["id"].as_str();
        let status = object["status"].as_str();
        let subscription = object["id"].as_str();
        Some(match self.event_type.as_str() {
            "checkout.session.completed" => Change::Linked { subscription: object["subscription"].as_str() },
            "customer.subscription.created" => {
                Change::Subscribed { event: EventType::SubscriptionCreated, subscription, price, status }
            }
            "customer.subscription.updated" => {
                Change::Subscribed { event: EventType::SubscriptionUpdated, subscription, price, status }
            }
            "customer.subscription.deleted" => Change::Canceled,
            "invoice.paid" => Change::Paid,
            "invoice.payment_failed" => Change::PaymentFailed,
            _ => return None,
        })
    }
}

/// A change of a tenant's subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// A customer finished the checkout; from now on events are matched by customer id.
    Linked {
        subscription: Option<&'a str>,
    },
    Subscribed {
        event: EventType,
        subscription: Option<&'a str>,
        price: Option<&'a str>,
        status: Option<&'a str>,
    },
    Canceled,
    Paid,
    PaymentFailed,
}

/// Which plan each Stripe price buys.
#[derive(Debug, Clone, Default)]
pub struct PriceList {
    pub starter: Vec<String>,
    pub pro: Vec<String>,
}

impl PriceList {
    /// `None` for a price nobody configured: an error to look at, never a silent downgrade.
    pub fn plan(&self, price: &str) -> Option<Plan> {
        if self.starter.iter().any(|known| known == price) {
            Some(Plan::Starter)
        } else if self.pro.iter().any(|known| known == price) {
            Some(Plan::Pro)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(secret: &str, at: i64, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{at}.{body}").as_bytes());
        format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()))
    }

    #[test]
    fn only_a_fresh_signature_by_a_known_secret_passes() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let secrets = ["old".to_owned(), "new".to_owned()];
        let check = |header: &str, body: &str| verify(header, body.as_bytes(), &secrets, now);
        assert_eq!(check(&sign("new", 1_800_000_000, "{}"), "{}"), Ok(()));
        assert_eq!(check(&sign("old", 1_799_999_700, "{}"), "{}"), Ok(()));
        assert_eq!(check(&sign("new", 1_799_999_699, "{}"), "{}"), Err(BadSignature::Stale));
        assert_eq!(check(&sign("new", 1_800_000_000, "{}"), "{ }"), Err(BadSignature::Mismatch));
        assert_eq!(check(&sign("other", 1_800_000_000, "{}"), "{}"), Err(BadSignature::Mismatch));
        assert_eq!(check("v1=00", "{}"), Err(BadSignature::Malformed));
        assert_eq!(check("", "{}"), Err(BadSignature::Malformed));
        assert_eq!(verify(&sign("", 1_800_000_000, "{}"), b"{}", &[], now), Err(BadSignature::Mismatch));
    }
}
