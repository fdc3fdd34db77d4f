//! Presentations.

use super::{
    archive::{Archive, Node, attribute},
    paragraph::Blocks,
};
use crate::engines::reader::Part;

/// Placeholders that repeat on every slide.
const FRAME: [&str; 5] = ["sldNum", "dt", "ftr", "hdr", "sldImg"];

/// One part per slide that holds text, in the order of the presentation, its title as a heading, its notes at the end.
pub fn parts(archive: &mut Archive) -> Result<Vec<Part>, String> {
    const PRESENTATION: &str = "ppt/presentation.xml";
    let relations = archive.relations(PRESENTATION)?;
    let mut slides = Vec::new();
    archive.read(PRESENTATION, |node| {
        if let Node::Open(start) = node
            && start.local_name().as_ref() == "sldId"
            // Two attributes are called `id`; the relation's has a prefix.
            && let Some(relation) = start.attributes().with_checks(false).flatten()
                .find_map(|found| relations.get(found.value.as_ref()))
        {
            slides.push(relation.target.clone());
        }
    })?;
    let mut parts = Vec::new();
    for (slide, page) in slides.iter().zip(1..) {
        let mut text = text(archive, slide)?;
        let notes = archive.relations(slide)?.into_values().find(|relation| relation.kind.ends_with("/notesSlide"));
        if let Some(notes) = notes {
            text = format!("{text}\n\n{}", self::text(archive, &notes.target)?);
        }
        if !text.trim().is_empty() {
            parts.push(Part { page: Some(page), text: text.trim().to_owned(), markdown: true });
        }
    }
    Ok(parts)
}

fn text(archive: &mut Archive, slide: &str) -> Result<String, String> {
    let mut blocks = Blocks::default();
    // What kind of shape the paragraphs are in.
    let (mut title, mut frame, mut in_text) = (false, false, false);
    archive.read(slide, |node| match node {
        Node::Open(start) => match start.local_name().as_ref() {
            "sp" => (title, frame) = (false, false),
            "ph" => {
                let kind = attribute(start, "type").unwrap_or_default();
                title = matches!(kind.as_str(), "title" | "ctrTitle");
                frame = FRAME.contains(&kind.as_str());
            }
            "p" => {
                blocks.open("p");
                if let Some(paragraph) = blocks.paragraph() {
                    paragraph.level = usize::from(title);
                }
            }
            "t" => in_text = !frame,
            "br" => blocks.push_text("\n"),
            name => blocks.open(name),
        },
        Node::Close("sp") => (title, frame) = (false, false),
        Node::Close("t") => in_text = false,
        Node::Close(name) => blocks.close(name),
        Node::Text(text) if in_text => blocks.push_text(text),
        _ => {}
    })?;
    Ok(blocks.finish())
}
