//! A collector that is away, or that hangs, costs spans and nothing else.

use std::{net::TcpListener, time::Instant};

use super::*;

/// Longest time a process may take to end: its own work, and five seconds for the last spans.
const ENDED: Duration = Duration::from_secs(12);

async fn lost(stack: &Stack, outcome: &str) -> u64 {
    let metrics = reqwest::get(format!("{}/metrics", stack.workers[0].probes)).await.unwrap().text().await.unwrap();
    let series = format!("metachat_trace_spans_total{{outcome=\"{outcome}\"}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&series));
    value.unwrap_or_else(|| panic!("no {series} in {metrics}")).parse().unwrap()
}

async fn answers_come_and_spans_are_lost(endpoint: &str, outcome: &str) {
    let stack = traced(endpoint).env("OTEL_BSP_MAX_QUEUE_SIZE", "8").start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    upload(&client).await;
    for n in 1..=3 {
        let answer = ask(&client, &traceparent(n, true)).await.answer.unwrap();
        assert!(answer.text.unwrap().contains("60 days"));
    }
    tests::eventually("spans are counted as lost", LIMIT, async || (lost(&stack, outcome).await > 0).then_some(()))
        .await;
    assert_eq!(lost(&stack, "exported").await, 0);
    let begun = Instant::now();
    stack.finish().await;
    assert!(begun.elapsed() < 2 * ENDED, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_collector_that_is_down_costs_its_batches() {
    let endpoint = format!("http://127.0.0.1:{}", tests::free_port());
    answers_come_and_spans_are_lost(&endpoint, "failed").await;
}

#[tokio::test]
async fn a_collector_that_hangs_costs_what_the_buffer_cannot_hold() {
    // Connections wait in the backlog, and nobody answers them.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", deaf.local_addr().unwrap());
    answers_come_and_spans_are_lost(&endpoint, "dropped").await;
}

#[tokio::test]
async fn what_cannot_be_spoken_is_said_at_the_start() {
    for (name, value) in [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_TRACES_SAMPLER", "often")] {
        let output =
            std::process::Command::new(std::path::Path::new(&tests::setting("METACHAT_BIN_DIR")).join("metachat-api"))
                .envs([("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"), (name, value)])
                .arg("openapi")
                .output()
                .unwrap();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && log.contains(name) && log.contains(value), "{output:?}");
    }
}
