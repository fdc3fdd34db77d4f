use std::time::{Duration, Instant};

use jobs::ports::{SendError, SignedRequest, WebhookSender};
use loadtest::receiver::{Behaviour, Receiver, Signature};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use worker::engines::webhook_sender::{HttpWebhookSender, WebhookConfig};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn sender(allow: &str) -> HttpWebhookSender {
    HttpWebhookSender::connect(&WebhookConfig { webhook_timeout: 500, egress_allow: allow.parse().unwrap() }).unwrap()
}

fn request(url: &str) -> SignedRequest {
    SignedRequest {
        url: url.into(),
        id: "evt_1".into(),
        body: r#"{"type":"message.sent"}"#.into(),
        secret: SECRET.into(),
        traceparent: None,
    }
}

/// Answers one connection with these bytes and keeps what was asked.
async fn answering(reply: Vec<u8>) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://localhost:{}/hook", listener.local_addr().unwrap().port());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 4096];
        let length = stream.read(&mut asked).await.unwrap();
        // The sender hangs up once it has read enough.
        drop(stream.write_all(&reply).await);
        String::from_utf8_lossy(&asked[..length]).into_owned()
    });
    (url, asked)
}

#[tokio::test]
async fn a_delivery_is_signed_and_named() {
    let receiver = Receiver::start().await.unwrap();
    receiver.set_secret(SECRET);
    let reply = sender("127.0.0.0/8").send(request(&receiver.url())).await.unwrap();
    assert_eq!(reply.status, 200);
    let deliveries = receiver.deliveries();
    assert_eq!((deliveries[0].id.as_str(), &deliveries[0].signature), ("evt_1", &Signature::Valid));
    let header = |name: &str| deliveries[0].headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("user-agent"), concat!("metachat/", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn failures_come_back_as_replies_with_their_wait() {
    let receiver = Receiver::start().await.unwrap();
    receiver.set_behaviour(Behaviour { statuses: vec![503], retry_after: Some(7), ..Behaviour::default() });
    let reply = sender("127.0.0.0/8").send(request(&receiver.url())).await.unwrap();
    assert_eq!((reply.status, reply.retry_after), (503, Some(Duration::from_secs(7))));
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_date_is_understood() {
    let reply = "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\nretry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\ncontent-length: 0\r\n\r\n";
    let (url, asked) = answering(reply.into()).await;
    let reply = sender("127.0.0.0/8, ::1").send(request(&url)).await.unwrap();
    assert_eq!((reply.status, reply.retry_after), (302, Some(Duration::ZERO)));
    assert!(asked.await.unwrap().starts_with("POST /hook HTTP/1.1"));
}

#[tokio::test]
async fn only_the_beginning_of_a_reply_is_read() {
    let endless =
        [b"HTTP/1.1 500 No\r\ncontent-length: 90000000\r\n\r\n".to_vec(), "ž".repeat(200_000).into_bytes()].concat();
    let (url, _asked) = answering(endless).await;
    let reply = sender("127.0.0.0/8, ::1").send(request(&url)).await.unwrap();
    assert_eq!((reply.status, reply.body), (500, "ž".repeat(1024)));
}

#[tokio::test]
async fn private_addresses_are_refused_however_they_are_spelt() {
    let receiver = Receiver::start().await.unwrap();
    let port = receiver.url().rsplit(':').next().unwrap().to_owned();
    let sender = sender("");
    for host in ["127.0.0.1", "2130706433", "localhost", "[::ffff:127.0.0.1]", "localhost.localdomain", "ip6-localhost"]
    {
        let sent = sender.send(request(&format!("http://{host}:{port}"))).await;
        let resolvable = !matches!(host, "localhost.localdomain" | "ip6-localhost");
        match sent {
            Err(SendError::Refused(_)) => {}
            Err(SendError::Unreachable(_)) if !resolvable => {}
            other => panic!("{host}: {other:?}"),
        }
    }
    assert!(receiver.deliveries().is_empty());
}

#[tokio::test]
async fn a_slow_or_absent_receiver_is_unreachable_in_time() {
    let receiver = Receiver::start().await.unwrap();
    receiver.set_behaviour(Behaviour { delay: Duration::from_secs(5), ..Behaviour::default() });
    let sender = sender("127.0.0.0/8");
    let begun = Instant::now();
    let slow = sender.send(request(&receiver.url())).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(slow.to_string(), "no reply within 500 ms");
    let absent = format!("http://127.0.0.1:{}/hook?token=hidden", tests::free_port());
    let absent = sender.send(request(&absent)).await.unwrap_err().to_string();
    assert!(absent.starts_with("could not connect") && !absent.contains("hidden"), "{absent}");
}
