//! The CPU that a future takes.

use std::{pin::pin, task::Poll, time::Duration};

use cpu_time::ThreadTime;

/// Runs a future to its end, and tells for how long a processor worked on it: its polls alone, neither its waits nor what it
/// hands to other tasks and threads.
pub async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let mut future = pin!(future);
    let mut spent = Duration::ZERO;
    let output = std::future::poll_fn(|context| {
        let begun = ThreadTime::now();
        let polled: Poll<T> = future.as_mut().poll(context);
        spent += begun.elapsed();
        polled
    })
    .await;
    (output, spent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_counts_and_waiting_does_not() {
        let piece = Duration::from_millis(10);
        let two_pieces_with_a_wait_between = async {
            for _ in 0..2 {
                let begun = ThreadTime::now();
                while begun.elapsed() < piece {}
                tokio::time::sleep(10 * piece).await;
            }
        };
        let ((), spent) = timed(two_pieces_with_a_wait_between).await;
        assert!(spent >= 2 * piece && spent < 10 * piece, "{spent:?}");
    }
}
