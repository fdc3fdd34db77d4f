//! Messages: submitted, then read, streamed, traced or cancelled.

pub mod cancel;
pub mod read;
pub mod stream;
pub mod submit;
pub mod timeline;

mod accept;
pub mod view;

use jobs::domain::ids::{ConversationId, MessageId};
use serde::Serialize;
use utoipa::ToSchema;

/// Where a message can be followed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Links {
    #[serde(rename = "self")]
    #[schema(example = "/v1/messages/msg_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    this: String,
    stream: String,
    timeline: String,
    conversation: String,
}

impl Links {
    fn of(message: MessageId, conversation: ConversationId) -> Self {
        let this = format!("/v1/messages/{message}");
        Self {
            stream: format!("{this}/stream"),
            timeline: format!("{this}/timeline"),
            conversation: format!("/v1/conversations/{conversation}"),
            this,
        }
    }
}
