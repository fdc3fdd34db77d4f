//! Models on threads of their own.

use std::{
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context;
use tokio::{sync::oneshot, time::timeout};

/// Longest time to load a model.
const LOADING: Duration = Duration::from_secs(120);

/// Loads a model on a new thread, which then serves with it, and waits until it has told that it is ready.
pub async fn start<M, T: Send + 'static>(
    name: &str,
    load: impl FnOnce() -> anyhow::Result<M> + Send + 'static,
    tell: impl FnOnce(&M) -> T + Send + 'static,
    serve: impl FnOnce(M) + Send + 'static,
) -> anyhow::Result<(JoinHandle<()>, T)> {
    let (ready, loaded) = oneshot::channel();
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || match load() {
        Ok(model) => {
            return_freed_memory();
            if ready.send(Ok(tell(&model))).is_ok() {
                serve(model);
            }
        }
        Err(error) => drop(ready.send(Err(error))),
    })?;
    let loaded = timeout(LOADING, loaded).await.context("the model did not load in time")?;
    let told = loaded.context("the model's thread stopped while it loaded it")??;
    Ok((thread, told))
}

/// Loading leaves holes in the C library's heaps, which ONNX Runtime uses: 12 MB of 39 for a model of 23 MB.
fn return_freed_memory() {
    // SAFETY: a plain call; it only gives unused pages of the allocator back to the system.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
