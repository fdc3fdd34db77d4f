use tests::files::{deflated, zip};

use super::*;

fn office(files: &[(&str, &str)]) -> Vec<u8> {
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, deflated(text.as_bytes()))).collect();
    zip(&files)
}

fn relation(id: &str, kind: &str, target: &str) -> String {
    format!("<Relationships><Relationship Id=\"{id}\" Type=\"http://x/{kind}\" Target=\"{target}\"/></Relationships>")
}

#[tokio::test]
async fn a_docx_keeps_headings_lists_and_tables() {
    let styles = "<w:styles><w:style w:styleId=\"berschrift1\"><w:name w:val=\"heading 1\"/></w:style></w:styles>";
    let cell = |text: &str| format!("<w:tc><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>");
    let row = |a: &str, b: &str| format!("<w:tr>{}{}</w:tr>", cell(a), cell(b));
    let document = format!(
        "<w:document><w:body><w:p><w:pPr><w:pStyle w:val=\"berschrift1\"/></w:pPr><w:r><w:t>Zelte &amp; Co</w:t></w:r></w:p>\
        <w:p><w:r><w:t>Ein </w:t></w:r><w:r><w:t>Absatz.</w:t></w:r><w:del><w:r><w:delText>weg</w:delText></w:r></w:del></w:p>\
        <w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>Punkt</w:t></w:r></w:p>\
        <w:tbl>{}{}{}</w:tbl></w:body></w:document>",
        row("Name", "Preis"),
        row("Zelt", "99"),
        row("Kocher", "45"),
    );
    let file = office(&[("word/document.xml", &document), ("word/styles.xml", styles)]);
    let read = passages(file, "application/octet-stream").await;
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].heading.as_deref(), Some("Zelte & Co"));
    assert_eq!(read[0].text, "Ein Absatz.\n\n- Punkt\n\nName: Zelt\nPreis: 99\n\nName: Kocher\nPreis: 45");
}

#[tokio::test]
async fn a_pptx_is_read_by_slide_with_its_notes() {
    let shape = |kind: &str, text: &str| {
        format!("<p:sp><p:nvPr><p:ph type=\"{kind}\"/></p:nvPr><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:sp>")
    };
    let first =
        format!("<p:sld>{}{}{}</p:sld>", shape("title", "Tents"), shape("body", "Two models."), shape("sldNum", "7"));
    let second = format!("<p:sld>{}{}</p:sld>", shape("ctrTitle", "Stoves"), shape("body", "One model."));
    let relations = "<Relationships><Relationship Id=\"rId1\" Type=\"x/slide\" Target=\"slides/slide2.xml\"/>\
        <Relationship Id=\"rId2\" Type=\"x/slide\" Target=\"/ppt/slides/slide1.xml\"/></Relationships>";
    let list = "<p:presentation><p:sldIdLst><p:sldId id=\"256\" r:id=\"rId2\"/><p:sldId id=\"257\" r:id=\"rId1\"/></p:sldIdLst></p:presentation>";
    let notes = format!("<p:notes>{}</p:notes>", shape("body", "Say it slowly."));
    let file = office(&[
        ("ppt/presentation.xml", list),
        ("ppt/_rels/presentation.xml.rels", relations),
        ("ppt/slides/slide1.xml", &first),
        ("ppt/slides/_rels/slide1.xml.rels", &relation("rId9", "notesSlide", "../notesSlides/notesSlide1.xml")),
        ("ppt/notesSlides/notesSlide1.xml", &notes),
        ("ppt/slides/slide2.xml", &second),
    ]);
    let read = passages(file, "application/octet-stream").await;
    let read: Vec<_> = read.iter().map(|p| (p.page, p.heading.as_deref().unwrap(), p.text.as_str())).collect();
    assert_eq!(read, [(Some(1), "Tents", "Two models.\n\nSay it slowly."), (Some(2), "Stoves", "One model.")]);
}

#[tokio::test]
async fn an_xlsx_is_read_by_sheet_under_its_columns() {
    let sheet = "<worksheet><sheetData><row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c><c r=\"B1\" t=\"s\"><v>1</v></c>\
        <c r=\"C1\" t=\"inlineStr\"><is><t>In stock</t></is></c></row><row r=\"2\"><c r=\"A2\" t=\"s\"><v>2</v></c>\
        <c r=\"B2\" s=\"1\"><v>45292</v></c><c r=\"C2\" t=\"b\"><v>1</v></c></row>\
        <row r=\"3\"><c r=\"A3\"><v>42</v></c><c r=\"C3\"><f>A3*2</f><v>84</v></c></row></sheetData></worksheet>";
    let file = office(&[
        ("xl/workbook.xml", "<workbook><sheets><sheet name=\"Stock\" r:id=\"rId1\"/></sheets></workbook>"),
        ("xl/_rels/workbook.xml.rels", &relation("rId1", "worksheet", "worksheets/sheet1.xml")),
        ("xl/sharedStrings.xml", "<sst><si><t>Name</t></si><si><r><t>Since</t></r></si><si><t>Tent</t></si></sst>"),
        ("xl/styles.xml", "<styleSheet><cellXfs><xf numFmtId=\"0\"/><xf numFmtId=\"14\"/></cellXfs></styleSheet>"),
        ("xl/worksheets/sheet1.xml", sheet),
    ]);
    let read = passages(file, "application/octet-stream").await;
    assert_eq!(read[0].heading.as_deref(), Some("Stock"));
    assert_eq!(read[0].text, "Name: Tent\nSince: 2024-01-01\nIn stock: yes\n\nName: 42\nIn stock: 84");
}
