//! Jobs of a tenant that is deleted while they wait and while they run.

use std::time::Duration;

use loadtest::{
    client::{Submission, TextUpload},
    fake_model::{Config, FakeModel},
};
use tests::{Stack, eventually};

use super::{logged, uuid_of};

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_jobs_of_a_deleted_tenant_vanish_without_a_trace() {
    let slow = Config { latency: Duration::from_secs(1), ..Config::default() };
    let model = FakeModel::start(slow).await.unwrap();
    let mut stack =
        Stack::builder().workers(0).env("LLM_BASE_URL", model.base_url()).env("LLM_API_KEY", "sk").start().await;
    let (_, staying) = stack.tenant("Staying").await;
    let delete = async |stack: &Stack, id: &str| {
        sqlx::query("delete from tenants where id = $1")
            .bind(uuid_of(id))
            .execute(stack.database.owner().await)
            .await
            .unwrap();
    };

    let (waiting, client) = stack.tenant("Deleted while its jobs wait").await;
    for _ in 0..5 {
        client.submit(&Submission::new("Will anybody answer?")).await.unwrap();
    }
    let (name, content_type, text) = ("a.md".into(), "text/markdown".into(), "Words.".into());
    let upload = TextUpload { name, content_type, text, ..TextUpload::default() };
    client.upload_text(&upload).await.unwrap();
    delete(&stack, &waiting.id).await;
    stack.start_worker().await;

    let (running, client) = stack.tenant("Deleted while its jobs run").await;
    for _ in 0..5 {
        client.submit(&Submission::new("Will anybody answer?")).await.unwrap();
    }
    eventually("its completions run", LIMIT, async || (model.requests().len() >= 5).then_some(())).await;
    delete(&stack, &running.id).await;

    let message = staying.submit(&Submission::new("Is anybody there?")).await.unwrap().message;
    assert!(staying.final_message(&message.id, LIMIT).await.unwrap().answer.is_some());
    stack.idle(LIMIT).await;
    stack.lanes_are_empty(LIMIT).await;
    let orphaned = "select count(*) from job_history where tenant_id is null
        and kind not in ('maintain_index', 'maintain_partitions', 'expire_messages', 'purge_expired', 'sweep_originals')";
    assert_eq!(stack.database.count(orphaned).await, 0);
    let retried = "select count(*) from job_history where attempt > 1";
    assert_eq!(stack.database.count(retried).await, 0);
    for noise in ["ERROR", "job failed, will run again", "job gave up"] {
        assert_eq!(logged(&stack.workers[0], noise), 0, "{noise}");
    }
    stack.finish().await;
}
