//! `Idempotency-Key`.

#![no_main]

use api::extract::IdempotencyKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(parts) = fuzz::head("idempotency-key", data) else { return };
    if let Ok(IdempotencyKey(key)) = fuzz::extract(parts) {
        let key = key.expect("the header is there");
        assert!((1..=255).contains(&key.len()) && !key.contains('\0'));
        assert_eq!(key.as_bytes(), data);
    }
});
