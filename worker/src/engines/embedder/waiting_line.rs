//! The texts waiting for the model: two bounded lines, queries always served first.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use jobs::ports::{EmbedError, Embedding};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Most queries in the line; at 2 ms each the last one waits half a second.
const QUERY_PLACES: usize = 256;
/// Most document texts in the line.
const DOCUMENT_PLACES: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Query,
    Document,
}

/// What a thread takes from the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    All,
    Queries,
}

/// Whoever finds a line full waits for a place.
pub struct WaitingLine {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    /// Wakes the threads that serve queries only.
    query_arrived: Condvar,
    query_places: Arc<Semaphore>,
    document_places: Arc<Semaphore>,
}

#[derive(Default)]
struct Waiting {
    queries: VecDeque<Request>,
    documents: VecDeque<Request>,
    closed: bool,
}

struct Request {
    text: String,
    reply: oneshot::Sender<Result<Embedding, EmbedError>>,
    /// Given back when the request is served or dropped.
    _place: OwnedSemaphorePermit,
}

impl Default for WaitingLine {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            arrived: Condvar::new(),
            query_arrived: Condvar::new(),
            query_places: Arc::new(Semaphore::new(QUERY_PLACES)),
            document_places: Arc::new(Semaphore::new(DOCUMENT_PLACES)),
        }
    }
}

impl WaitingLine {
    /// Queues a text and waits for its vector. A caller that stops waiting costs the model nothing.
    pub async fn ask(&self, class: Class, text: String) -> Result<Embedding, EmbedError> {
        let places = match class {
            Class::Query => &self.query_places,
            Class::Document => &self.document_places,
        };
        let stopped = || EmbedError("the embedder is shutting down".into());
        let place = Arc::clone(places).acquire_owned().await.map_err(|_| stopped())?;
        let (reply, answer) = oneshot::channel();
        let request = Request { text, reply, _place: place };
        {
            let mut waiting = self.lock();
            if waiting.closed {
                return Err(stopped());
            }
            match class {
                Class::Query => waiting.queries.push_back(request),
                Class::Document => waiting.documents.push_back(request),
            }
        }
        // Nobody may wait on the line of queries: whoever serves everything takes it then.
        if class == Class::Query {
            self.query_arrived.notify_one();
        }
        self.arrived.notify_one();
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Serves requests on this thread until the line is closed. A panic of the model fails its text only.
    pub fn serve(&self, serves: Serves, mut embed: impl FnMut(&str) -> Result<Embedding, EmbedError>) {
        while let Some(request) = self.next(serves) {
            let embedding = catch_unwind(AssertUnwindSafe(|| embed(&request.text)));
            let embedding = embedding.unwrap_or_else(|_| Err(EmbedError("the model panicked".into())));
            if request.reply.send(embedding).is_err() {
                tracing::debug!("nobody waits for a vector any more");
            }
        }
    }

    /// Drops what waits and lets every serving thread return after the text in hand.
    pub fn close(&self) {
        let mut waiting = self.lock();
        *waiting = Waiting { closed: true, ..Waiting::default() };
        drop(waiting);
        self.arrived.notify_all();
        self.query_arrived.notify_all();
    }

    /// The next request somebody still waits for; `None` once closed.
    fn next(&self, serves: Serves) -> Option<Request> {
        let mut waiting = self.lock();
        loop {
            if waiting.closed {
                return None;
            }
            let next = match serves {
                Serves::All => waiting.queries.pop_front().or_else(|| waiting.documents.pop_front()),
                Serves::Queries => waiting.queries.pop_front(),
            };
            match next {
                Some(request) if request.reply.is_closed() => {}
                Some(request) => return Some(request),
                None => {
                    let line = match serves {
                        Serves::All => &self.arrived,
                        Serves::Queries => &self.query_arrived,
                    };
                    waiting = line.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// A std mutex: nothing is awaited while it is held, and nothing that holds it can leave it half changed.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
