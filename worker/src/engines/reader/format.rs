//! Which format the bytes are, whatever the uploader claims.

use jobs::ports::ReadError;

/// Bytes looked at to tell text from binary, and a PDF's header may stand this far in.
const LOOKED_AT: usize = 8 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Markdown,
    Html,
    Csv,
    Json,
    Pdf,
}

/// Beginnings of formats that are recognised and not read.
const UNSUPPORTED: [(&[u8], &str); 13] = [
    (b"PK\x03\x04", "a ZIP archive or an Office document (DOCX, XLSX, PPTX)"),
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
        if let Some((_, name)) = UNSUPPORTED.iter().find(|(magic, _)| beginning.starts_with(magic)) {
            return Err(ReadError::Unreadable(format!("This file type is not supported: it is {name}.")));
        }
        let wide = matches!(beginning, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]);
        if !wide && beginning.iter().any(|byte| matches!(byte, 0..=8 | 14..=26 | 28..=31)) {
            return Err(ReadError::Unreadable("This file type is not supported: the file is not text.".into()));
        }
        let text = decode(beginning.to_vec()).unwrap_or_else(|_| String::from_utf8_lossy(beginning).into_owned());
        Ok(Self::of_text(&text, content_type))
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
            "application/json" | "text/json" if braced => Self::Json,
            "text/csv" | "application/csv" | "text/tab-separated-values" => Self::Csv,
            "text/markdown" | "text/x-markdown" => Self::Markdown,
            "text/plain" => Self::Text,
            _ if braced && (start[1..].trim_start().starts_with(['"', '{', '[', ']', '}'])) => Self::Json,
            _ if beginning.lines().any(is_markdown_heading) => Self::Markdown,
            _ if looks_like_csv(beginning) => Self::Csv,
            _ => Self::Text,
        }
    }

    /// The content type that names the format to the child process.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Markdown => "text/markdown",
            Self::Html => "text/html",
            Self::Csv => "text/csv",
            Self::Json => "application/json",
            Self::Pdf => "application/pdf",
        }
    }
}

fn is_markdown_heading(line: &str) -> bool {
    let title = line.trim_start_matches('#');
    (1..=6).contains(&(line.len() - title.len())) && title.starts_with(' ')
}

/// At least two lines that hold the same number of one separator, under a header of short names.
fn looks_like_csv(beginning: &str) -> bool {
    let lines: Vec<&str> = beginning.lines().filter(|line| !line.trim().is_empty()).take(8).collect();
    let Some(header) = lines.first() else { return false };
    [',', ';', '\t'].into_iter().any(|separator| {
        let columns = header.matches(separator).count();
        let short = header.split(separator).all(|name| name.chars().count() <= 40 && !name.contains(". "));
        lines.len() > 1 && columns > 0 && short && lines.iter().all(|line| line.matches(separator).count() == columns)
    })
}

/// The text in the bytes: UTF-8 with or without a byte order mark, or UTF-16 with one. NUL characters are left out,
/// since Postgres cannot store them.
pub fn decode(bytes: Vec<u8>) -> Result<String, ReadError> {
    let text = match bytes.as_slice() {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        _ => String::from_utf8(bytes).ok(),
    };
    let text = text.ok_or_else(|| {
        ReadError::Unreadable("The text is not valid UTF-8. Save the file as UTF-8 and upload it again.".into())
    })?;
    Ok(if text.contains('\0') { text.replace('\0', "") } else { text })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units).collect::<Result<_, _>>().ok()
}
