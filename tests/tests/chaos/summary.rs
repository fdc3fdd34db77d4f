//! The table at the end.

use std::fmt;

use tests::Stack;

use super::{disorder::Tally, load::Tenants};

pub struct Summary {
    rows: Vec<(&'static str, String)>,
}

impl Summary {
    pub async fn collect(stack: &Stack, tally: &Tally, tenants: &Tenants, conversations: usize, dead: usize) -> Self {
        let owner = stack.database.owner().await;
        let ended = async |status: &str| -> String {
            let count = "select count(*) from messages where role = 'customer' and status = $1";
            sqlx::query_scalar::<_, i64>(count).bind(status).fetch_one(owner).await.unwrap().to_string()
        };
        let seconds: Vec<f64> = sqlx::query_scalar(
            "select unnest(percentile_cont(array[0.5, 0.99, 1.0]) within group (
               order by extract(epoch from finished_at - created_at)::float8))
             from messages where role = 'customer' and finished_at is not null",
        )
        .fetch_all(owner)
        .await
        .unwrap();
        let spent = stack.database.count("select count(*) from job_history where attempt > 1").await;
        let accepted = stack.database.count("select count(*) from messages where role = 'customer'").await;
        let deliveries: usize = tenants.0.iter().map(|shop| shop.receiver.deliveries().len()).sum();
        let duplicates: usize = tenants.0.iter().map(|shop| shop.receiver.duplicates()).sum();
        Self {
            rows: vec![
                ("messages accepted", format!("{accepted} in {conversations} conversations")),
                ("answered", ended("answered").await),
                ("escalated", ended("escalated").await),
                ("failed", ended("failed").await),
                ("workers killed", tally.workers_killed.to_string()),
                ("workers stopped", tally.workers_stopped.to_string()),
                ("apis killed", tally.apis_killed.to_string()),
                ("Redis flushed", tally.redis_flushes.to_string()),
                ("Redis crashed", tally.redis_crashes.to_string()),
                ("Postgres crashed", tally.postgres_crashes.to_string()),
                ("jobs run more than once", spent.to_string()),
                ("dead jobs", dead.to_string()),
                ("deliveries", deliveries.to_string()),
                ("repeated deliveries", duplicates.to_string()),
                (
                    "time to an end",
                    format!("p50 {:.1} s, p99 {:.1} s, longest {:.1} s", seconds[0], seconds[1], seconds[2]),
                ),
            ],
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.rows {
            writeln!(f, "{name:<24} {value}")?;
        }
        Ok(())
    }
}
