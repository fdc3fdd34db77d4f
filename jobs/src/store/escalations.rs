//! Hand-overs to a human: at most one open per conversation.

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
