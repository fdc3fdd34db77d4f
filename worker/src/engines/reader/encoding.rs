//! Bytes of a text in any common encoding to text.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// Bytes in which an HTML page names its encoding.
const PROLOGUE: usize = 1024;
/// Of the characters beyond ASCII, one in so many may be broken in a text that still counts as UTF-8.
const TOLERANCE: usize = 10;

/// The text in the bytes, by the first of these that decides: a byte order mark, UTF-16's zeros, validity as UTF-8, the
/// encoding that `content_type` or the page itself names, UTF-8 with some broken characters, and what the letters look like.
/// Never fails: what cannot be decoded becomes U+FFFD. NUL characters are left out, since Postgres cannot store them.
pub fn decode(bytes: &[u8], content_type: &str) -> String {
    let text = if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        encoding.decode_without_bom_handling(&bytes[mark..]).0
    } else if let Some(encoding) = wide(bytes) {
        encoding.decode_without_bom_handling(bytes).0
    } else if let Ok(text) = std::str::from_utf8(bytes) {
        Cow::Borrowed(text)
    } else {
        let encoding = named(content_type.as_bytes())
            .or_else(|| named(&bytes[..bytes.len().min(PROLOGUE)]))
            .or_else(|| nearly_utf8(bytes).then_some(UTF_8))
            .unwrap_or_else(|| guessed(bytes));
        encoding.decode_without_bom_handling(bytes).0
    };
    if text.contains('\0') { text.replace('\0', "") } else { text.into_owned() }
}

/// UTF-16 without a mark: every other byte of its Latin letters, spaces and line ends is zero, and no text in another
/// encoding holds zeros.
pub fn wide(bytes: &[u8]) -> Option<&'static Encoding> {
    let pairs = bytes.as_chunks::<2>().0;
    let zeros = |at: usize| pairs.iter().filter(|pair| pair[at] == 0).count();
    let (high, low) = (zeros(0), zeros(1));
    let enough = |zeros: usize, others: usize| zeros * 5 >= pairs.len() * 2 && others * 50 <= zeros;
    match pairs.len() {
        0..4 => None,
        _ if enough(low, high) => Some(UTF_16LE),
        _ if enough(high, low) => Some(UTF_16BE),
        _ => None,
    }
}

/// The encoding after `charset=`, in a media type or an HTML page.
fn named(text: &[u8]) -> Option<&'static Encoding> {
    const KEY: &[u8] = b"charset=";
    let at = text.windows(KEY.len()).position(|window| window.eq_ignore_ascii_case(KEY))? + KEY.len();
    let label = text[at..].trim_ascii_start();
    let label = label.strip_prefix(b"\"").or_else(|| label.strip_prefix(b"'")).unwrap_or(label);
    let end = label.iter().position(|byte| !(byte.is_ascii_alphanumeric() || b"-_:.".contains(byte)));
    Encoding::for_label(&label[..end.unwrap_or(label.len())])
}

fn nearly_utf8(bytes: &[u8]) -> bool {
    let (mut broken, mut whole) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        whole += chunk.valid().chars().filter(|character| !character.is_ascii()).count();
        broken += usize::from(!chunk.invalid().is_empty());
    }
    broken * TOLERANCE <= whole
}

fn guessed(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    detector.guess(None, Utf8Detection::Deny)
}
