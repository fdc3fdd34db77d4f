//! A webhook receiver: checks Standard Webhooks signatures, keeps what came, and misbehaves when told to.

mod behaviour;
mod counts;
mod delivery;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use chrono::Utc;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::server::Server;
pub use behaviour::Behaviour;
pub use counts::Counts;
pub use delivery::{Delivery, Signature};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where to listen; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub bind: SocketAddr,
    /// The whsec_ secret; without it signatures are not checked
    #[arg(long)]
    pub secret: Option<String>,
    #[command(flatten)]
    pub behaviour: Behaviour,
}

/// A running receiver; dropping it stops the server.
#[derive(Debug)]
pub struct Receiver {
    server: Server,
    inbox: Inbox,
}

/// What was waited for did not come; the deliveries that did come are inside.
#[derive(Debug, thiserror::Error)]
#[error("{} deliveries came within {limit:?}, more were expected", deliveries.len())]
pub struct TooFew {
    pub deliveries: Vec<Delivery>,
    pub limit: Duration,
}

/// A watch channel is both the store and the wake-up of those who wait.
type Inbox = Arc<watch::Sender<Contents>>;

#[derive(Debug, Default)]
struct Contents {
    secret: Option<String>,
    behaviour: Behaviour,
    answered: usize,
    attempts: HashMap<String, usize>,
    counts: Counts,
    /// Deliveries are counted and forgotten.
    forgetful: bool,
    deliveries: Vec<Delivery>,
}

impl Receiver {
    /// Starts on a free loopback port, answering 200 and checking nothing until a secret is set.
    pub async fn start() -> io::Result<Self> {
        Self::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Behaviour::default()).await
    }

    pub async fn bind(bind: SocketAddr, behaviour: Behaviour) -> io::Result<Self> {
        let inbox = Arc::new(watch::Sender::new(Contents { behaviour, ..Contents::default() }));
        let router = Router::new().route("/hook", post(receive)).with_state(inbox.clone());
        Ok(Self { server: Server::start(bind, router).await?, inbox })
    }

    /// Starts on a free loopback port and keeps ids and counts only, as a load of any length needs it.
    pub async fn counting(behaviour: Behaviour) -> io::Result<Self> {
        let receiver = Self::bind(SocketAddr::from(([127, 0, 0, 1], 0)), behaviour).await?;
        receiver.inbox.send_modify(|contents| contents.forgetful = true);
        Ok(receiver)
    }

    /// What came so far, in numbers.
    pub fn counts(&self) -> Counts {
        self.inbox.borrow().counts.clone()
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.server.address())
    }

    /// From now on deliveries are checked against this secret; a bad signature is answered with 401.
    pub fn set_secret(&self, secret: &str) {
        self.inbox.send_modify(|contents| contents.secret = Some(secret.to_owned()));
    }

    /// Starts the new behaviour's script from its beginning.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        self.inbox.send_modify(|contents| {
            contents.behaviour = behaviour;
            contents.answered = 0;
        });
    }

    /// Everything that came, refused and repeated deliveries included, oldest first.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.inbox.borrow().deliveries.clone()
    }

    /// Deliveries whose webhook-id had come before.
    pub fn duplicates(&self) -> usize {
        let contents = self.inbox.borrow();
        contents.deliveries.len() - contents.attempts.len()
    }

    /// Waits for `n` deliveries in all and returns everything that has come by then.
    pub async fn wait_for(&self, n: usize, limit: Duration) -> Result<Vec<Delivery>, TooFew> {
        self.wait_until(limit, |deliveries| deliveries.len() >= n).await
    }

    /// Waits until the deliveries are as wanted.
    pub async fn wait_until(
        &self,
        limit: Duration,
        mut wanted: impl FnMut(&[Delivery]) -> bool,
    ) -> Result<Vec<Delivery>, TooFew> {
        let mut contents = self.inbox.subscribe();
        let waited = timeout(limit, contents.wait_for(|contents| wanted(&contents.deliveries))).await;
        match waited {
            Ok(Ok(contents)) => Ok(contents.deliveries.clone()),
            _ => Err(TooFew { deliveries: self.deliveries(), limit }),
        }
    }
}

async fn receive(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> Response {
    let at = Utc::now();
    let mut status = StatusCode::OK;
    let mut behaviour = Behaviour::default();
    inbox.send_modify(|contents| {
        behaviour = contents.behaviour.clone();
        let signature = Signature::check(contents.secret.as_deref(), &headers, &body);
        status = match signature {
            Signature::Invalid(_) => StatusCode::UNAUTHORIZED,
            _ => behaviour.status(contents.answered),
        };
        contents.answered += 1;
        let delivery = Delivery::new(at, headers, &body, signature, status.as_u16(), &mut contents.attempts);
        contents.counts.add(&delivery);
        if !contents.forgetful {
            contents.deliveries.push(delivery);
        }
    });
    sleep(behaviour.delay).await;
    match behaviour.retry_after {
        Some(wait) if !status.is_success() => (status, [(RETRY_AFTER, wait.to_string())]).into_response(),
        _ => status.into_response(),
    }
}

/// Prints deliveries until Ctrl-C.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let receiver = Receiver::bind(args.bind, args.behaviour).await?;
    if let Some(secret) = &args.secret {
        receiver.set_secret(secret);
    }
    println!("receiving webhooks at {}", receiver.url());
    let mut contents = receiver.inbox.subscribe();
    let mut printed = 0;
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    loop {
        for delivery in &contents.borrow_and_update().deliveries[printed..] {
            println!("{delivery}");
            printed += 1;
        }
        tokio::select! {
            _ = contents.changed() => {}
            signal = &mut interrupted => {
                signal?;
                println!("{printed} deliveries, {} duplicates", receiver.duplicates());
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
}

#[cfg(test)]
mod tests;
