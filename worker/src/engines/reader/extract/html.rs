//! HTML to Markdown.

use htmd::{
    Element, HtmlToMarkdown,
    element_handler::Handlers,
    options::{BulletListMarker, Options},
};

/// Parts of a page that are not its content.
const LEFT_OUT: [&str; 14] = [
    "script", "style", "nav", "footer", "header", "head", "noscript", "template", "iframe", "svg", "form", "button",
    "aside", "img",
];

/// The page's content as Markdown; links keep their words and lose their addresses.
pub fn markdown(html: &str) -> Result<String, String> {
    let options = Options {
        bullet_list_marker: BulletListMarker::Dash,
        ul_bullet_spacing: 1,
        ol_number_spacing: 1,
        ..Options::default()
    };
    let converter = HtmlToMarkdown::builder()
        .options(options)
        .skip_tags(LEFT_OUT.to_vec())
        .add_handler(vec!["a"], |handlers: &dyn Handlers, element: Element| Some(handlers.walk_children(element.node)))
        .build();
    converter.convert(html).map_err(|error| format!("The HTML could not be read: {error}."))
}
