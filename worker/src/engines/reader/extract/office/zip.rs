//! The files of a ZIP archive that lies in memory (APPNOTE.TXT 6.3: 4.3.7, 4.3.12, 4.3.16), as far as Office documents use
//! them: stored or deflated, without encryption and below 4 GB.

use std::{collections::HashMap, io::Read};

use flate2::read::DeflateDecoder;

/// Sizes of the records without their names and extras, in bytes.
const LOCAL: usize = 30;
const CENTRAL: usize = 46;
const END: usize = 22;
/// Longest comment behind the end record.
const MAX_COMMENT: usize = 65_535;

pub struct Zip<'a> {
    bytes: &'a [u8],
    files: HashMap<String, File>,
}

#[derive(Debug, Clone, Copy)]
struct File {
    encrypted: bool,
    method: u16,
    size: usize,
    /// Of the local record.
    offset: usize,
}

/// Why a file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Missing,
    Encrypted,
    Damaged,
}

impl<'a> Zip<'a> {
    /// Reads the directory at the archive's end; `None` when there is none.
    pub fn open(bytes: &'a [u8]) -> Option<Self> {
        let from = bytes.len().checked_sub(END)?;
        let end = (from.saturating_sub(MAX_COMMENT)..=from).rev().find(|at| bytes[*at..].starts_with(b"PK\x05\x06"))?;
        let mut at = number(bytes, end + 16, 4)?;
        let mut files = HashMap::new();
        for _ in 0..number(bytes, end + 10, 2)? {
            if !bytes.get(at..)?.starts_with(b"PK\x01\x02") {
                return None;
            }
            let lengths = [28, 30, 32].map(|field| number(bytes, at + field, 2));
            let [Some(name), Some(extra), Some(comment)] = lengths else { return None };
            let file = File {
                encrypted: number(bytes, at + 8, 2)? & 1 == 1,
                method: u16::try_from(number(bytes, at + 10, 2)?).ok()?,
                size: number(bytes, at + 20, 4)?,
                offset: number(bytes, at + 42, 4)?,
            };
            let name = bytes.get(at + CENTRAL..at + CENTRAL + name)?;
            files.insert(String::from_utf8_lossy(name).into_owned(), file);
            at += CENTRAL + name.len() + extra + comment;
        }
        Some(Self { bytes, files })
    }

    pub fn holds(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// A file's bytes, unpacked as they are read.
    pub fn read(&self, name: &str) -> Result<Box<dyn Read + 'a>, Refusal> {
        let file = self.files.get(name).ok_or(Refusal::Missing)?;
        if file.encrypted {
            return Err(Refusal::Encrypted);
        }
        let packed = self.packed(*file).ok_or(Refusal::Damaged)?;
        match file.method {
            0 => Ok(Box::new(packed)),
            8 => Ok(Box::new(DeflateDecoder::new(packed))),
            _ => Err(Refusal::Damaged),
        }
    }

    fn packed(&self, file: File) -> Option<&'a [u8]> {
        if !self.bytes.get(file.offset..)?.starts_with(b"PK\x03\x04") {
            return None;
        }
        let names = number(self.bytes, file.offset + 26, 2)? + number(self.bytes, file.offset + 28, 2)?;
        let start = file.offset + LOCAL + names;
        self.bytes.get(start..start.checked_add(file.size)?)
    }
}

/// A little-endian number of some bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}
