//! A refusal frees its key before it is answered.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::Stack;
use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::{Sender, message, tenant};

/// How much later Postgres hears of a rollback.
const HELD_BACK: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_refusal_frees_the_key_before_it_is_answered() {
    let mut stack = Stack::builder().workers(0).start().await;
    let sender = tenant(&stack).await;
    let held_back = hold_rollbacks_back(stack.env("DATABASE_URL")).await;
    stack.set_env("DATABASE_URL", held_back);
    let (_replica, url) = stack.replica().await;
    let sender: Sender = sender.at(&url);

    let nowhere = json!({ "text": "one", "conversation_id": "conv_01983f2ab3c47d1e9f00a1b2c3d4e5f6" });
    let begun = Instant::now();
    let refused = sender.post("/v1/messages", "order-1", &nowhere).await;
    assert_eq!((refused.status, refused.problem().as_str()), (404, "not-found"));
    assert!(begun.elapsed() >= HELD_BACK, "the rollback is waited for");
    let accepted = sender.post("/v1/messages", "order-1", &message("one")).await;
    assert_eq!((accepted.status, accepted.replayed), (202, false), "{accepted:?}");

    // What ends in a replay or a mismatch holds the key no longer either.
    assert!(sender.post("/v1/messages", "order-1", &message("one")).await.is_replay_of(&accepted));
    let other = sender.post("/v1/messages", "order-1", &message("two")).await;
    assert_eq!((other.status, other.problem().as_str()), (422, "idempotency-mismatch"), "{other:?}");
    assert!(sender.post("/v1/messages", "order-1", &message("one")).await.is_replay_of(&accepted));
}

/// The address of the same database through a line that is slow with rollbacks.
async fn hold_rollbacks_back(database: &str) -> String {
    let (front, rest) = database.rsplit_once('@').expect("a login");
    let (server, name) = rest.split_once('/').expect("a database");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = listener.local_addr().unwrap();
    let server = server.to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            let ((mut asks, mut hears), (mut answers, mut asked)) = (client.into_split(), server.into_split());
            tokio::spawn(async move { io::copy(&mut answers, &mut hears).await });
            tokio::spawn(async move {
                let mut buffer = [0; 64 * 1024];
                while let Ok(read @ 1..) = asks.read(&mut buffer).await {
                    if buffer[..read].windows(8).any(|word| word == b"ROLLBACK") {
                        sleep(HELD_BACK).await;
                    }
                    if asked.write_all(&buffer[..read]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    format!("{front}@{near}/{name}")
}
