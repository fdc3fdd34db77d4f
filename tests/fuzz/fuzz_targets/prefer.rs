//! `Prefer: wait=N`: never longer than the longest wait.

#![no_main]

use std::time::Duration;

use api::extract::PreferWait;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(parts) = fuzz::head("prefer", data) else { return };
    let Ok(PreferWait(wait)) = fuzz::extract(parts);
    assert!(wait.is_none_or(|wait| wait <= Duration::from_secs(60)));
});
