//! Which format the bytes are, whatever the uploader claims.

use jobs::ports::ReadError;

use super::encoding;

/// Bytes looked at to tell text from binary, and a PDF's header may stand this far in.
const LOOKED_AT: usize = 8 * 1024;
/// In a text, one byte in so many may be a control character that no text holds.
const CONTROLS: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Markdown,
    Html,
    Csv,
    /// One value, or one a line.
    Json,
    Pdf,
    /// DOCX, PPTX or XLSX; which one the archive's directory tells.
    Office,
}

/// Beginnings of formats that are recognised and not read.
const UNSUPPORTED: [(&[u8], &str); 12] = [
    (b"\xD0\xCF\x11\xE0", "an older Office document (DOC, XLS, PPT)"),
    (b"{\\rtf", "an RTF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xFF\xD8\xFF", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "a WebP image, sound or video"),
    (b"\x1F\x8B", "a gzip archive"),
    (b"7z\xBC\xAF", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7FELF", "a program"),
    (b"MZ\x90", "a program"),
    (b"SQLite format 3", "a database"),
];

impl Format {
    /// The format of a document, by its bytes where they tell and by the claim where text formats look alike.
    ///
    /// # Errors
    ///
    /// [`ReadError::Unreadable`] for an empty file, a format that is not read, and bytes that are no text.
    pub fn of(bytes: &[u8], content_type: &str) -> Result<Self, ReadError> {
        if bytes.is_empty() {
            return Err(ReadError::Unreadable("The file is empty.".into()));
        }
        let beginning = &bytes[..bytes.len().min(LOOKED_AT)];
        if beginning.windows(5).take(1024).any(|window| window == b"%PDF-") {
            return Ok(Self::Pdf);
        }
        if beginning.starts_with(b"PK\x03\x04") {
            return Ok(Self::Office);
        }
        if is_locked_office(bytes) {
            let reason = "The document is encrypted. Upload a version without a password.";
            return Err(ReadError::Unreadable(reason.into()));
        }
        if let Some((_, name)) = UNSUPPORTED.iter().find(|(magic, _)| beginning.starts_with(magic)) {
            return Err(ReadError::Unreadable(format!("This file type is not supported: it is {name}.")));
        }
        let wide = matches!(beginning, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]) || encoding::wide(beginning).is_some();
        if !wide && (controls(beginning) > 0 || controls(bytes) > bytes.len() / CONTROLS) {
            return Err(ReadError::Unreadable("This file type is not supported: the file is not text.".into()));
        }
        Ok(Self::of_text(&encoding::decode(beginning, content_type), content_type))
    }

    fn of_text(beginning: &str, content_type: &str) -> Self {
        let claim = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let start = beginning.trim_start();
        let tag = start.get(..14).unwrap_or(start).to_ascii_lowercase();
        if tag.starts_with("<!doctype html") || tag.starts_with("<html") {
            return Self::Html;
        }
        let braced = start.starts_with(['{', '[']);
        match claim.as_str() {
            "text/html" | "application/xhtml+xml" if start.contains('<') => Self::Html,
            "application/json" | "text/json" | "application/x-ndjson" | "application/jsonl" if braced => Self::Json,
            "text/csv" | "application/csv" | "text/tab-separated-values" => Self::Csv,
            "text/markdown" | "text/x-markdown" => Self::Markdown,
            "text/plain" => Self::Text,
            _ if braced && (start[1..].trim_start().starts_with(['"', '{', '[', ']', '}'])) => Self::Json,
            _ if beginning.lines().any(is_markdown_heading) => Self::Markdown,
            _ if looks_like_csv(beginning) => Self::Csv,
            _ => Self::Text,
        }
    }

    /// The format that [`Format::name`] gave its name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Text, Self::Markdown, Self::Html, Self::Csv, Self::Json, Self::Pdf, Self::Office]
            .into_iter()
            .find(|format| format.name() == name)
    }

    /// What the format is called towards the child process.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Pdf => "pdf",
            Self::Office => "office",
        }
    }
}

/// Characters that no text holds.
fn controls(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| matches!(byte, 0..=8 | 14..=26 | 28..=31)).count()
}

/// With a password, a DOCX is a stream of this name in the container of the older formats.
fn is_locked_office(bytes: &[u8]) -> bool {
    let name: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
    bytes.starts_with(b"\xD0\xCF\x11\xE0") && bytes.windows(name.len()).any(|window| window == name)
}

fn is_markdown_heading(line: &str) -> bool {
    let title = line.trim_start_matches('#');
    (1..=6).contains(&(line.len() - title.len())) && title.starts_with(' ')
}

/// At least two lines that hold the same number of one separator, under a header of short names.
fn looks_like_csv(beginning: &str) -> bool {
    let lines: Vec<&str> = beginning.lines().filter(|line| !line.trim().is_empty()).take(8).collect();
    let Some(header) = lines.first() else { return false };
    [',', ';', '\t', '|'].into_iter().any(|separator| {
        let columns = header.matches(separator).count();
        let short = header.split(separator).all(|name| name.chars().count() <= 40 && !name.contains(". "));
        lines.len() > 1 && columns > 0 && short && lines.iter().all(|line| line.matches(separator).count() == columns)
    })
}
