//! Bodies that stop coming: each piece must follow the one before within a time.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::{
    problem::{Kind, Problem},
    state::AppState,
};

/// Ends the body of a client that falls silent; its request is refused, whatever the handler made of it. The whole of a
/// body must come within the time that a handler has.
pub async fn limit(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let late = Arc::new(AtomicBool::new(false));
    let request = request.map(|body| Body::new(TimedBody::new(body, state.body_timeout, late.clone())));
    let response = next.run(request).await;
    match late.load(Ordering::Relaxed) && response.status().is_client_error() {
        true => Problem::new(Kind::SlowBody).into_response(),
        false => response,
    }
}

struct TimedBody {
    body: Body,
    pause: Duration,
    /// Runs while a piece is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    late: Arc<AtomicBool>,
}

impl TimedBody {
    fn new(body: Body, pause: Duration, late: Arc<AtomicBool>) -> Self {
        Self { body, pause, timer: None, late }
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(piece) = Pin::new(&mut this.body).poll_frame(context) {
            this.timer = None;
            return Poll::Ready(piece.map(|piece| piece.map_err(Into::into)));
        }
        let pause = this.pause;
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + pause)));
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => {
                this.late.store(true, Ordering::Relaxed);
                Poll::Ready(Some(Err("the rest of the body did not come in time".into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
