//! Channels: where customers write outside of the API.

use serde::{Deserialize, Serialize};

/// The provider of a channel; its text form is part of the API and of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelType {
    WhatsApp,
    Messenger,
}

impl ChannelType {
    pub const ALL: [Self; 2] = [Self::WhatsApp, Self::Messenger];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WhatsApp => "whatsapp",
            Self::Messenger => "messenger",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What a channel is configured with beside its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelConfig {
    /// The provider's id of the account: of the phone number (WhatsApp) or of the page (Messenger).
    pub account_id: String,
}

/// What a secret of a channel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelSecret {
    /// Sends messages.
    AccessToken,
    /// Signs what the provider delivers.
    AppSecret,
    /// Proves to the provider that the subscribed address is the tenant's.
    VerifyToken,
}

impl ChannelSecret {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::AppSecret => "app_secret",
            Self::VerifyToken => "verify_token",
        }
    }
}
