//! Documents: uploaded as JSON text or as a file, then watched until they can be searched.

use std::fmt;
use std::time::Duration;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::{Client, ClientError};

const UPLOAD_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Sixteen documents at once stay within a small plan's rate limit.
const LONGEST_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// A document whose text travels in the JSON body.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TextUpload {
    pub name: String,
    pub content_type: String,
    pub text: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// A document that travels as a multipart file.
#[derive(Clone, Debug, Default)]
pub struct FileUpload {
    pub file_name: String,
    pub content_type: String,
    pub bytes: Vec<u8>,
    /// The file's name stands in when it is absent.
    pub name: Option<String>,
    pub tags: Vec<String>,
    pub language: Option<String>,
}

/// An upload's answer holds only id and status; the rest fills in when it is read again.
#[derive(Clone, Debug, Deserialize)]
pub struct Document {
    pub id: String,
    #[serde(default)]
    pub name: String,
    pub status: DocumentStatus,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub chunk_count: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentStatus {
    Pending,
    Processing,
    Ready,
    Failed,
    Stale,
    #[serde(other)]
    Unknown,
}

impl DocumentStatus {
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Ready | Self::Failed | Self::Stale)
    }
}

impl fmt::Display for DocumentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Stale => "stale",
            Self::Unknown => "unknown",
        })
    }
}

impl Client {
    pub async fn upload_text(&self, upload: &TextUpload) -> Result<Document, ClientError> {
        let request = self.request(Method::POST, "/v1/documents").json(upload);
        self.send(request.timeout(UPLOAD_TIMEOUT)).await?.parse()
    }

    pub async fn upload_file(&self, upload: FileUpload) -> Result<Document, ClientError> {
        let part = Part::bytes(upload.bytes)
            .file_name(upload.file_name)
            .mime_str(&upload.content_type)
            .map_err(|source| ClientError::Transport { call: "preparing an upload".into(), source })?;
        let mut form = Form::new();
        if let Some(name) = upload.name {
            form = form.text("name", name);
        }
        if !upload.tags.is_empty() {
            form = form.text("tags", upload.tags.join(","));
        }
        if let Some(language) = upload.language {
            form = form.text("language", language);
        }
        let request = self.request(Method::POST, "/v1/documents").multipart(form.part("file", part));
        self.send(request.timeout(UPLOAD_TIMEOUT)).await?.parse()
    }

    pub async fn document(&self, id: &str) -> Result<Document, ClientError> {
        let request = self.request(Method::GET, &format!("/v1/documents/{id}"));
        self.send(request).await?.parse()
    }

    pub async fn delete_document(&self, id: &str) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &format!("/v1/documents/{id}"));
        self.send(request).await.map(drop)
    }

    /// Polls until the document is ready or has failed: a failed document is not an error of the call.
    pub async fn settled_document(&self, id: &str, limit: Duration) -> Result<Document, ClientError> {
        let deadline = Instant::now() + limit;
        let mut pause = POLL_INTERVAL;
        loop {
            let document = self.document(id).await?;
            if document.status.is_settled() {
                return Ok(document);
            }
            if Instant::now() >= deadline {
                let what = format!("document {id} ({}) was still {}", document.name, document.status);
                return Err(ClientError::TooLate { what, limit });
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_POLL_INTERVAL);
        }
    }
}
