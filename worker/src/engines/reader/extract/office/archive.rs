//! The archive of an Office document and the XML files in it.

use std::{
    borrow::Cow,
    collections::HashMap,
    io::{BufReader, Read},
};

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesRef, BytesStart, Event},
};

use super::zip::{Refusal, Zip};

/// Most bytes that a document's files are unpacked to, together.
const MAX_UNPACKED: u64 = 256 * 1024 * 1024;

pub struct Archive<'a> {
    zip: Zip<'a>,
    /// Bytes that may still be unpacked.
    left: u64,
}

/// What a reader of an XML file is told; names are without their prefix. An empty element is opened and closed.
pub enum Node<'a> {
    Open(&'a BytesStart<'a>),
    Close(&'a str),
    Text(&'a str),
}

impl<'a> Archive<'a> {
    pub fn open(bytes: &'a [u8]) -> Result<Self, String> {
        match Zip::open(bytes) {
            Some(zip) => Ok(Self { zip, left: MAX_UNPACKED }),
            None => Err("The document is damaged: its archive could not be opened.".to_owned()),
        }
    }

    pub fn holds(&self, name: &str) -> bool {
        self.zip.holds(name)
    }

    /// Shows an XML file to `visit`; returns false when there is none of this name.
    ///
    /// # Errors
    ///
    /// A sentence for the tenant, when the file is damaged or is unpacked to more than there may be.
    pub fn read(&mut self, name: &str, mut visit: impl FnMut(Node<'_>)) -> Result<bool, String> {
        let file = match self.zip.read(name) {
            Ok(file) => file,
            Err(Refusal::Missing) => return Ok(false),
            Err(Refusal::Encrypted) => {
                return Err("The document is encrypted. Upload a version without a password.".to_owned());
            }
            Err(Refusal::Damaged) => return Err(damaged(name)),
        };
        // One byte more tells that there were more.
        let mut reader = Reader::from_reader(BufReader::new(file.take(self.left + 1)));
        reader.config_mut().check_end_names = false;
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            let event = reader.read_event_into(&mut buffer);
            match &event {
                Ok(Event::Start(start)) => visit(Node::Open(start)),
                Ok(Event::Empty(start)) => {
                    visit(Node::Open(start));
                    visit(Node::Close(start.local_name().as_ref()));
                }
                Ok(Event::End(end)) => visit(Node::Close(end.local_name().as_ref())),
                Ok(Event::Text(text)) => visit(Node::Text(&text.xml10_content())),
                Ok(Event::CData(text)) => visit(Node::Text(&text.xml10_content())),
                Ok(Event::GeneralRef(entity)) => visit(Node::Text(&resolved(entity))),
                Ok(Event::Eof) | Err(_) => {}
                Ok(_) => {}
            }
            let ended = matches!(event, Ok(Event::Eof));
            let broken = event.is_err();
            if ended || broken {
                let left = reader.get_ref().get_ref().limit();
                if left == 0 {
                    let most = MAX_UNPACKED >> 20;
                    return Err(format!("The document is too large: it unpacks to more than {most} MB."));
                }
                self.left = left - 1;
                return if broken { Err(damaged(name)) } else { Ok(true) };
            }
        }
    }

    /// Targets of the relations of a file, by their ids; with their folder, as names in the archive.
    pub fn relations(&mut self, name: &str) -> Result<HashMap<String, Relation>, String> {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let mut relations = HashMap::new();
        self.read(&format!("{folder}/_rels/{file}.rels"), |node| {
            if let Node::Open(start) = node
                && let (Some(id), Some(target)) = (attribute(start, "Id"), attribute(start, "Target"))
            {
                let kind = attribute(start, "Type").unwrap_or_default();
                relations.insert(id, Relation { kind, target: absolute(folder, &target) });
            }
        })?;
        Ok(relations)
    }
}

pub struct Relation {
    /// A URI that ends with the kind's name.
    pub kind: String,
    pub target: String,
}

/// The value of an attribute, whatever its prefix.
pub fn attribute(start: &BytesStart, name: &str) -> Option<String> {
    let found =
        start.attributes().with_checks(false).flatten().find(|found| found.key.local_name().as_ref() == name)?;
    Some(found.normalized_value(XmlVersion::Implicit1_0).map_or_else(|_| found.value.to_string(), Cow::into_owned))
}

fn resolved(entity: &BytesRef) -> String {
    if let Ok(Some(character)) = entity.resolve_char_ref() {
        return character.to_string();
    }
    let text = match entity.xml10_content().as_ref() {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "quot" => "\"",
        "apos" => "'",
        _ => "",
    };
    text.to_owned()
}

fn absolute(folder: &str, target: &str) -> String {
    if let Some(absolute) = target.strip_prefix('/') {
        return absolute.to_owned();
    }
    let mut path: Vec<&str> = folder.split('/').filter(|step| !step.is_empty()).collect();
    for step in target.split('/') {
        match step {
            ".." => drop(path.pop()),
            step => path.push(step),
        }
    }
    path.join("/")
}

fn damaged(name: &str) -> String {
    format!("The document is damaged: {name} in it could not be read.")
}
