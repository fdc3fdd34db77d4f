//! Signals by Redis pub/sub, each with a poll as a fallback on the receiver's side.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::StreamExt;
use tokio::{
    sync::{Notify, broadcast},
    task::JoinHandle,
};
use uuid::Uuid;

use super::lanes::Lanes;

/// Wait before a lost subscription is tried again.
const RECONNECT: Duration = Duration::from_millis(500);
/// Progress signals a slow waiter may lag behind before it falls back to its poll.
const PROGRESS_BUFFER: usize = 4096;

/// Wakes the lanes' workers of this process when there is something to claim.
#[derive(Clone, Default)]
pub struct WakeUps(Arc<Mutex<HashMap<String, Arc<Notify>>>>);

impl WakeUps {
    /// Subscribes to the lanes of these kinds, over one connection.
    pub fn start(lanes: &Lanes, kinds: &[&'static str]) -> (Self, JoinHandle<()>) {
        let channels: Vec<String> = kinds.iter().map(|kind| lanes.wake_channel(kind)).collect();
        let notifies = channels.iter().map(|channel| (channel.clone(), Arc::default())).collect();
        let wake_ups = Self(Arc::new(Mutex::new(notifies)));
        let listener = wake_ups.clone();
        let task = tokio::spawn(listen(
            lanes.clone(),
            channels,
            // What was published while the subscription was down is unknown, so everybody looks.
            {
                let listener = listener.clone();
                move || listener.wake_all()
            },
            move |channel, _| listener.wake(channel),
        ));
        (wake_ups, task)
    }

    /// What a lane's worker waits on. A permit is kept while it is not waiting, so no signal is lost.
    pub fn of(&self, lanes: &Lanes, kind: &str) -> Arc<Notify> {
        self.0.lock().expect("not poisoned").entry(lanes.wake_channel(kind)).or_default().clone()
    }

    fn wake(&self, channel: &str) {
        if let Some(notify) = self.0.lock().expect("not poisoned").get(channel) {
            notify.notify_one();
        }
    }

    fn wake_all(&self) {
        self.0.lock().expect("not poisoned").values().for_each(|notify| notify.notify_one());
    }
}

/// Tells waiting requests that a message or search moved on.
#[derive(Clone)]
pub struct Progress(broadcast::Sender<Uuid>);

impl Progress {
    pub fn start(lanes: &Lanes) -> (Self, JoinHandle<()>) {
        let (sender, _) = broadcast::channel(PROGRESS_BUFFER);
        let progress = Self(sender.clone());
        let task = tokio::spawn(listen(
            lanes.clone(),
            vec![lanes.progress_channel()],
            || (),
            move |_, payload| {
                if let Ok(subject) = Uuid::try_parse(payload) {
                    // An error says that nobody waits.
                    let _ = sender.send(subject);
                }
            },
        ));
        (progress, task)
    }

    /// Begins to listen. Subscribe before reading the state that is waited for, so that no change falls between.
    pub fn subscribe(&self) -> broadcast::Receiver<Uuid> {
        self.0.subscribe()
    }
}

/// Waits until `subject` moved on, at most `fallback`; returns early after a lag, when anything may have happened.
pub async fn moved_on(receiver: &mut broadcast::Receiver<Uuid>, subject: Uuid, fallback: Duration) {
    let heard = async {
        while let Ok(moved) = receiver.recv().await {
            if moved == subject {
                return;
            }
        }
    };
    // A closed channel or a lag ends `heard` early too; a short pause keeps the caller from spinning then.
    if tokio::time::timeout(fallback, heard).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

async fn listen(
    lanes: Lanes,
    channels: Vec<String>,
    subscribed: impl Fn() + Send + 'static,
    heard: impl Fn(&str, &str) + Send + 'static,
) {
    let mut down = false;
    loop {
        match subscribe(&lanes, &channels).await {
            Ok(mut subscription) => {
                down = false;
                subscribed();
                let mut messages = subscription.on_message();
                while let Some(message) = messages.next().await {
                    let payload: String = message.get_payload().unwrap_or_default();
                    heard(message.get_channel_name(), &payload);
                }
                tracing::warn!("subscription to Redis lost");
            }
            // Said once per outage, not at every try.
            Err(error) if !down => {
                down = true;
                tracing::warn!(%error, "cannot subscribe to Redis, will try again");
            }
            Err(_) => {}
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn subscribe(lanes: &Lanes, channels: &[String]) -> Result<redis::aio::PubSub, redis::RedisError> {
    let mut subscription = lanes.client().get_async_pubsub().await?;
    subscription.subscribe(channels).await?;
    Ok(subscription)
}
