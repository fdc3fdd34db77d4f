//! Who makes a request, and what that allows.

use std::fmt::Display;

use jobs::{
    domain::{
        access::Scopes,
        audit::{Action, Actor, Entry},
        ids::{ApiKeyId, SessionId, TenantId, UserId},
    },
    store::{api_keys, sessions, tenants::Tenant},
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::request_id::RequestId;

/// A tenant's caller: one of its keys, or a person of its team.
#[derive(Debug, Clone)]
pub struct Identity {
    pub tenant: Tenant,
    pub credential: Credential,
    pub scopes: Scopes,
}

/// What a request was let in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    Key(ApiKeyId),
    Session { session: SessionId, user: UserId },
}

impl Identity {
    pub fn of_key(opened: api_keys::Opened) -> Self {
        Self { credential: Credential::Key(opened.key), tenant: opened.tenant, scopes: opened.scopes }
    }

    pub fn of_session(opened: sessions::Opened) -> Self {
        let sessions::Opened { session, user, role, tenant, .. } = opened;
        Self { credential: Credential::Session { session, user }, tenant, scopes: role.scopes() }
    }

    /// The key, unless it is a session.
    pub fn key(&self) -> Option<ApiKeyId> {
        match self.credential {
            Credential::Key(key) => Some(key),
            Credential::Session { .. } => None,
        }
    }

    pub fn actor(&self) -> Actor {
        match self.credential {
            Credential::Key(key) => Actor::Key(key),
            Credential::Session { user, .. } => Actor::User(user),
        }
    }
}

/// Who makes a change, and in which request: what the audit log asks for.
#[derive(Debug, Clone)]
pub struct Author {
    pub actor: Actor,
    pub request: RequestId,
}

impl Author {
    /// An entry about something that began.
    pub fn made(&self, tenant: Option<TenantId>, action: Action, target: impl Display, after: Value) -> Entry<'_> {
        self.entry(tenant, action, target, None, Some(after))
    }

    /// An entry about something that ended.
    pub fn ended(&self, tenant: Option<TenantId>, action: Action, target: impl Display, before: Value) -> Entry<'_> {
        self.entry(tenant, action, target, Some(before), None)
    }

    /// An entry about members that changed; `None` when none did.
    pub fn changed(
        &self,
        tenant: Option<TenantId>,
        action: Action,
        target: impl Display,
        (before, after): (&impl Serialize, &impl Serialize),
    ) -> Option<Entry<'_>> {
        let (before, after) = differing(members(before), members(after))?;
        Some(self.entry(tenant, action, target, Some(before), Some(after)))
    }

    /// An entry of nothing but the fact.
    pub fn told(&self, tenant: Option<TenantId>, action: Action, target: impl Display) -> Entry<'_> {
        self.entry(tenant, action, target, None, None)
    }

    fn entry(
        &self,
        tenant: Option<TenantId>,
        action: Action,
        target: impl Display,
        before: Option<Value>,
        after: Option<Value>,
    ) -> Entry<'_> {
        let target = target.to_string();
        Entry { tenant, actor: self.actor, action, target, before, after, request_id: self.request.as_str() }
    }
}

fn members(of: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(of) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

/// Both sides without the members that are alike; `None` when all are.
fn differing(before: Map<String, Value>, after: Map<String, Value>) -> Option<(Value, Value)> {
    let apart = |these: &Map<String, Value>, those: &Map<String, Value>| -> Map<String, Value> {
        let differs = these.iter().filter(|(name, value)| those.get(*name) != Some(*value));
        differs.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let (old, new) = (apart(&before, &after), apart(&after, &before));
    (!old.is_empty() || !new.is_empty()).then_some((Value::Object(old), Value::Object(new)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_tells_the_members_that_changed_only() {
        let author = Author { actor: Actor::Operator(None), request: RequestId::generate() };
        let (before, after) = (json!({ "a": 1, "b": [1], "c": 3 }), json!({ "a": 1, "b": [2], "d": null }));
        let entry = author.changed(None, Action::TenantUpdated, "tnt_1", (&before, &after)).unwrap();
        assert_eq!(entry.before, Some(json!({ "b": [1], "c": 3 })));
        assert_eq!(entry.after, Some(json!({ "b": [2], "d": null })));
        assert!(author.changed(None, Action::TenantUpdated, "tnt_1", (&before, &before)).is_none());
    }
}
