//! The event catalogue: the types that the product emits.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::ids::{ConversationId, DocumentId, EndpointId, EscalationId, EventId, MessageId};

macro_rules! catalogue {
    ($($(#[doc = $doc:literal])+ $name:ident = $wire:literal,)+) => {
        /// A type of event; its text form is part of the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum EventType {
            $($(#[doc = $doc])+ #[serde(rename = $wire)] $name,)+
        }

        impl EventType {
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $wire,)+ }
            }

            /// One sentence for the catalogue.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

catalogue! {
    /// A customer's message was accepted.
    MessageReceived = "message.received",
    /// A message was sent to the customer.
    MessageSent = "message.sent",
    /// A message ended without an answer.
    MessageFailed = "message.failed",
    /// A conversation began.
    ConversationCreated = "conversation.created",
    /// A conversation was handed to a human.
    EscalationRequested = "escalation.requested",
    /// A document became searchable.
    DocumentIndexed = "document.indexed",
    /// A document could not be read.
    DocumentFailed = "document.failed",
    /// A subscription began.
    SubscriptionCreated = "billing.subscription_created",
    /// A subscription changed its plan or status.
    SubscriptionUpdated = "billing.subscription_updated",
    /// A subscription ended.
    SubscriptionCanceled = "billing.subscription_canceled",
    /// An invoice was paid.
    PaymentSucceeded = "billing.payment_succeeded",
    /// A payment failed.
    PaymentFailed = "billing.payment_failed",
    /// An endpoint was switched off because it asked for no more deliveries.
    EndpointDisabled = "webhook.endpoint_disabled",
}

impl EventType {
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }

    /// Whether a message's `callback_url` receives events of this type.
    pub const fn reaches_callback(self) -> bool {
        matches!(self, Self::MessageSent | Self::MessageFailed)
    }
}

/// An event before it is stored.
#[derive(Debug, Clone)]
pub struct NewEvent {
    pub id: EventId,
    pub event_type: EventType,
    pub conversation: Option<ConversationId>,
    pub message: Option<MessageId>,
    /// The message, conversation or document it is about; its jobs are found by it.
    pub subject: Option<Uuid>,
    pub data: Value,
}

impl NewEvent {
    /// An event about a message; `data` gains `message_id` and `conversation_id`.
    pub fn about_message(
        event_type: EventType,
        message: MessageId,
        conversation: ConversationId,
        mut data: Value,
    ) -> Self {
        data["message_id"] = json!(message);
        data["conversation_id"] = json!(conversation);
        Self {
            id: EventId::generate(),
            event_type,
            conversation: Some(conversation),
            message: Some(message),
            subject: Some(message.uuid()),
            data,
        }
    }

    pub fn conversation_created(conversation: ConversationId) -> Self {
        Self {
            id: EventId::generate(),
            event_type: EventType::ConversationCreated,
            conversation: Some(conversation),
            message: None,
            subject: Some(conversation.uuid()),
            data: json!({ "conversation_id": conversation }),
        }
    }

    pub fn escalation_requested(
        escalation: EscalationId,
        message: MessageId,
        conversation: ConversationId,
        reason: &str,
    ) -> Self {
        let data = json!({ "escalation_id": escalation, "reason": reason });
        Self::about_message(EventType::EscalationRequested, message, conversation, data)
    }

    pub fn about_document(event_type: EventType, document: DocumentId, mut data: Value) -> Self {
        data["document_id"] = json!(document);
        let subject = Some(document.uuid());
        Self { id: EventId::generate(), event_type, conversation: None, message: None, subject, data }
    }

    pub fn endpoint_disabled(endpoint: EndpointId, reason: &str) -> Self {
        Self {
            id: EventId::generate(),
            event_type: EventType::EndpointDisabled,
            conversation: None,
            message: None,
            subject: None,
            data: json!({ "endpoint_id": endpoint, "reason": reason }),
        }
    }

    pub fn billing(event_type: EventType, data: Value) -> Self {
        Self { id: EventId::generate(), event_type, conversation: None, message: None, subject: None, data }
    }
}

/// What receivers get: the body of a webhook and an element of `GET /v1/events`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Envelope {
    pub id: EventId,
    #[serde(rename = "type")]
    pub event_type: String,
    pub timestamp: chrono::DateTime<chrono::Utc>,
    pub data: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_names_round_trip() {
        for kind in EventType::ALL {
            assert_eq!(EventType::parse(kind.as_str()), Some(*kind));
            assert!(!kind.description().is_empty());
        }
        assert_eq!(EventType::parse("message.unknown"), None);
    }
}
