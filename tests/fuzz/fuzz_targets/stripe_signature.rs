//! `Stripe-Signature`: nothing verifies but what the secret signed.

#![no_main]

use chrono::DateTime;
use hmac::{Hmac, KeyInit, Mac};
use jobs::domain::stripe::verify;
use libfuzzer_sys::fuzz_target;
use sha2::Sha256;

const AT: i64 = 1_800_000_000;

fuzz_target!(|input: (&str, &[u8])| {
    let (header, body) = input;
    let now = DateTime::from_timestamp(AT, 0).expect("a time");
    let secrets = ["whsec_0f7c5d".to_owned()];
    assert!(verify(header, body, &secrets, now).is_err());
    let mut mac = Hmac::<Sha256>::new_from_slice(secrets[0].as_bytes()).expect("a key");
    mac.update(format!("{AT}.").as_bytes());
    mac.update(body);
    let signed = format!("t={AT},v1={}", hex::encode(mac.finalize().into_bytes()));
    assert_eq!(verify(&signed, body, &secrets, now), Ok(()));
    assert!(verify(&signed, &[body, b" "].concat(), &secrets, now).is_err());
});
