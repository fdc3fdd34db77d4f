//! Reads page after page and writes line after line.

use std::{io, time::Duration};

use axum::body::Bytes;
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::Utc;
use jobs::{
    domain::ids::ConversationId,
    store::{
        Scope, StoreError, answers, channels, conversations, documents, endpoints, escalations, events,
        originals::Version, tenants::Tenant, transcript,
    },
};
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::Walk;
use crate::{
    routes::{
        channels::Channel,
        conversations::{Conversation, Line},
        documents::Document,
        endpoints::Endpoint,
        events::Event,
        messages::view::Message,
        usage,
    },
    state::AppState,
};

/// Rows of a page.
const PAGE: i64 = 100;
/// Hand-overs of one conversation at most; one is open at a time.
const MAX_ESCALATIONS: i64 = 1_000;
/// Bytes of an original read at once: a multiple of three, so that the pieces' base64 joins.
const PART: u64 = 3 * 256 * 1024;
/// Bytes written in one go: a page may have ten megabytes, and until it is written nobody else has a turn on the thread.
const TURN: usize = 64 * 1024;
/// A client that takes no piece for this long has gone.
const STALL: Duration = Duration::from_secs(60);

pub(super) struct Writer {
    state: AppState,
    tenant: Tenant,
    out: mpsc::Sender<io::Result<Bytes>>,
    /// Lines of the page, not sent yet.
    buffer: Vec<u8>,
    lines: u64,
}

#[derive(Serialize)]
struct Tagged<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    data: T,
}

impl Writer {
    pub fn new(state: AppState, tenant: Tenant, out: mpsc::Sender<io::Result<Bytes>>) -> Self {
        Self { state, tenant, out, buffer: Vec::new(), lines: 0 }
    }

    /// Fails when the store does, or when the client takes nothing any more.
    pub async fn write(&mut self, walk: &Walk) -> io::Result<()> {
        match walk {
            Walk::Tenant { originals } => {
                self.tenant().await?;
                self.documents(*originals).await?;
                self.channels().await?;
                self.endpoints().await?;
                self.conversations(None).await?;
                self.events(None).await?;
            }
            Walk::Contact(contact) => self.conversations(Some(contact)).await?,
        }
        let lines = self.lines;
        self.line("end", json!({ "lines": lines, "at": Utc::now() })).await?;
        self.flush().await
    }

    async fn tenant(&mut self) -> io::Result<()> {
        let Tenant { id, name, plan, settings, .. } = self.tenant.clone();
        self.line("tenant", json!({ "id": id, "name": name, "plan": plan, "settings": settings })).await?;
        let used = usage::of(&self.state, &self.tenant).await.map_err(failed)?;
        self.line("usage", used).await?;
        self.flush().await
    }

    async fn documents(&mut self, originals: bool) -> io::Result<()> {
        let mut after = None;
        loop {
            let mut tx = self.state.read(self.tenant.id).await.map_err(failed)?;
            let rows = documents::list(&mut tx, None, after, PAGE).await.map_err(failed)?;
            tx.commit().await.map_err(failed)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.id);
            for row in rows {
                match originals {
                    true => self.document_with_original(row).await?,
                    false => self.line("document", Document::from(row)).await?,
                }
            }
            self.flush().await?;
        }
    }

    /// One line in pieces: an original is too large to be held.
    async fn document_with_original(&mut self, row: documents::Document) -> io::Result<()> {
        let version = Version { tenant: self.tenant.id, document: row.id, version: row.version };
        self.line("document", Document::from(row)).await?;
        // The line's end and the object's are taken back.
        self.buffer.truncate(self.buffer.len() - "}\n".len());
        self.buffer.extend_from_slice(br#","original":""#);
        for offset in (0..).step_by(PART as usize) {
            let part = self.state.originals.part(version, offset, PART).await.map_err(io::Error::other)?;
            self.buffer.extend_from_slice(BASE64_STANDARD.encode(&part).as_bytes());
            self.flush().await?;
            if (part.len() as u64) < PART {
                break;
            }
        }
        self.buffer.extend_from_slice(b"\"}\n");
        Ok(())
    }

    async fn channels(&mut self) -> io::Result<()> {
        let mut after = None;
        loop {
            let mut tx = self.state.read(self.tenant.id).await.map_err(failed)?;
            let rows = channels::list(&mut tx, after, PAGE).await.map_err(failed)?;
            tx.commit().await.map_err(failed)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.id);
            for row in rows {
                self.line("channel", Channel::from(row)).await?;
            }
            self.flush().await?;
        }
    }

    async fn endpoints(&mut self) -> io::Result<()> {
        let mut after = None;
        loop {
            let mut tx = self.state.read(self.tenant.id).await.map_err(failed)?;
            let rows = endpoints::list(&mut tx, after, PAGE).await.map_err(failed)?;
            tx.commit().await.map_err(failed)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.id);
            for row in rows {
                self.line("webhook_endpoint", Endpoint::from(row)).await?;
            }
            self.flush().await?;
        }
    }

    async fn conversations(&mut self, contact: Option<&str>) -> io::Result<()> {
        let mut before = None;
        loop {
            let mut tx = self.state.read(self.tenant.id).await.map_err(failed)?;
            let rows = conversations::walk(&mut tx, contact, before, PAGE).await.map_err(failed)?;
            tx.commit().await.map_err(failed)?;
            let Some(last) = rows.last() else { return Ok(()) };
            before = Some(last.id);
            for row in rows {
                let id = row.id;
                self.line("conversation", Conversation::from(row)).await?;
                self.transcript(id).await?;
                self.escalations(id).await?;
                // A tenant's events come in one walk, with those that belong to no conversation.
                if contact.is_some() {
                    self.events(Some(id)).await?;
                }
                self.flush().await?;
            }
        }
    }

    async fn transcript(&mut self, conversation: ConversationId) -> io::Result<()> {
        let mut seq = 0;
        loop {
            let mut tx = self.state.read(self.tenant.id).await.map_err(failed)?;
            let lines = transcript::after(&mut tx, conversation, seq, PAGE).await.map_err(failed)?;
            let Some(last) = lines.last() else { return Ok(()) };
            let until = last.seq;
            let messages = answers::between(&mut tx, conversation, seq, until).await.map_err(failed)?;
            tx.commit().await.map_err(failed)?;
            seq = until;
            for line in lines {
                self.line("transcript_line", Line::from(line)).await?;
            }
            for message in messages {
                self.line("message", Message::from(message)).await?;
            }
            self.flush().await?;
        }
    }

    async fn escalations(&mut self, conversation: ConversationId) -> io::Result<()> {
        let mut tx = self.state.read(self.tenant.id).await.map_err(failed)?;
        let rows = escalations::of_conversation(&mut tx, conversation, MAX_ESCALATIONS).await.map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        for row in rows {
            let data = json!({
                "id": row.id,
                "conversation_id": conversation,
                "message_id": row.message,
                "reason": row.reason,
                "evidence": row.evidence,
                "status": row.status,
                "created_at": row.created_at,
                "resolved_at": row.resolved_at,
            });
            self.line("escalation", data).await?;
        }
        Ok(())
    }

    /// Of a conversation, or all of the tenant's.
    async fn events(&mut self, conversation: Option<ConversationId>) -> io::Result<()> {
        let mut before = None;
        loop {
            let mut tx = self.state.read(self.tenant.id).await.map_err(failed)?;
            let rows = match conversation {
                Some(conversation) => events::of_conversation(&mut tx, conversation, before, PAGE).await,
                None => events::list(&mut tx, None, before, PAGE).await,
            };
            let rows = rows.map_err(failed)?;
            tx.commit().await.map_err(failed)?;
            let Some(last) = rows.last() else { return Ok(()) };
            before = Some(last.id);
            for row in rows {
                self.line("event", Event::from(row)).await?;
            }
            self.flush().await?;
        }
    }

    async fn line(&mut self, kind: &str, data: impl Serialize) -> io::Result<()> {
        let begun = self.buffer.len();
        serde_json::to_writer(&mut self.buffer, &Tagged { kind, data })?;
        self.buffer.push(b'\n');
        self.lines += 1;
        if self.buffer.len() / TURN > begun / TURN {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.buffer));
        match tokio::time::timeout(STALL, self.out.send(Ok(piece))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone")),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")),
        }
    }
}

fn failed(error: StoreError) -> io::Error {
    io::Error::other(error)
}
