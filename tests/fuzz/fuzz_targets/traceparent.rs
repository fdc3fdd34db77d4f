//! `traceparent`: the trace that jobs carry is well-formed, whatever came.

#![no_main]

use api::extract::Traceparent;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(parts) = fuzz::head("traceparent", data) else { return };
    let Ok(trace) = fuzz::extract::<Traceparent>(parts);
    let trace = trace.to_string();
    assert_eq!(trace.len(), 55);
    assert!(trace.starts_with("00-") && trace.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-')));
});
