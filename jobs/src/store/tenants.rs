//! Tenants: their plan, limits and settings, and what Stripe says of them.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde_json::Value;
use uuid::Uuid;

use super::{Scope, StoreError, SystemTx, TenantTx, secrets::Column};
use crate::domain::{
    ids::TenantId,
    plan::{LimitOverrides, Limits, Plan},
    secret::Vault,
    settings::Settings,
};

#[derive(Debug, Clone)]
pub struct NewTenant {
    pub id: TenantId,
    pub name: String,
    pub plan: Plan,
    pub limits: LimitOverrides,
    pub settings: Settings,
    /// `whsec_…`, signs deliveries to callback URLs.
    pub callback_secret: SecretString,
}

#[derive(Debug, Clone)]
pub struct Tenant {
    pub id: TenantId,
    pub name: String,
    pub plan: Plan,
    /// The plan's limits with the tenant's own on top.
    pub limits: Limits,
    pub settings: Settings,
    pub enabled: bool,
}

pub async fn insert(tx: &mut SystemTx, vault: &Vault, tenant: &NewTenant) -> Result<(), StoreError> {
    let place = Column::CallbackSecret.place(Some(tenant.id), tenant.id.uuid());
    let callback_secret = vault.seal(place, &tenant.callback_secret);
    sqlx::query!(
        "insert into tenants (id, name, plan, limits, settings, callback_secret) values ($1, $2, $3, $4, $5, $6)",
        tenant.id.uuid(),
        tenant.name,
        tenant.plan.as_str(),
        serde_json::to_value(tenant.limits)?,
        serde_json::to_value(&tenant.settings)?,
        callback_secret.as_bytes(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A tenant as the operator manages it.
#[derive(Debug, Clone)]
pub struct Managed {
    pub id: TenantId,
    pub name: String,
    pub plan: Plan,
    pub limits: LimitOverrides,
    pub settings: Settings,
    pub enabled: bool,
    pub created_at: DateTime<Utc>,
}

struct Row {
    id: Uuid,
    name: String,
    plan: String,
    limits: Value,
    settings: Value,
    enabled: bool,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Managed {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: TenantId::from_uuid(row.id),
            name: row.name,
            plan: plan(&row.plan)?,
            limits: serde_json::from_value(row.limits)?,
            settings: serde_json::from_value(row.settings)?,
            enabled: row.enabled,
            created_at: row.created_at,
        })
    }
}

/// All tenants, newest first, after a position.
pub async fn list(tx: &mut SystemTx, after: Option<TenantId>, limit: i64) -> Result<Vec<Managed>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select id, name, plan, limits, settings, enabled, created_at from tenants
         where $1::uuid is null or id < $1 order by id desc limit $2",
        after.map(TenantId::uuid),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Managed::try_from).collect()
}

/// The transaction's tenant, locked until it ends; `None` when there is no such tenant.
pub async fn lock(tx: &mut TenantTx) -> Result<Option<Managed>, StoreError> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query_as!(
        Row,
        "select id, name, plan, limits, settings, enabled, created_at from tenants where id = $1 for no key update",
        tenant,
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(Managed::try_from).transpose()
}

/// The transaction's tenant as the operator manages it; `None` when there is no such tenant.
pub async fn find(tx: &mut TenantTx) -> Result<Option<Managed>, StoreError> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query_as!(
        Row,
        "select id, name, plan, limits, settings, enabled, created_at from tenants where id = $1",
        tenant,
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(Managed::try_from).transpose()
}

/// Sets what can be changed of the transaction's tenant.
pub async fn update(tx: &mut TenantTx, tenant: &Managed) -> Result<(), StoreError> {
    let id = tx.tenant().uuid();
    sqlx::query!(
        "update tenants set name = $2, plan = $3, limits = $4, settings = $5, enabled = $6 where id = $1",
        id,
        tenant.name,
        tenant.plan.as_str(),
        serde_json::to_value(tenant.limits)?,
        serde_json::to_value(&tenant.settings)?,
        tenant.enabled,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The transaction's tenant; an error when it is gone.
pub async fn current(tx: &mut TenantTx) -> Result<Tenant, StoreError> {
    let id = tx.tenant();
    let row = sqlx::query!(
        r#"select name, plan, limits, settings, enabled and not erasing as "enabled!"
           from tenants where id = $1"#,
        id.uuid()
    )
    .fetch_one(tx.connection())
    .await?;
    tenant(id, row.name, &row.plan, row.limits, row.settings, row.enabled)
}

pub(super) fn tenant(
    id: TenantId,
    name: String,
    plan: &str,
    limits: Value,
    settings: Value,
    enabled: bool,
) -> Result<Tenant, StoreError> {
    let plan = self::plan(plan)?;
    Ok(Tenant {
        id,
        name,
        plan,
        limits: serde_json::from_value::<LimitOverrides>(limits)?.apply(plan.limits()),
        settings: serde_json::from_value(settings)?,
        enabled,
    })
}

fn plan(name: &str) -> Result<Plan, StoreError> {
    Plan::parse(name).ok_or_else(|| StoreError::Unreadable { column: "tenants.plan", value: name.to_owned() })
}

/// A tenant's subscription as far as billing events change it.
#[derive(Debug, Clone)]
pub struct Subscription {
    pub tenant: TenantId,
    pub plan: Plan,
    pub status: Option<String>,
    pub event_at: Option<DateTime<Utc>>,
}

/// Finds the tenant a Stripe event is about, by customer id first, and locks its row.
pub async fn lock_subscription(
    tx: &mut SystemTx,
    customer: Option<&str>,
    reference: Option<TenantId>,
) -> Result<Option<Subscription>, StoreError> {
    let row = sqlx::query!(
        "select id, plan, subscription_status, subscription_event_at from tenants
         where stripe_customer_id = $1 or id = $2
         order by (stripe_customer_id is not distinct from $1) desc limit 1 for update",
        customer,
        reference.map(TenantId::uuid),
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| {
        Ok(Subscription {
            tenant: TenantId::from_uuid(row.id),
            plan: Plan::parse(&row.plan).ok_or(StoreError::Unreadable { column: "tenants.plan", value: row.plan })?,
            status: row.subscription_status,
            event_at: row.subscription_event_at,
        })
    })
    .transpose()
}

/// What a billing event leaves on the tenant. `None` keeps what is there.
#[derive(Debug, Clone, Default)]
pub struct SubscriptionUpdate<'a> {
    pub customer: Option<&'a str>,
    pub subscription: Option<&'a str>,
    pub plan: Option<Plan>,
    pub status: Option<&'a str>,
    pub event_at: Option<DateTime<Utc>>,
}

pub async fn update_subscription(
    tx: &mut SystemTx,
    tenant: TenantId,
    update: &SubscriptionUpdate<'_>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update tenants set
           stripe_customer_id = coalesce($2, stripe_customer_id),
           stripe_subscription_id = coalesce($3, stripe_subscription_id),
           plan = coalesce($4, plan),
           subscription_status = coalesce($5, subscription_status),
           subscription_event_at = greatest(subscription_event_at, $6)
         where id = $1",
        tenant.uuid(),
        update.customer,
        update.subscription,
        update.plan.map(Plan::as_str),
        update.status,
        update.event_at,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
