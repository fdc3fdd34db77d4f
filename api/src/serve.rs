//! Listening, serving and draining.

use std::{future::Future, io, net::SocketAddr, time::Duration};

use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use crate::{router, state::AppState};

/// Serves until `shutdown`, then lets requests finish for at most `grace`: no new connection is accepted, waits end
/// early, and streams are asked to reconnect.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    shutdown: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) -> io::Result<()> {
    let draining = state.draining.clone();
    let listener = listener.tap_io(|connection| {
        // Pieces of a stream are small and must not wait for each other.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps Nagle's delay");
        }
    });
    let announced = {
        let draining = draining.clone();
        async move {
            shutdown.await;
            tracing::info!(?grace, "draining");
            draining.cancel();
        }
    };
    let app = router::app(state).into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, app).with_graceful_shutdown(announced);
    let out_of_time = async {
        draining.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        served = serving => served,
        () = out_of_time => {
            tracing::warn!("some requests did not finish in time");
            Ok(())
        }
    }
}
