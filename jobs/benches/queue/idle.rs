//! What the lanes of all kinds cost without jobs.

use std::time::Duration;

use futures::{FutureExt, future::join_all};
use jobs::kinds;
use tokio_util::sync::CancellationToken;

use crate::{
    cost::{self, RedisCost},
    lanes,
    worker::work,
};

const WATCHED: Duration = Duration::from_secs(20);

pub async fn run() {
    let lanes = lanes();
    let stop = CancellationToken::new();
    let watching = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (before, own) = (RedisCost::now().await, cost::own_cpu());
        tokio::time::sleep(WATCHED).await;
        let (after, own) = (RedisCost::now().await, cost::own_cpu() - own);
        stop.cancel();
        println!(
            "{} idle lanes: worker {:.2} %, Redis {:.2} % of a CPU; {:.0} calls/s, {:.0} commands/s with those inside scripts",
            kinds::names().len(),
            100.0 * cost::per_second(own, WATCHED),
            100.0 * cost::per_second(after.cpu() - before.cpu(), WATCHED),
            cost::per_second(after.calls() - before.calls(), WATCHED),
            cost::per_second(after.commands() - before.commands(), WATCHED),
        );
    };
    let idling =
        join_all(kinds::names().into_iter().map(|kind| work(&lanes, kind, stop.clone(), |_| async {}.boxed())));
    tokio::join!(watching, idling);
}
