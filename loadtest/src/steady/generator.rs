//! Sends arrivals when they are due, whatever became of the earlier ones.

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Args;
use super::flight::{Flight, fly};
use super::schedule::Schedule;
use super::tally::Tally;
use crate::client::Client;
use crate::samples;

/// Runs the schedule, then waits for the messages in flight, each of which has its own time limit.
pub(super) async fn generate(schedule: Schedule, fleet: &[Client], args: &Args, stop: &CancellationToken) -> Tally {
    let questions: Vec<String> = samples::questions()
        .into_iter()
        .filter(|question| question.expected_document.is_some())
        .map(|question| question.question)
        .collect();
    let start = Instant::now();
    let mut tally = Tally::new(start);
    let mut flights = JoinSet::new();

    let mut turns = fleet.iter().cycle().zip(questions.iter().cycle());
    for due in schedule.arrivals(start) {
        if !wait_until(due, &mut flights, &mut tally, stop).await {
            break;
        }
        if flights.len() >= args.max_in_flight {
            tally.drop_arrival();
        } else if let Some((client, question)) = turns.next() {
            tally.send();
            flights.spawn(fly(client.clone(), question.clone(), due, args.answer_timeout));
        }
    }
    tally.end_sending();
    drain(&mut flights, &mut tally, stop).await;
    tally
}

/// Collects finished flights until the arrival is due; false when the run was stopped.
async fn wait_until(due: Instant, flights: &mut JoinSet<Flight>, tally: &mut Tally, stop: &CancellationToken) -> bool {
    loop {
        while let Some(landed) = flights.try_join_next() {
            land(landed, tally);
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return false,
            () = sleep_until(due) => return true,
            Some(landed) = flights.join_next() => land(landed, tally),
        }
    }
}

async fn drain(flights: &mut JoinSet<Flight>, tally: &mut Tally, stop: &CancellationToken) {
    while !flights.is_empty() {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(landed) = flights.join_next() => land(landed, tally),
        }
    }
    tally.abandon(flights.len() as u64);
    flights.shutdown().await;
}

fn land(landed: Result<Flight, tokio::task::JoinError>, tally: &mut Tally) {
    match landed {
        Ok(flight) => tally.record(&flight),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
