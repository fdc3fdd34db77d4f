//! What a page holds besides its content: scripts, what nobody sees, and the site's frame around it.
//!
//! The walks are recursive; the thread they run on has a stack for deep pages.

use std::rc::Rc;

use htmd::Node;
use markup5ever_rcdom::NodeData;

/// Elements that hold no text for a reader.
const INVISIBLE: [&str; 15] = [
    "script", "style", "noscript", "template", "iframe", "svg", "object", "canvas", "button", "select", "textarea",
    "input", "label", "dialog", "datalist",
];
/// Roles of the frame, by which a `div` says what it is.
const FRAME_ROLES: [&str; 7] =
    ["navigation", "banner", "contentinfo", "complementary", "search", "dialog", "alertdialog"];
/// A class or id of a notice about cookies names them together with one of these.
const NOTICES: [&str; 10] =
    ["banner", "consent", "notice", "popup", "bar", "law", "modal", "overlay", "dialog", "message"];
/// A part of the frame holds at most this share of the page's words, in percent, unless it is a list of links.
const MOST_OF_PAGE: usize = 30;

/// Takes out what is not shown.
pub fn remove_invisible(node: &Rc<Node>) {
    retain(node, &|child| {
        let Some(tag) = tag(child) else { return !matches!(child.data, NodeData::Comment { .. }) };
        let style = attribute(child, "style").unwrap_or_default().replace(' ', "").to_ascii_lowercase();
        !INVISIBLE.contains(&tag)
            && attribute(child, "hidden").is_none()
            && !style.contains("display:none")
            && !style.contains("visibility:hidden")
    });
}

/// Takes out navigation, headers, footers, asides and notices about cookies. `words` are those of the whole page.
pub fn remove_frame(node: &Rc<Node>, words: usize) {
    remove_frame_of(node, words, false);
}

/// `within` an article or the main part, headers and footers are content.
fn remove_frame_of(node: &Rc<Node>, page_words: usize, within: bool) {
    retain_here(node, &|child| {
        if !is_frame(child, within) {
            return true;
        }
        let own = words(child);
        own * 100 > page_words * MOST_OF_PAGE && linked_words(child) * 2 < own
    });
    for child in node.children.borrow().iter() {
        remove_frame_of(child, page_words, within || matches!(tag(child), Some("main" | "article")));
    }
}

fn is_frame(node: &Rc<Node>, within: bool) -> bool {
    match tag(node) {
        None | Some("html" | "body" | "main" | "article") => return false,
        Some("nav" | "aside") => return true,
        Some("header" | "footer") if !within => return true,
        Some(_) => {}
    }
    attribute(node, "role").is_some_and(|role| FRAME_ROLES.contains(&role.to_ascii_lowercase().as_str()))
        || ["class", "id"].iter().any(|name| attribute(node, name).is_some_and(|value| is_cookie_notice(&value)))
}

fn is_cookie_notice(names: &str) -> bool {
    names.to_ascii_lowercase().split_whitespace().any(|name| {
        let parts: Vec<&str> = name.split(['-', '_']).collect();
        let about_cookies = parts.iter().any(|part| matches!(*part, "cookie" | "cookies" | "gdpr"));
        matches!(name, "cookieconsent" | "cookiebanner" | "gdpr")
            || (about_cookies && parts.iter().any(|part| NOTICES.contains(part)))
    })
}

/// Words in an element.
pub fn words(node: &Rc<Node>) -> usize {
    match &node.data {
        NodeData::Text { contents } => contents.borrow().split_whitespace().count(),
        _ if tag(node) == Some("head") => 0,
        _ => node.children.borrow().iter().map(words).sum(),
    }
}

fn linked_words(node: &Rc<Node>) -> usize {
    match tag(node) {
        Some("a") => words(node),
        _ => node.children.borrow().iter().map(linked_words).sum(),
    }
}

/// The page's title, where no heading of the first level says what it is about.
pub fn title(page: &Rc<Node>) -> Option<String> {
    if find(page, "h1").is_some() {
        return None;
    }
    let title = find(page, "title")?;
    let words: Vec<String> = title.children.borrow().iter().filter_map(text).collect();
    let title = words.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    (!title.is_empty()).then_some(title)
}

fn text(node: &Rc<Node>) -> Option<String> {
    match &node.data {
        NodeData::Text { contents } => Some(contents.borrow().to_string()),
        _ => None,
    }
}

fn find(node: &Rc<Node>, name: &str) -> Option<Rc<Node>> {
    if tag(node) == Some(name) {
        return Some(Rc::clone(node));
    }
    node.children.borrow().iter().find_map(|child| find(child, name))
}

fn retain(node: &Rc<Node>, keep: &impl Fn(&Rc<Node>) -> bool) {
    retain_here(node, keep);
    node.children.borrow().iter().for_each(|child| retain(child, keep));
}

fn retain_here(node: &Rc<Node>, keep: &impl Fn(&Rc<Node>) -> bool) {
    node.children.borrow_mut().retain(|child| {
        let kept = keep(child);
        if !kept {
            child.parent.set(None);
        }
        kept
    });
}

fn tag(node: &Node) -> Option<&str> {
    match &node.data {
        NodeData::Element { name, .. } => Some(&name.local),
        _ => None,
    }
}

fn attribute(node: &Node, name: &str) -> Option<String> {
    match &node.data {
        NodeData::Element { attrs, .. } => {
            let attrs = attrs.borrow();
            attrs.iter().find(|attribute| &*attribute.name.local == name).map(|attribute| attribute.value.to_string())
        }
        _ => None,
    }
}
