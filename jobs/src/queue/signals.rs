//! Signals by Redis pub/sub, each with a poll as a fallback on the receiver's side.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::StreamExt;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};
use uuid::Uuid;

use super::lanes::Lanes;

/// Wait before a lost subscription is tried again.
const RECONNECT: Duration = Duration::from_millis(500);

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

/// What there is to be told about a message or search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// It moved on: whoever follows it reads its state again.
    Progress,
    /// It came to its end: whoever waits for nothing else need not look before.
    Ended,
    /// Its owner ended it: whoever works on it may stop.
    Cancelled,
}

impl Topic {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Progress => "progress",
            Self::Ended => "ended",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Those who listen, by what they listen for.
type Listened = HashMap<(Topic, Uuid), watch::Sender<()>>;

/// Tells those who listen for a message or search, and nobody else.
#[derive(Clone, Default)]
pub struct Announcements(Arc<Mutex<Listened>>);

impl Announcements {
    /// Subscribes to topics, over one connection.
    pub fn start(lanes: &Lanes, topics: &[Topic]) -> (Self, JoinHandle<()>) {
        let announcements = Self::default();
        let (all, one) = (announcements.clone(), announcements.clone());
        let topics: HashMap<String, Topic> = topics.iter().map(|&topic| (lanes.topic_channel(topic), topic)).collect();
        let task = tokio::spawn(listen(
            lanes.clone(),
            topics.keys().cloned().collect(),
            // What was published while the subscription was down is unknown, so everybody looks.
            move || all.0.lock().expect("not poisoned").values().for_each(|changes| changes.send_replace(())),
            move |channel, payload| {
                if let Some(&topic) = topics.get(channel) {
                    one.tell(topic, payload);
                }
            },
        ));
        (announcements, task)
    }

    /// Begins to listen for one topic of a subject. Listen before reading the state that is waited for, so that no change falls
    /// between.
    pub fn listen(&self, topic: Topic, subject: Uuid) -> Listener {
        let changes = self.0.lock().expect("not poisoned").entry((topic, subject)).or_default().subscribe();
        Listener { subject: (topic, subject), changes, announcements: self.clone() }
    }

    fn tell(&self, topic: Topic, payload: &str) {
        let Ok(subject) = Uuid::try_parse(payload) else { return };
        if let Some(changes) = self.0.lock().expect("not poisoned").get(&(topic, subject)) {
            changes.send_replace(());
        }
    }
}

/// Somebody who waits for one topic of a subject.
pub struct Listener {
    subject: (Topic, Uuid),
    changes: watch::Receiver<()>,
    announcements: Announcements,
}

impl Listener {
    /// Waits until something was told about the subject since the last call, at most `fallback`. Either way the caller reads
    /// the state again; returns whether something was told.
    pub async fn told(&mut self, fallback: Duration) -> bool {
        tokio::time::timeout(fallback, self.changes.changed()).await.is_ok()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut listened = self.announcements.0.lock().expect("not poisoned");
        if listened.get(&self.subject).is_some_and(|changes| changes.receiver_count() <= 1) {
            listened.remove(&self.subject);
        }
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
        match lanes.wire().subscribe(&channels).await {
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
