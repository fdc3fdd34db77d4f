//! Plans, their limits and their share of the workers.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plan {
    #[default]
    Free,
    Starter,
    Pro,
}

impl Plan {
    pub const ALL: [Self; 3] = [Self::Free, Self::Starter, Self::Pro];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Starter => "starter",
            Self::Pro => "pro",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plan| plan.as_str() == text)
    }

    /// Monthly allowances, from the plan table.
    pub const fn limits(self) -> Limits {
        match self {
            Self::Free => Limits {
                conversations: 100,
                documents: 10,
                team: 1,
                messages: 1_000,
                api_calls: 5_000,
                requests_per_minute: 120,
                messages_per_minute: 50,
            },
            Self::Starter => Limits {
                conversations: 1_000,
                documents: 100,
                team: 5,
                messages: 10_000,
                api_calls: 50_000,
                requests_per_minute: 600,
                messages_per_minute: 250,
            },
            Self::Pro => Limits {
                conversations: 10_000,
                documents: 1_000,
                team: 20,
                messages: 100_000,
                api_calls: 500_000,
                requests_per_minute: 3_000,
                messages_per_minute: 1_250,
            },
        }
    }

    /// The plan that has this share.
    pub fn of_share(share: Share) -> Option<Self> {
        Self::ALL.into_iter().find(|plan| plan.share() == share)
    }

    /// Weight and in-flight cap in every lane.
    pub const fn share(self) -> Share {
        match self {
            Self::Free => Share { weight: 1, in_flight: 16 },
            Self::Starter => Share { weight: 3, in_flight: 64 },
            Self::Pro => Share { weight: 10, in_flight: 256 },
        }
    }
}

/// What a tenant may use in a calendar month (UTC), and per minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub conversations: i64,
    pub documents: i64,
    pub team: i64,
    pub messages: i64,
    pub api_calls: i64,
    pub requests_per_minute: i64,
    pub messages_per_minute: i64,
}

/// Replaces single limits of the plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitOverrides {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversations: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documents: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_calls: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages_per_minute: Option<i64>,
}

impl LimitOverrides {
    pub fn apply(self, plan: Limits) -> Limits {
        Limits {
            conversations: self.conversations.unwrap_or(plan.conversations),
            documents: self.documents.unwrap_or(plan.documents),
            team: self.team.unwrap_or(plan.team),
            messages: self.messages.unwrap_or(plan.messages),
            api_calls: self.api_calls.unwrap_or(plan.api_calls),
            requests_per_minute: self.requests_per_minute.unwrap_or(plan.requests_per_minute),
            messages_per_minute: self.messages_per_minute.unwrap_or(plan.messages_per_minute),
        }
    }

    /// The first limit that is negative, if any.
    pub fn negative(self) -> Option<&'static str> {
        [
            ("conversations", self.conversations),
            ("documents", self.documents),
            ("team", self.team),
            ("messages", self.messages),
            ("api_calls", self.api_calls),
            ("requests_per_minute", self.requests_per_minute),
            ("messages_per_minute", self.messages_per_minute),
        ]
        .into_iter()
        .find_map(|(name, limit)| limit.is_some_and(|limit| limit < 0).then_some(name))
    }
}

/// A tenant's part of a lane under saturation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Throughput relative to other tenants with queued jobs.
    pub weight: u32,
    /// Most jobs of one kind running at once.
    pub in_flight: u32,
}

impl Share {
    /// Jobs that belong to no tenant, such as a Stripe event before it is attributed.
    pub const PLATFORM: Self = Self { weight: 10, in_flight: 256 };
}
