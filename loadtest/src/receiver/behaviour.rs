//! How a receiver answers.

use std::time::Duration;

use axum::http::StatusCode;

use crate::duration;

#[derive(Clone, Debug, Default, clap::Args)]
pub struct Behaviour {
    /// Statuses to answer with, in order; the last one stays (none: 200)
    #[arg(long, value_delimiter = ',')]
    pub statuses: Vec<u16>,
    /// How long each answer takes, such as 200ms
    #[arg(long, default_value = "0", value_parser = duration::parse)]
    pub delay: Duration,
    /// Seconds in Retry-After, sent with every status that is not a success
    #[arg(long)]
    pub retry_after: Option<u64>,
}

impl Behaviour {
    /// Answers with these statuses in order; the last one stays.
    pub fn answering(statuses: impl Into<Vec<u16>>) -> Self {
        Self { statuses: statuses.into(), ..Self::default() }
    }

    /// A number that is no HTTP status is answered as 500, which a sender retries just the same.
    pub(super) fn status(&self, answered: usize) -> StatusCode {
        match self.statuses.get(answered).or(self.statuses.last()) {
            Some(&status) => StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            None => StatusCode::OK,
        }
    }
}
