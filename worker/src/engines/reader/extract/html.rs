//! HTML to Markdown.

mod boilerplate;

use std::rc::Rc;

use htmd::{
    Element, HtmlToMarkdown, Node,
    element_handler::Handlers,
    options::{BulletListMarker, Options},
};

/// Share of a page's words, in percent, that must be left without its frame; less, and the frame is taken for content.
const LEAST_LEFT: usize = 20;

/// The page's content as Markdown, without its frame; links keep their words and lose their addresses. The page's title
/// stands above a page that has no heading of its own.
pub fn markdown(html: &str) -> String {
    let options = Options {
        bullet_list_marker: BulletListMarker::Dash,
        ul_bullet_spacing: 1,
        ol_number_spacing: 1,
        ..Options::default()
    };
    let converter = HtmlToMarkdown::builder()
        .options(options)
        .add_handler(vec!["a"], |handlers: &dyn Handlers, element: Element| Some(handlers.walk_children(element.node)))
        .skip_tags(vec!["head", "img"])
        .build();
    let parse = || converter.html_to_tree(html).unwrap_or_else(|_| unreachable!("the parser reads from memory"));
    let page = parse();
    boilerplate::remove_invisible(&page);
    let words = boilerplate::words(&page);
    boilerplate::remove_frame(&page, words);
    if boilerplate::words(&page) * 100 >= words * LEAST_LEFT {
        return titled(&page, &converter.tree_to_markdown(&page));
    }
    let whole = parse();
    boilerplate::remove_invisible(&whole);
    titled(&whole, &converter.tree_to_markdown(&whole))
}

fn titled(page: &Rc<Node>, markdown: &str) -> String {
    match boilerplate::title(page) {
        Some(title) => format!("# {title}\n\n{markdown}"),
        None => markdown.to_owned(),
    }
}
