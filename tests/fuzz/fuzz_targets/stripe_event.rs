//! Events of Stripe, which are signed and still hold what they like.

#![no_main]

use jobs::domain::stripe::StripeEvent;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(event) = serde_json::from_slice::<StripeEvent>(data) else { return };
    let _ = (event.created_at(), event.customer(), event.tenant_reference(), event.change());
});
