//! Writes the draft of an answer.
//!
//! - **What:** prompts the tenant's model with the newest history, the sources and the question, and streams the
//!   pieces as they come.
//! - **Who enqueues it:** `retrieve`, for a message.
//! - **Twice:** the model is asked again (the request id is the same); pieces streamed before are voided; the draft
//!   is saved once.
//! - **Gives up:** the message fails.

mod model_names;

use std::time::Duration;

use futures::{FutureExt, TryFutureExt};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tracing::{Instrument, Span, field};
use uuid::Uuid;

use super::{score_confidence::ScoreConfidence, turn};
use crate::{
    domain::{
        confidence::Mode,
        ids::{ConversationId, MessageId, TenantId},
        message::Status,
        price,
        settings::Settings,
    },
    ports::{self, ModelError, Prompt},
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, RetryPolicy, signals::Topic},
    store::{
        Scope, StoreError, TenantTx,
        messages::{self, CompletionRecord, Question},
        model_keys,
        stream::{self, StreamEvent},
    },
    trace,
};

/// Pieces that wait for the stream's log at most; the model waits beyond.
const DELTA_BUFFER: usize = 256;
/// Pieces are written together at this pace, not one by one.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// The first piece waits this long for others: an answer that is whole by then is written with the draft, in one commit.
const FIRST_FLUSH: Duration = Duration::from_millis(5);
/// How often a completion asks whether it is still wanted, should nobody tell.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

#[derive(Debug, Serialize, Deserialize)]
pub struct Complete {
    pub tenant: TenantId,
    pub conversation: ConversationId,
    pub message: MessageId,
}

impl Job for Complete {
    type Scope = TenantTx;

    const KIND: &'static str = "complete";
    const LANE: Lane = Lane { slots: 64, priority: 5 };
    const RETRY: RetryPolicy = RetryPolicy { attempts: 5, base: Duration::from_secs(1), cap: Duration::from_secs(60) };
    const TIMEOUT: Duration = Duration::from_secs(150);

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn key(&self) -> String {
        self.message.to_string()
    }

    fn subject(&self) -> Option<Uuid> {
        Some(self.message.uuid())
    }

    async fn run(&self, context: &JobContext) -> Result<Done, Failure> {
        let mut work = context.side_work().await?;
        let found = messages::question(work.tx(), self.message, self.conversation, Status::Completing).await?;
        let Some(Question { message, history, tenant_name, settings, streamed, .. }) = found else {
            drop(work);
            return context.cancel().await;
        };
        let key = match context.engines().model.takes_key(&settings.model) {
            true => model_keys::open(work.tx(), &context.runtime.vault).await?,
            false => None,
        };
        if streamed {
            work.log(self.conversation, self.message, StreamEvent::Reset, json!({}));
            work.commit().await?;
        } else {
            drop(work);
        }

        // A strict tenant's customers see nothing that was not judged.
        let live = settings.confidence.mode != Mode::Strict;
        let prompt = Prompt {
            instructions: instructions(&tenant_name, &settings),
            history,
            question: message.text,
            sources: message.sources,
            settings: settings.model,
            key,
            request_id: self.message.to_string(),
            traceparent: None,
        };
        let Some((completion, rest)) = self.stream(context, prompt, live).await? else {
            return context.cancel().await;
        };
        let cost =
            price::cost_microusd(&completion.model, completion.usage.prompt_tokens, completion.usage.completion_tokens);
        count_usage(&completion, cost);

        let mut done = context.finish_at_commit::<TenantTx>().await?;
        let record = CompletionRecord {
            draft: &completion.text,
            model: &completion.model,
            prompt_tokens: completion.usage.prompt_tokens.cast_signed(),
            completion_tokens: completion.usage.completion_tokens.cast_signed(),
            cost_microusd: cost,
        };
        if messages::save_draft(done.tx(), self.message, &record).await? {
            let Self { tenant, conversation, message } = *self;
            if !rest.is_empty() {
                done.log(conversation, message, StreamEvent::Delta, json!({ "text": rest }));
            }
            turn::announce(&mut done, conversation, message, Status::Scoring);
            done.enqueue(&ScoreConfidence { tenant, conversation, message })?;
        }
        done.commit().await
    }

    async fn give_up(burial: &mut Completion<TenantTx>, envelope: &Envelope, _: &str) -> Result<(), StoreError> {
        turn::fail(burial, envelope.subject, "completion_failed", "No answer could be written.").await.map(drop)
    }
}

impl Complete {
    /// Runs the model and, where `live`, logs its pieces for streams meanwhile; returns what was not logged yet too. `None`
    /// when the message ended before the model did.
    ///
    /// What is done now and then is boxed: thousands may wait here, and should not each keep room for it.
    async fn stream(
        &self,
        context: &JobContext,
        mut prompt: Prompt,
        live: bool,
    ) -> Result<Option<(ports::Completion, String)>, Failure> {
        let (sender, receiver) = mpsc::channel(DELTA_BUFFER);
        let started = Instant::now();
        let span = span(&prompt);
        prompt.traceparent = context.traceparent(&span);
        let model = context.engines().model.complete(prompt, sender);
        let model = model.inspect(|ended| record(&span, ended)).instrument(span.clone());
        let model = model.map_err(Interrupted::by_model);
        let logged = self.log(context, receiver, live);
        let ended = tokio::select! {
            ended = async { tokio::try_join!(model, logged) } => ended,
            () = self.no_longer_wanted(context) => Err(Interrupted::Ended),
        };
        metrics::histogram!("metachat_completion_seconds").record(started.elapsed().as_secs_f64());
        if let Err(Interrupted::Ended) = &ended {
            count_call("cancelled");
        }
        match ended {
            Ok((mut completion, rest)) => {
                // Postgres text holds no NUL.
                completion.text.retain(|character| character != '\0');
                Ok(Some((completion, rest)))
            }
            Err(Interrupted::Ended) => Ok(None),
            Err(Interrupted::Failed(failure)) => Err(failure),
        }
    }

    /// Returns when the message has ended, most likely because its owner cancelled it: the model need not go on.
    async fn no_longer_wanted(&self, context: &JobContext) {
        let mut cancelled = context.runtime.cancellations.listen(Topic::Cancelled, self.message.uuid());
        loop {
            cancelled.told(LOOK_AGAIN).await;
            // A look that fails decides nothing; the completion finds out for itself.
            if let Ok(false) = self.is_wanted(context).boxed().await {
                return;
            }
        }
    }

    async fn is_wanted(&self, context: &JobContext) -> Result<bool, StoreError> {
        let mut tx = context.tenant_tx().await?;
        let found = messages::find(&mut tx, self.message).await?;
        tx.commit().await?;
        Ok(found.is_some_and(|found| found.status == Status::Completing))
    }

    /// Logs the pieces as they come, and returns those that came last.
    async fn log(
        &self,
        context: &JobContext,
        mut pieces: mpsc::Receiver<String>,
        live: bool,
    ) -> Result<String, Interrupted> {
        let mut buffer = Vec::new();
        let mut next_flush = None;
        while pieces.recv_many(&mut buffer, DELTA_BUFFER).await > 0 {
            let flush_at = next_flush.unwrap_or_else(|| Instant::now() + FIRST_FLUSH);
            let ended = loop {
                match timeout_at(flush_at, pieces.recv_many(&mut buffer, DELTA_BUFFER)).await {
                    Ok(1..) => {}
                    Ok(0) => break true,
                    Err(_) => break false,
                }
            };
            let text = buffer.drain(..).collect::<String>().replace('\0', "");
            match (live, ended) {
                (false, _) => {}
                (true, true) => return Ok(text),
                (true, false) => self.flush(context, &text).boxed().await?,
            }
            next_flush = Some(Instant::now() + FLUSH_EVERY);
        }
        Ok(String::new())
    }

    async fn flush(&self, context: &JobContext, text: &str) -> Result<(), Interrupted> {
        let mut work = context.side_work().await?;
        if !stream::is_open(work.tx(), self.message).await? {
            return Err(Interrupted::Ended);
        }
        work.log(self.conversation, self.message, StreamEvent::Delta, json!({ "text": text }));
        work.tell(Topic::Progress, self.message.uuid());
        Ok(work.commit().await?)
    }
}

/// Why a completion stopped early.
enum Interrupted {
    /// The message has ended: nobody wants the rest.
    Ended,
    Failed(Failure),
}

impl Interrupted {
    fn by_model(error: ModelError) -> Self {
        let cause = error.to_string();
        Self::Failed(match error {
            ModelError::Refused(_) => Failure::Abandon(cause),
            ModelError::Unavailable { after: Some(after), .. } => Failure::RetryAfter { after, cause },
            ModelError::Unavailable { after: None, .. } | ModelError::Empty => Failure::Retry(cause),
        })
    }
}

impl From<StoreError> for Interrupted {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// The span of one call of the model, in the words of OpenTelemetry's conventions for generative AI.
fn span(prompt: &Prompt) -> Span {
    tracing::info_span!(
        target: trace::TARGET,
        "chat",
        "otel.kind" = "client",
        "otel.status_code" = field::Empty,
        "gen_ai.operation.name" = "chat",
        "gen_ai.request.model" = prompt.settings.model,
        "gen_ai.response.model" = field::Empty,
        "gen_ai.usage.input_tokens" = field::Empty,
        "gen_ai.usage.output_tokens" = field::Empty,
        "error.type" = field::Empty,
    )
}

fn record(span: &Span, ended: &Result<ports::Completion, ModelError>) {
    match ended {
        Ok(completion) => {
            count_call("answered");
            span.record("gen_ai.response.model", &completion.model);
            span.record("gen_ai.usage.input_tokens", completion.usage.prompt_tokens);
            span.record("gen_ai.usage.output_tokens", completion.usage.completion_tokens);
        }
        Err(error) => {
            count_call(error.label());
            span.record("error.type", error.label());
            trace::fail(span);
        }
    }
}

fn instructions(tenant: &str, settings: &Settings) -> String {
    let mut text = format!("You answer customers of {}.", settings.brand.as_deref().unwrap_or(tenant));
    if let Some(tone) = &settings.tone {
        text.push_str(&format!(" Your tone is {tone}."));
    }
    if let Some(prompt) = &settings.prompt {
        text.push('\n');
        text.push_str(prompt);
    }
    text
}

fn count_usage(completion: &ports::Completion, cost: i64) {
    let model = model_names::label(&completion.model);
    let tokens = |kind: &'static str, count: u32| {
        metrics::counter!("metachat_model_tokens_total", "model" => model.clone(), "type" => kind)
            .increment(count.into());
    };
    tokens("prompt", completion.usage.prompt_tokens);
    tokens("completion", completion.usage.completion_tokens);
    metrics::counter!("metachat_model_cost_microusd_total", "model" => model.clone()).increment(cost.unsigned_abs());
}

/// How calls of a model end, as counted.
pub(super) const CALL_OUTCOMES: [&str; 5] = ["answered", "refused", "unavailable", "empty", "cancelled"];

fn count_call(outcome: &'static str) {
    metrics::counter!("metachat_model_calls_total", "outcome" => outcome).increment(1);
}
