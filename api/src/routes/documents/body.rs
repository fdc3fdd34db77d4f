//! The two forms of an upload's body.

use axum::{
    body::Bytes,
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
    http::{HeaderMap, StatusCode, header},
};
use jobs::domain::document::{MAX_BYTES, MAX_NAME_CHARS, MAX_TAG_CHARS, MAX_TAGS};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    extract::{Json, is_json},
    openapi::schemas,
    problem::{Fields, Kind, Problem},
};

/// Longest content type, in characters.
const MAX_CONTENT_TYPE: usize = 255;
/// Claimed for a file that claims nothing; the bytes decide.
const UNKNOWN: &str = "application/octet-stream";

/// A document whose text travels in the body.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TextUpload)]
pub struct Text {
    /// 1 to 255 characters.
    #[schema(example = "Returns and refunds", min_length = 1, max_length = 255)]
    name: String,
    #[schema(example = "text/markdown", min_length = 1, max_length = 255, pattern = "/")]
    content_type: String,
    #[schema(min_length = 1, example = "# Returns\n\nYou can return most items within 30 days of delivery.")]
    text: String,
    /// At most 20, of at most 64 characters each.
    #[serde(default)]
    #[schema(schema_with = schemas::document_tags)]
    tags: Vec<String>,
    /// A BCP 47 tag.
    #[schema(example = "en", max_length = 35, pattern = "^[A-Za-z0-9-]+$")]
    language: Option<String>,
}

/// A document that travels as a file.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code, reason = "describes the form, which is read field by field")]
#[serde(deny_unknown_fields)]
#[schema(as = FileUpload)]
pub struct File {
    /// At most 50 MB.
    #[schema(value_type = String, format = Binary, min_length = 1)]
    file: Vec<u8>,
    /// The file's name stands in when it is absent.
    #[schema(nullable = false, max_length = 255)]
    name: Option<String>,
    /// Separated by commas; the field may also be repeated.
    #[schema(nullable = false, pattern = "^([^,]{1,64}(,[^,]{1,64}){0,19})?$", example = "returns,tents")]
    tags: Option<String>,
    #[schema(nullable = false, max_length = 35, pattern = "^[A-Za-z0-9-]+$")]
    language: Option<String>,
}

/// A document about to be stored.
#[derive(Debug, Default)]
pub struct Upload {
    pub name: String,
    pub content_type: String,
    pub tags: Vec<String>,
    pub language: Option<String>,
    pub bytes: Bytes,
}

pub async fn read(request: Request) -> Result<Upload, Problem> {
    let upload = if is_json(request.headers()) {
        let Json(Text { name, content_type, text, tags, language }) = Json::from_request(request, &()).await?;
        Upload { name, content_type, tags, language, bytes: text.into() }
    } else if is_form(request.headers()) {
        form(request).await?
    } else {
        let detail = "Send the document as application/json or multipart/form-data.";
        return Err(Problem::new(Kind::UnsupportedMediaType).detail(detail));
    };
    check(&upload)?;
    Ok(upload)
}

fn is_form(headers: &HeaderMap) -> bool {
    let claimed = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    claimed.to_ascii_lowercase().starts_with("multipart/form-data")
}

async fn form(request: Request) -> Result<Upload, Problem> {
    let mut form = Multipart::from_request(request, &()).await.map_err(|refused| {
        Problem::new(Kind::MalformedRequest).detail("The form has no valid boundary.").cause(refused)
    })?;
    let mut upload = Upload::default();
    let (mut file_name, mut has_file) = (None, false);
    while let Some(field) = form.next_field().await.map_err(broken)? {
        match field.name().unwrap_or_default() {
            "file" if has_file => return Err(Problem::field("file", "is there twice")),
            "file" => {
                has_file = true;
                file_name = field.file_name().map(str::to_owned);
                upload.content_type = field.content_type().unwrap_or(UNKNOWN).to_owned();
                upload.bytes = field.bytes().await.map_err(broken)?;
            }
            "name" => upload.name = text(field).await?,
            "language" => upload.language = Some(text(field).await?),
            "tags" => {
                let tags = text(field).await?;
                upload.tags.extend(tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned));
                if upload.tags.len() > MAX_TAGS {
                    break;
                }
            }
            other => return Err(Problem::field(other, "is not a field of this form")),
        }
    }
    if !has_file {
        return Err(Problem::field("file", "is missing"));
    }
    if upload.name.is_empty() {
        upload.name = file_name.unwrap_or_default();
    }
    Ok(upload)
}

async fn text(field: Field<'_>) -> Result<String, Problem> {
    field.text().await.map_err(broken)
}

fn broken(error: MultipartError) -> Problem {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Kind::PayloadTooLarge),
        _ => {
            Problem::new(Kind::MalformedRequest).detail("The form breaks off or is not valid.").cause(error.body_text())
        }
    }
}

fn check(upload: &Upload) -> Result<(), Problem> {
    if upload.bytes.len() > MAX_BYTES {
        return Err(Problem::new(Kind::PayloadTooLarge).with("limit", MAX_BYTES));
    }
    let mut fields = Fields::default();
    if upload.bytes.is_empty() {
        fields.refuse("text", "the document is empty");
    }
    fields.text("name", &upload.name, 1..=MAX_NAME_CHARS);
    fields.text("content_type", &upload.content_type, 1..=MAX_CONTENT_TYPE);
    if !upload.content_type.contains('/') {
        fields.refuse("content_type", "is not a media type such as text/markdown");
    }
    if upload.tags.len() > MAX_TAGS {
        fields.refuse("tags", format!("has more than {MAX_TAGS} tags"));
    }
    for (at, tag) in upload.tags.iter().enumerate().take(MAX_TAGS) {
        fields.text(&format!("tags[{at}]"), tag, 1..=MAX_TAG_CHARS);
    }
    if let Some(language) = &upload.language {
        fields.language("language", language);
    }
    fields.finish()
}
