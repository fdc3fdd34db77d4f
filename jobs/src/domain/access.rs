//! What a credential may do: scopes of keys, roles of people.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Something a route asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Permission {
    /// Looking at everything but credentials, users, settings and the audit log.
    #[serde(rename = "read")]
    Read,
    /// Submitting and cancelling messages.
    #[serde(rename = "messages:write")]
    MessagesWrite,
    /// Uploading and deleting documents.
    #[serde(rename = "documents:write")]
    DocumentsWrite,
    /// Adding and removing webhook endpoints.
    #[serde(rename = "webhooks:write")]
    WebhooksWrite,
    /// Running dead jobs again, and discarding them.
    #[serde(rename = "jobs:write")]
    JobsWrite,
    /// Keys, users, settings and the audit log; implies all others.
    #[serde(rename = "admin")]
    Admin,
}

impl Permission {
    pub const ALL: [Self; 6] =
        [Self::Read, Self::MessagesWrite, Self::DocumentsWrite, Self::WebhooksWrite, Self::JobsWrite, Self::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::MessagesWrite => "messages:write",
            Self::DocumentsWrite => "documents:write",
            Self::WebhooksWrite => "webhooks:write",
            Self::JobsWrite => "jobs:write",
            Self::Admin => "admin",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == text)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of permissions.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    pub const ADMIN: Self = Self(Permission::Admin.bit());

    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.0 & permission.bit() != 0)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the set holds the permission, or `admin`, which implies it.
    pub const fn allow(self, permission: Permission) -> bool {
        self.0 & (permission.bit() | Permission::Admin.bit()) != 0
    }

    /// The first permission of `others` that this set does not allow.
    pub fn lacks_of(self, others: Self) -> Option<Permission> {
        others.iter().find(|permission| !self.allow(*permission))
    }

    pub fn names(self) -> Vec<String> {
        self.iter().map(|permission| permission.as_str().to_owned()).collect()
    }
}

impl FromIterator<Permission> for Scopes {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |set, permission| set | permission.bit()))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Permission::as_str)).finish()
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Permission>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// What a person of a tenant's team is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May do everything, and alone decides about owners.
    Owner,
    /// May do everything but decide about owners.
    Admin,
    /// Works with conversations and documents.
    Member,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Owner, Self::Admin, Self::Member];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    pub fn scopes(self) -> Scopes {
        match self {
            Self::Owner | Self::Admin => Scopes::ADMIN,
            Self::Member => {
                [Permission::Read, Permission::MessagesWrite, Permission::DocumentsWrite].into_iter().collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_implies_all_and_nothing_else_implies_another() {
        for permission in Permission::ALL {
            assert!(Scopes::ADMIN.allow(permission));
            assert_eq!(Permission::parse(permission.as_str()), Some(permission));
            let alone: Scopes = [permission].into_iter().collect();
            let allowed = Permission::ALL.into_iter().filter(|other| alone.allow(*other)).count();
            assert_eq!(allowed, if permission == Permission::Admin { Permission::ALL.len() } else { 1 });
        }
        assert!(Permission::ALL.into_iter().all(|permission| !Scopes::default().allow(permission)));
        assert_eq!(Permission::parse("write"), None);
    }

    #[test]
    fn a_set_is_written_and_read_by_its_names() {
        let set: Scopes = [Permission::JobsWrite, Permission::Read, Permission::Read].into_iter().collect();
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!(json, r#"["read","jobs:write"]"#);
        assert_eq!(serde_json::from_str::<Scopes>(&json).unwrap(), set);
        assert_eq!(set.names(), ["read", "jobs:write"]);
        assert!(serde_json::from_str::<Scopes>(r#"["root"]"#).is_err());
        assert_eq!(set.lacks_of(Scopes::ADMIN), Some(Permission::Admin));
        assert_eq!(Scopes::ADMIN.lacks_of(set), None);
    }
}
