//! What can be erased, and the receipt's vocabulary.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::{DocumentId, TenantId};

/// Whose or which data goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Document(DocumentId),
    /// By the tenant's own id of its customer.
    Contact(String),
    Tenant(TenantId),
}

impl Subject {
    pub const fn extent(&self) -> Extent {
        match self {
            Self::Document(_) => Extent::Document,
            Self::Contact(_) => Extent::Contact,
            Self::Tenant(_) => Extent::Tenant,
        }
    }

    /// As the receipt names it while the erasure runs.
    pub fn name(&self) -> String {
        match self {
            Self::Document(document) => document.to_string(),
            Self::Contact(contact) => contact.clone(),
            Self::Tenant(tenant) => tenant.to_string(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    Document,
    Contact,
    Tenant,
}

impl Extent {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Contact => "contact",
            Self::Tenant => "tenant",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Document, Self::Contact, Self::Tenant].into_iter().find(|extent| extent.as_str() == text)
    }
}

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requester {
    Tenant,
    Operator,
}

impl Requester {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Operator => "operator",
        }
    }
}

/// Rows by table.
pub type Rows = BTreeMap<String, i64>;

/// Adds rows of a table; none leaves no entry.
pub fn add(rows: &mut Rows, table: &str, count: u64) {
    if count > 0 {
        *rows.entry(table.to_owned()).or_default() += count.cast_signed();
    }
}

/// What was looked for after the removal, and how much of it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Rows left, by table; those with none are listed too.
    pub rows: Rows,
    /// Absent where a contact was erased: the index holds documents only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vectors: Option<VectorProof>,
    /// Objects of documents that are left; absent where a contact was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub originals: Option<u64>,
}

/// What the search index still holds and finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorProof {
    pub rows: u64,
    pub vector_hits: usize,
    pub text_hits: usize,
}

impl Proof {
    /// Whether nothing is left.
    pub fn holds(&self) -> bool {
        self.rows.values().all(|left| *left == 0)
            && self.vectors.is_none_or(|vectors| vectors == VectorProof::default())
            && self.originals.is_none_or(|left| left == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_when_nothing_is_left_anywhere() {
        let (rows, vectors) = (Rows::from([("messages".into(), 0)]), Some(VectorProof::default()));
        let mut proof = Proof { rows, vectors, originals: Some(0) };
        assert!(proof.holds());
        proof.vectors = Some(VectorProof { text_hits: 1, ..VectorProof::default() });
        assert!(!proof.holds());
        proof.vectors = None;
        assert!(proof.holds());
        proof.originals = Some(1);
        assert!(!proof.holds());
        proof.originals = None;
        add(&mut proof.rows, "messages", 1);
        assert!(!proof.holds());
    }

    #[test]
    fn nothing_leaves_no_entry() {
        let mut rows = Rows::new();
        add(&mut rows, "events", 0);
        assert!(rows.is_empty());
    }
}
