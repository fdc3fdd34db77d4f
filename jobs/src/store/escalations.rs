//! Hand-overs to a human: at most one open per conversation.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Scope, StoreError, TenantTx};
use crate::domain::{
    handoff::Reason,
    ids::{ConversationId, EscalationId, MessageId},
};

/// Opens an escalation; returns false when the conversation already has an open one.
pub async fn open(
    tx: &mut TenantTx,
    id: EscalationId,
    conversation: ConversationId,
    message: MessageId,
    reason: Reason,
    evidence: &Value,
) -> Result<bool, StoreError> {
    let tenant = tx.tenant().uuid();
    let opened = sqlx::query!(
        "insert into escalations (id, tenant_id, conversation_id, message_id, reason, evidence)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (conversation_id) where status <> 'resolved' do nothing",
        id.uuid(),
        tenant,
        conversation.uuid(),
        message.uuid(),
        reason.as_str(),
        evidence,
    )
    .execute(tx.connection())
    .await?;
    Ok(opened.rows_affected() == 1)
}

/// A hand-over as it is told to its owner.
#[derive(Debug, Clone)]
pub struct Escalation {
    pub id: EscalationId,
    pub message: MessageId,
    pub reason: String,
    pub evidence: Value,
    pub status: String,
    pub created_at: DateTime<Utc>,
    pub resolved_at: Option<DateTime<Utc>>,
}

/// A conversation's hand-overs, newest first, at most `limit`.
pub async fn of_conversation(
    tx: &mut TenantTx,
    conversation: ConversationId,
    limit: i64,
) -> Result<Vec<Escalation>, StoreError> {
    let tenant = tx.tenant().uuid();
    let rows = sqlx::query!(
        "select id, message_id, reason, evidence, status, created_at, resolved_at from escalations
         where tenant_id = $1 and conversation_id = $2 order by id desc limit $3",
        tenant,
        conversation.uuid(),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Escalation {
            id: EscalationId::from_uuid(row.id),
            message: MessageId::from_uuid(row.message_id),
            reason: row.reason,
            evidence: row.evidence,
            status: row.status,
            created_at: row.created_at,
            resolved_at: row.resolved_at,
        })
        .collect())
}
