//! What a connection may do: slow heads and bodies, large heads, too many at once, and the drain.

use std::time::{Duration, Instant};

use tests::Stack;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Asker, problem};

pub async fn connect(stack: &Stack) -> TcpStream {
    let address = stack.api_url.strip_prefix("http://").expect("an http URL");
    TcpStream::connect(address).await.expect("a connection")
}

/// All that comes until the other side closes, at most `limit` from now.
async fn answer(connection: &mut TcpStream, limit: Duration) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(limit, connection.read_to_end(&mut bytes)).await;
    assert!(read.is_ok(), "the connection is still open after {limit:?}: {}", String::from_utf8_lossy(&bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_head_that_trickles_in_is_not_waited_for_and_others_are_served_meanwhile() {
    let stack = Stack::builder().workers(0).env("API_HEADER_TIMEOUT_SECONDS", "2").start().await;
    let started = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut connection = connect(&stack).await;
        connection.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n").await.expect("a beginning");
        slow.push(connection);
    }
    let asker = Asker::anonymous(&stack.api_url);
    // A byte now and then must not win time.
    let mut open = slow.len();
    while started.elapsed() < Duration::from_secs(10) && open > 0 {
        for connection in &mut slow {
            let _ = connection.write_all(b"X").await;
        }
        assert_eq!(asker.get("/healthz").await.status(), 200);
        tokio::time::sleep(Duration::from_millis(250)).await;
        let mut still = Vec::new();
        for mut connection in slow {
            let mut byte = [0; 1];
            match tokio::time::timeout(Duration::from_millis(1), connection.read(&mut byte)).await {
                Err(_) => still.push(connection),
                Ok(ended) => assert!(!matches!(ended, Ok(1..)), "no answer to half a request"),
            }
        }
        slow = still;
        open = slow.len();
    }
    assert_eq!(open, 0, "connections that never finish a head are still open after {:?}", started.elapsed());
    assert!(started.elapsed() > Duration::from_millis(1_500), "{:?}", started.elapsed());
    stack.finish().await;
}

#[tokio::test]
async fn a_body_that_stops_is_refused_and_the_connection_ends() {
    let stack = Stack::builder().workers(0).env("API_BODY_TIMEOUT_SECONDS", "1").start().await;
    let (_, tenant) = stack.tenant("Slow").await;
    for (path, content_type, begun) in [
        ("/v1/messages", "application/json", "{\"text\":"),
        ("/v1/documents", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"f"),
    ] {
        let mut connection = connect(&stack).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: {content_type}\r\n\
             Content-Length: 500\r\n\r\n{begun}",
            tenant.key()
        );
        connection.write_all(head.as_bytes()).await.expect("a beginning");
        let answered = answer(&mut connection, Duration::from_secs(10)).await;
        assert!(answered.starts_with("HTTP/1.1 408 "), "{path}: {answered}");
        assert!(answered.contains("https://metachat.dev/problems/slow-body"), "{path}: {answered}");
    }
    assert_eq!(stack.database.count("select count(*) from messages").await, 0);
    stack.finish().await;
}

#[tokio::test]
async fn a_large_head_is_refused() {
    let stack = Stack::builder().workers(0).start().await;
    let mut connection = connect(&stack).await;
    let head = format!("GET /healthz HTTP/1.1\r\nHost: a\r\nX-Large: {}\r\n\r\n", "a".repeat(40 * 1024));
    // The answer may come before all of it was written.
    let _ = connection.write_all(head.as_bytes()).await;
    let answered = answer(&mut connection, Duration::from_secs(10)).await;
    assert!(answered.starts_with("HTTP/1.1 431 "), "{answered}");
    let mut connection = connect(&stack).await;
    let many: String = (0..200).map(|n| format!("X-{n}: a\r\n")).collect();
    connection.write_all(format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{many}\r\n").as_bytes()).await.expect("a head");
    let answered = answer(&mut connection, Duration::from_secs(10)).await;
    assert!(answered.starts_with("HTTP/1.1 431 "), "{answered}");
    stack.finish().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_until_one_ends() {
    let stack = Stack::builder().workers(0).env("API_MAX_CONNECTIONS", "3").start().await;
    // Whatever the start left open is gone.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut connection = connect(&stack).await;
        connection.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("a request");
        let mut first = [0; 12];
        connection.read_exact(&mut first).await.expect("an answer");
        held.push(connection);
    }
    let mut beyond = connect(&stack).await;
    beyond.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("a request");
    let mut byte = [0; 1];
    assert!(tokio::time::timeout(Duration::from_secs(1), beyond.peek(&mut byte)).await.is_err(), "it waits");
    held.pop();
    assert!(answer(&mut beyond, Duration::from_secs(10)).await.starts_with("HTTP/1.1 200 "));
    drop(held);
    stack.finish().await;
}

#[tokio::test]
async fn a_drain_finishes_what_has_begun_and_takes_nothing_new() {
    let mut stack = Stack::builder().workers(0).start().await;
    let (_, tenant) = stack.tenant("Draining").await;
    let mut connection = connect(&stack).await;
    let body = "{\"text\":\"begun before the drain\"}";
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        tenant.key(),
        body.len()
    );
    connection.write_all(head.as_bytes()).await.expect("a head");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let idle = connect(&stack).await;
    let api = stack.api.as_mut().expect("an api");
    api.signal(15);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(api.is_running(), "a request has begun");
    let address = stack.api_url.strip_prefix("http://").expect("an http URL");
    assert!(TcpStream::connect(address).await.is_err(), "nothing new is taken");
    connection.write_all(body.as_bytes()).await.expect("a body");
    let answered = answer(&mut connection, Duration::from_secs(10)).await;
    assert!(answered.starts_with("HTTP/1.1 202 "), "{answered}");
    assert!(stack.api.as_mut().expect("an api").terminate(Duration::from_secs(10)).await.success());
    drop(idle);
    assert_eq!(stack.database.count("select count(*) from messages").await, 1);
}

#[tokio::test]
async fn what_no_handler_sees_is_a_problem_with_a_request_id_too() {
    let stack = Stack::builder().workers(0).start().await;
    let asker = Asker::anonymous(&stack.api_url);
    let (_, tenant) = stack.tenant("Problems").await;
    let with_key = asker.with_key(tenant.key());
    let json = [("content-type", "application/json")];
    use reqwest::Method;
    for (expected, response) in [
        ("not-found", asker.get("/v1/nothing").await),
        ("not-found", asker.get("/v1/%ff").await),
        ("method-not-allowed", asker.send(Method::PUT, "/v1/messages", &[], None).await),
        ("method-not-allowed", asker.send(Method::from_bytes(b"BREW").unwrap(), "/healthz", &[], None).await),
        ("unauthorized", asker.get("/v1/events").await),
        ("unsupported-media-type", with_key.send(Method::POST, "/v1/messages", &[], None).await),
        ("malformed-json", with_key.send(Method::POST, "/v1/messages", &json, None).await),
        ("invalid-request", with_key.get("/v1/events?limit=%ff").await),
        ("invalid-request", with_key.get("/v1/events?limit=1&limit=2").await),
        ("not-found", with_key.get("/v1/messages/%ff%fe").await),
    ] {
        let path = response.url().path().to_owned();
        assert_eq!(problem(response).await.0, expected, "{path}");
    }
    let allowed = asker.send(Method::PUT, "/v1/messages", &[], None).await;
    assert_eq!(super::header(&allowed, "allow"), "POST");
    let large = format!("{{\"text\":\"{}\"}}", "a".repeat(6 * 1024 * 1024));
    let request = asker.client.post(format!("{}/v1/messages", stack.api_url)).bearer_auth(tenant.key());
    let refused = request.header("content-type", "application/json").body(large).send().await.expect("an answer");
    assert_eq!(problem(refused).await.0, "payload-too-large");
    stack.finish().await;
}
