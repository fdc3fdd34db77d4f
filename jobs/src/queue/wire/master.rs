//! The master that Sentinel names.

use std::sync::{Arc, Mutex};

use futures::FutureExt;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, ServerErrorKind, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    sentinel::SentinelClient,
};

use super::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT, bounded};

/// Keeps one connection to the master, and asks the sentinels again when it stops answering as one.
#[derive(Clone)]
pub struct Master(Arc<Shared>);

struct Shared {
    sentinels: tokio::sync::Mutex<SentinelClient>,
    /// A std mutex: nothing is awaited while it is held.
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    connection: Option<MultiplexedConnection>,
    /// Counts connections, so that the failure of an old one does not end the next.
    generation: u64,
}

impl Master {
    pub(super) fn new(sentinels: SentinelClient) -> Self {
        Self(Arc::new(Shared { sentinels: tokio::sync::Mutex::new(sentinels), current: Mutex::default() }))
    }

    /// The master as the sentinels know it now.
    pub(super) async fn client(&self) -> Result<Client, RedisError> {
        let mut sentinels = self.0.sentinels.lock().await;
        bounded(sentinels.async_get_client()).await
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), RedisError> {
        if let Some(current) = self.held() {
            return Ok(current);
        }
        // A task of its own: a caller that gives up does not undo it for the next one.
        let master = self.clone();
        let connecting = tokio::spawn(async move { master.connect().await });
        connecting.await.map_err(std::io::Error::from)?
    }

    async fn connect(&self) -> Result<(u64, MultiplexedConnection), RedisError> {
        let mut sentinels = self.0.sentinels.lock().await;
        // Whoever waited for the lock finds the connection that its holder made.
        if let Some(current) = self.held() {
            return Ok(current);
        }
        let settings = AsyncConnectionConfig::new()
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_connection_timeout(Some(CONNECT_TIMEOUT));
        let client = bounded(sentinels.async_get_client()).await?;
        let connection = bounded(client.get_multiplexed_async_connection_with_config(&settings)).await?;
        let mut current = self.0.current.lock().expect("not poisoned");
        current.generation += 1;
        current.connection = Some(connection.clone());
        Ok((current.generation, connection))
    }

    fn held(&self) -> Option<(u64, MultiplexedConnection)> {
        let current = self.0.current.lock().expect("not poisoned");
        current.connection.clone().map(|connection| (current.generation, connection))
    }

    /// Forgets a connection whose server is gone, silent, or no master any more.
    fn judge(&self, generation: u64, error: &RedisError) {
        let demoted = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
        if demoted || error.is_timeout() || error.is_connection_dropped() || error.is_unrecoverable_error() {
            let mut current = self.0.current.lock().expect("not poisoned");
            if current.generation == generation {
                current.connection = None;
            }
        }
    }
}

impl ConnectionLike for Master {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        async move {
            let (generation, mut connection) = self.connection().await?;
            let answer = connection.req_packed_command(command).await;
            answer.inspect_err(|error| self.judge(generation, error))
        }
        .boxed()
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        async move {
            let (generation, mut connection) = self.connection().await?;
            let answer = connection.req_packed_commands(pipeline, offset, count).await;
            answer.inspect_err(|error| self.judge(generation, error))
        }
        .boxed()
    }

    fn get_db(&self) -> i64 {
        self.held().map_or(0, |(_, connection)| connection.get_db())
    }
}
