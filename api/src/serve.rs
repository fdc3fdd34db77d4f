//! Listening, serving and draining.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::{config::ConnectionConfig, proxies::Peer, router, state::AppState};

/// Largest head of a request, in bytes, and most headers in it. More is answered with 431 and no document, by the
/// connection itself: there is no request yet.
const MAX_HEAD: usize = 32 * 1024;
const MAX_HEADERS: usize = 100;
/// Largest part of a body read ahead of the handler.
const READ_AHEAD: usize = 256 * 1024;
/// Before the next try when a connection cannot be accepted, for want of file descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, then lets requests finish for at most `grace`: no new connection is accepted, waits end
/// early, and streams are asked to reconnect.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    shutdown: impl Future<Output = ()> + Send,
    config: ConnectionConfig,
    grace: Duration,
) -> io::Result<()> {
    let draining = state.draining.clone();
    let server = Server { router: router::app(state), http: http(config), draining: draining.clone() };
    let connections = TaskTracker::new();
    tokio::select! {
        () = server.accept(listener, &connections, config.most) => {}
        () = shutdown => {}
    }
    tracing::info!(?grace, "draining");
    draining.cancel();
    connections.close();
    if tokio::time::timeout(grace, connections.wait()).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
    Ok(())
}

fn http(config: ConnectionConfig) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .max_buf_size(READ_AHEAD);
    http
}

struct Server {
    router: Router,
    http: http1::Builder,
    draining: CancellationToken,
}

impl Server {
    /// Accepts connections for ever, `most` at once; those beyond wait in the system's own line.
    async fn accept(&self, listener: TcpListener, connections: &TaskTracker, most: usize) {
        let places = Arc::new(Semaphore::new(most));
        loop {
            let place = places.clone().acquire_owned().await.expect("the places are never closed");
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let connection = self.connection(stream, peer);
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "a connection is not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Serves one connection, after the drain began up to the end of its request.
    fn connection(&self, stream: TcpStream, peer: SocketAddr) -> impl Future<Output = ()> + Send + use<> {
        // Pieces of a stream are small and must not wait for each other.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps Nagle's delay");
        }
        let router = self.router.clone();
        let service = service_fn(move |request| router.clone().oneshot(received(request, peer.ip())));
        let serving = self.http.serve_connection(TokioIo::new(stream), service);
        let draining = self.draining.clone();
        async move {
            tokio::pin!(serving);
            let served = tokio::select! {
                served = &mut serving => served,
                () = draining.cancelled() => {
                    serving.as_mut().graceful_shutdown();
                    serving.await
                }
            };
            if let Err(error) = served {
                tracing::debug!(%error, "a connection ended early");
            }
        }
    }
}

fn received(request: hyper::Request<Incoming>, peer: IpAddr) -> hyper::Request<Body> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(Peer(peer));
    request
}

/// Errors of a connection that its client gave up before it was accepted.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
