//! Judges a draft, then sends it, withholds it or hands over.
//!
//! - **What:** scores the draft by the signals that need no model call and acts on the verdict. The answer is sent
//!   only under the epoch its turn began with: a draft begun before a human took over is withheld.
//! - **Who enqueues it:** `complete`.
//! - **Twice:** the second run finds its job finished; the message ends once.
//! - **Gives up:** the message fails.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{escalate::Escalate, turn};
use crate::{
    domain::{
        confidence::{self, Action, Evidence},
        handoff::Reason,
        ids::{ConversationId, MessageId, TenantId},
        message::Status,
    },
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, RetryPolicy},
    store::{
        StoreError, TenantTx, conversations,
        messages::{self, End},
        tenants,
    },
};

/// Precedes an answer that is sent on a high-stakes topic.
const DISCLAIMER: &str = "Please note that this is general information and does not replace professional advice.\n\n";

#[derive(Debug, Serialize, Deserialize)]
pub struct ScoreConfidence {
    pub tenant: TenantId,
    pub conversation: ConversationId,
    pub message: MessageId,
}

impl Job for ScoreConfidence {
    type Scope = TenantTx;

    const KIND: &'static str = "score_confidence";
    const LANE: Lane = Lane { slots: 16, priority: 5 };
    const RETRY: RetryPolicy =
        RetryPolicy { attempts: 8, base: Duration::from_millis(500), cap: Duration::from_secs(60) };
    const TIMEOUT: Duration = Duration::from_secs(30);

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
        let Self { tenant, conversation, message } = *self;
        let mut done = context.finish_at_commit::<TenantTx>().await?;
        let Some(locked) = conversations::lock(done.tx(), conversation).await? else {
            return done.commit().await;
        };
        let found = messages::find(done.tx(), message).await?;
        let Some(scored) = found.filter(|found| found.status == Status::Scoring) else {
            return done.commit().await;
        };
        let draft = scored.draft.ok_or_else(|| Failure::Abandon("the draft is missing".into()))?;
        let settings = tenants::current(done.tx()).await?.settings.confidence;
        let mut verdict = confidence::assess(Evidence {
            question: &scored.text,
            answer: &draft,
            sources: &scored.sources,
            mode: settings.mode,
            high_stakes: &settings.high_stakes,
        });
        done.measure(metrics::histogram!("metachat_confidence_score"), verdict.score);

        if locked.epoch != scored.epoch || locked.human {
            verdict.escalated = false;
            let ending = End { confidence: Some(&verdict), ..End::of(Status::Withheld) };
            turn::end_locked(&mut done, locked, message, ending).await?;
            return done.commit().await;
        }
        match verdict.action {
            Action::WithholdAndEscalate => {
                messages::save_confidence(done.tx(), message, &verdict).await?;
                let reason = if confidence::declines(&draft) { Reason::NoAnswer } else { Reason::LowConfidence };
                done.enqueue(&Escalate { tenant, conversation, message, reason })?;
            }
            Action::Send | Action::SuggestReview => {
                let ending = End { reply: Some(&draft), confidence: Some(&verdict), ..End::of(Status::Answered) };
                turn::end_locked(&mut done, locked, message, ending).await?;
            }
            Action::SendWithDisclaimer => {
                let reply = format!("{DISCLAIMER}{draft}");
                let ending = End { reply: Some(&reply), confidence: Some(&verdict), ..End::of(Status::Answered) };
                turn::end_locked(&mut done, locked, message, ending).await?;
            }
        }
        done.commit().await
    }

    async fn give_up(burial: &mut Completion<TenantTx>, envelope: &Envelope, _: &str) -> Result<(), StoreError> {
        turn::fail(burial, envelope.subject, "scoring_failed", "The answer could not be judged.").await.map(drop)
    }
}
