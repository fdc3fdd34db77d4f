//! Text documents.

use std::collections::HashMap;

use super::{
    archive::{Archive, Node, attribute},
    paragraph::Blocks,
};
use crate::engines::reader::Part;

/// The text, then foot- and endnotes. Headers and footers of pages are left out, and so is what tracked changes deleted.
pub fn parts(archive: &mut Archive) -> Result<Vec<Part>, String> {
    let levels = heading_levels(archive)?;
    let mut texts = Vec::new();
    for file in ["word/document.xml", "word/footnotes.xml", "word/endnotes.xml"] {
        let text = text(archive, file, &levels)?;
        if !text.is_empty() {
            texts.push(text);
        }
    }
    Ok(vec![Part { page: None, text: texts.join("\n\n"), markdown: true }])
}

fn text(archive: &mut Archive, file: &str, levels: &HashMap<String, usize>) -> Result<String, String> {
    let mut blocks = Blocks::default();
    let (mut in_text, mut in_fallback) = (false, 0_usize);
    archive.read(file, |node| match node {
        Node::Open(start) => {
            let name = start.local_name();
            match name.as_ref() {
                // Shown instead of what stands beside it by old programs: the same again.
                "Fallback" => in_fallback += 1,
                _ if in_fallback > 0 => {}
                "t" => in_text = true,
                "tab" | "ptab" => blocks.push_text(" "),
                "br" | "cr" => blocks.push_text("\n"),
                "noBreakHyphen" => blocks.push_text("-"),
                "pStyle" => {
                    let level = attribute(start, "val").and_then(|style| levels.get(&style).copied());
                    if let (Some(level), Some(paragraph)) = (level, blocks.paragraph()) {
                        paragraph.level = level;
                    }
                }
                "numPr" => {
                    if let Some(paragraph) = blocks.paragraph() {
                        paragraph.list_item = true;
                    }
                }
                name => blocks.open(name),
            }
        }
        Node::Close("Fallback") => in_fallback = in_fallback.saturating_sub(1),
        _ if in_fallback > 0 => {}
        Node::Close("t") => in_text = false,
        Node::Close(name) => blocks.close(name),
        Node::Text(text) if in_text => blocks.push_text(text),
        _ => {}
    })?;
    Ok(blocks.finish())
}

/// Levels of the styles that are headings, by the style's id, which programs translate; the name they do not.
fn heading_levels(archive: &mut Archive) -> Result<HashMap<String, usize>, String> {
    let mut levels = HashMap::new();
    let mut style = String::new();
    archive.read("word/styles.xml", |node| {
        let Node::Open(start) = node else { return };
        match start.local_name().as_ref() {
            "style" => style = attribute(start, "styleId").unwrap_or_default(),
            "name" => {
                let name = attribute(start, "val").unwrap_or_default().to_ascii_lowercase();
                let level = name.strip_prefix("heading ").and_then(|level| level.parse().ok());
                if let Some(level) = level.or((name == "title").then_some(1)) {
                    levels.insert(style.clone(), level);
                }
            }
            // From 0; 9 is text.
            "outlineLvl" => {
                if let Some(level @ 0..9) = attribute(start, "val").and_then(|level| level.parse::<usize>().ok()) {
                    levels.entry(style.clone()).or_insert(level + 1);
                }
            }
            _ => {}
        }
    })?;
    Ok(levels)
}
