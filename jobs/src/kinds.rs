//! The kinds of jobs, one file each. [`visit_all`] is the one list.

pub mod complete;
pub mod deliver_webhook;
pub mod embed_document;
pub mod emit_event;
pub mod erase;
pub mod escalate;
pub mod expire_messages;
pub mod ingest_message;
pub mod maintain_index;
pub mod maintain_partitions;
pub mod process_stripe_event;
pub mod purge_expired;
pub mod reembed_document;
pub mod replay_dead_jobs;
pub mod retrieve;
pub mod score_confidence;
pub mod sweep_originals;

mod embedding;
pub mod turn;

use crate::{
    domain::{event::EventType, message::Status},
    queue::{Job, Schedule},
};

/// Something done for every kind.
pub trait Visitor {
    fn visit<J: Job>(&mut self);
}

/// Visits every kind, in the order a message meets them. This is the one list.
pub fn visit_all(visitor: &mut impl Visitor) {
    visitor.visit::<ingest_message::IngestMessage>();
    visitor.visit::<retrieve::Retrieve>();
    visitor.visit::<complete::Complete>();
    visitor.visit::<score_confidence::ScoreConfidence>();
    visitor.visit::<escalate::Escalate>();
    visitor.visit::<embed_document::EmbedDocument>();
    visitor.visit::<reembed_document::ReembedDocument>();
    visitor.visit::<emit_event::EmitEvent>();
    visitor.visit::<deliver_webhook::DeliverWebhook>();
    visitor.visit::<process_stripe_event::ProcessStripeEvent>();
    visitor.visit::<replay_dead_jobs::ReplayDeadJobs>();
    visitor.visit::<erase::Erase>();
    visitor.visit::<maintain_index::MaintainIndex>();
    visitor.visit::<maintain_partitions::MaintainPartitions>();
    visitor.visit::<expire_messages::ExpireMessages>();
    visitor.visit::<purge_expired::PurgeExpired>();
    visitor.visit::<sweep_originals::SweepOriginals>();
}

/// The kinds that run once per period. This is the one list.
pub fn schedules() -> [Schedule; 5] {
    [
        Schedule::of::<maintain_index::MaintainIndex>(),
        Schedule::of::<maintain_partitions::MaintainPartitions>(),
        Schedule::of::<expire_messages::ExpireMessages>(),
        Schedule::of::<purge_expired::PurgeExpired>(),
        Schedule::of::<sweep_originals::SweepOriginals>(),
    ]
}

/// Puts what jobs count at zero, so that the first one of a process shows as an increase.
pub fn count_from_zero() {
    for kind in EventType::ALL {
        metrics::counter!("metachat_events_total", "type" => kind.as_str()).absolute(0);
    }
    for outcome in complete::CALL_OUTCOMES {
        metrics::counter!("metachat_model_calls_total", "outcome" => outcome).absolute(0);
    }
    for status in Status::FINAL {
        metrics::counter!("metachat_messages_finished_total", "status" => status.as_str()).absolute(0);
    }
}

/// The wire names of all kinds.
pub fn names() -> Vec<&'static str> {
    struct Names(Vec<&'static str>);
    impl Visitor for Names {
        fn visit<J: Job>(&mut self) {
            self.0.push(J::KIND);
        }
    }
    let mut names = Names(Vec::new());
    visit_all(&mut names);
    names.0
}
