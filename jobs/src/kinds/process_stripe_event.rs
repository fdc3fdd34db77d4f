//! Applies a Stripe event to its tenant's subscription.
//!
//! - **What:** finds the tenant by customer id or metadata, sets plan and status, and emits the billing event.
//! - **Who enqueues it:** the Stripe route, in the transaction that stores the event.
//! - **Twice:** the event is stored once and the second run finds its job finished. An event older than the newest
//!   one applied leaves the subscription alone, so out-of-order delivery ends in the same state.
//! - **Gives up:** to the dead letters, for a person to look at: an unknown price or an unknown customer.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::emit_event::emit_for;
use crate::{
    domain::{
        event::{EventType, NewEvent},
        ids::TenantId,
        plan::Plan,
        stripe::{Change, PriceList, StripeEvent},
    },
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, RetryPolicy},
    store::{
        StoreError, SystemTx, stripe_events,
        tenants::{self, Subscription, SubscriptionUpdate},
    },
};

#[derive(Debug, Serialize, Deserialize)]
pub struct ProcessStripeEvent {
    /// Stripe's id, `evt_…`.
    pub event: String,
}

impl Job for ProcessStripeEvent {
    type Scope = SystemTx;

    const KIND: &'static str = "process_stripe_event";
    const LANE: Lane = Lane { slots: 4, priority: 5 };
    const RETRY: RetryPolicy = RetryPolicy { attempts: 8, base: Duration::from_secs(2), cap: Duration::from_secs(600) };
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn tenant(&self) -> Option<TenantId> {
        None
    }

    fn key(&self) -> String {
        self.event.clone()
    }

    fn subject(&self) -> Option<Uuid> {
        None
    }

    async fn run(&self, context: &JobContext) -> Result<Done, Failure> {
        let mut done = context.finish::<SystemTx>().await?;
        let payload = stripe_events::payload(done.tx(), &self.event)
            .await?
            .ok_or_else(|| Failure::Abandon("the stored event is missing".into()))?;
        let event: StripeEvent =
            serde_json::from_value(payload).map_err(|error| Failure::Abandon(format!("unreadable event: {error}")))?;
        let Some(change) = event.change() else {
            stripe_events::finish(done.tx(), &self.event, None, "ignored").await?;
            return done.commit().await;
        };
        let reference = event.tenant_reference().and_then(|id| id.parse().ok());
        let Some(subscription) = tenants::lock_subscription(done.tx(), event.customer(), reference).await? else {
            // Stripe does not promise order: the checkout that links the customer may still be on its way.
            return Err(Failure::Retry("no tenant has this customer".into()));
        };
        let stale = is_stale(change, &event, &subscription);
        let (update, notice) = apply(change, &event, &subscription, &context.runtime.prices)?;
        let outcome = if stale { "stale" } else { "applied" };
        if stale {
            // The customer's id never changes; the rest is older than what is applied.
            let update = SubscriptionUpdate { customer: update.customer, ..Default::default() };
            tenants::update_subscription(done.tx(), subscription.tenant, &update).await?;
        } else {
            tenants::update_subscription(done.tx(), subscription.tenant, &update).await?;
            if let Some(notice) = notice {
                let plan = update.plan.unwrap_or(subscription.plan);
                let data = json!({ "stripe_event_id": event.id, "plan": plan, "status": update.status });
                emit_for(&mut done, subscription.tenant, NewEvent::billing(notice, data))?;
            }
        }
        stripe_events::finish(done.tx(), &self.event, Some(subscription.tenant), outcome).await?;
        done.commit().await
    }

    async fn give_up(burial: &mut Completion<SystemTx>, envelope: &Envelope, cause: &str) -> Result<(), StoreError> {
        // A payload that names no event leaves that event without an outcome; the dead letter's key names it.
        let Some(event) = envelope.payload["event"].as_str() else { return Ok(()) };
        stripe_events::finish(burial.tx(), event, None, &format!("failed: {cause}")).await
    }
}

/// Whether a newer event has set the subscription. Only changes of the subscription itself compare and set the mark:
/// a checkout or a payment says nothing of the plan. Stripe's clock has whole seconds; within one, a creation precedes
/// the others and a cancellation follows them.
fn is_stale(change: Change<'_>, event: &StripeEvent, subscription: &Subscription) -> bool {
    let Some(newest) = subscription.event_at else { return false };
    let same_second = event.created_at() == newest;
    match change {
        Change::Subscribed { event: EventType::SubscriptionCreated, .. } => event.created_at() <= newest,
        Change::Subscribed { .. } => {
            event.created_at() < newest || (same_second && subscription.status.as_deref() == Some("canceled"))
        }
        Change::Canceled => event.created_at() < newest,
        Change::Linked { .. } | Change::Paid | Change::PaymentFailed => false,
    }
}

/// What a change leaves on the tenant, and the event that tells of it.
fn apply<'a>(
    change: Change<'a>,
    event: &'a StripeEvent,
    before: &Subscription,
    prices: &PriceList,
) -> Result<(SubscriptionUpdate<'a>, Option<EventType>), Failure> {
    let event_at = matches!(change, Change::Subscribed { .. } | Change::Canceled).then(|| event.created_at());
    let update = SubscriptionUpdate { customer: event.customer(), event_at, ..SubscriptionUpdate::default() };
    Ok(match change {
        Change::Linked { subscription } => (SubscriptionUpdate { subscription, ..update }, None),
        Change::Subscribed { event: notice, subscription, price, status } => {
            let price = price.ok_or_else(|| Failure::Abandon("the subscription has no price".into()))?;
            let plan =
                prices.plan(price).ok_or_else(|| Failure::Abandon(format!("price {price} buys no configured plan")))?;
            (SubscriptionUpdate { subscription, plan: Some(plan), status, ..update }, Some(notice))
        }
        Change::Canceled => (
            SubscriptionUpdate { plan: Some(Plan::Free), status: Some("canceled"), ..update },
            Some(EventType::SubscriptionCanceled),
        ),
        Change::Paid => {
            let status = (before.status.as_deref() == Some("past_due")).then_some("active");
            (SubscriptionUpdate { status, ..update }, Some(EventType::PaymentSucceeded))
        }
        Change::PaymentFailed => {
            (SubscriptionUpdate { status: Some("past_due"), ..update }, Some(EventType::PaymentFailed))
        }
    })
}
