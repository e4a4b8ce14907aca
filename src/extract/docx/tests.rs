//! The reader on documents that are made here; the labelled cases show each rule on a whole file.

use std::io::{Cursor, Write};

use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;

const TYPE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";

/// A document whose body is this XML; further parts by the kind of their relationship.
fn docx(body: &str, parts: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut add = |name: &str, text: &str| {
        zip.start_file(name, SimpleFileOptions::default())
            .expect("a new part");
        zip.write_all(text.as_bytes()).expect("memory");
    };
    let relationship = |kind: &str, target: &str| {
        format!("<Relationship Id='r' Type='{TYPE}/{kind}' Target='{target}'/>")
    };
    let relationships = |inner: &str| format!("<Relationships>{inner}</Relationships>");
    add(
        "_rels/.rels",
        &relationships(&relationship("officeDocument", "word/document.xml")),
    );
    let related: String = parts
        .iter()
        .enumerate()
        .map(|(place, (kind, _))| relationship(kind, &format!("part{place}.xml")))
        .collect();
    add("word/_rels/document.xml.rels", &relationships(&related));
    for (place, (_, text)) in parts.iter().enumerate() {
        add(
            &format!("word/part{place}.xml"),
            &format!("<w:root>{text}</w:root>"),
        );
    }
    add(
        "word/document.xml",
        &format!("<w:document><w:body>{body}</w:body></w:document>"),
    );
    zip.finish().expect("memory").into_inner()
}

fn settings() -> Settings {
    Settings {
        types: crate::file_type::FileTypes::default(),
        max_text_bytes: 1 << 20,
        max_pages: 10,
    }
}

fn read(body: &str, parts: &[(&str, &str)]) -> Vec<(BlockKind, String)> {
    let pages = extract(&docx(body, parts), &settings(), &Value::Null).expect("a document");
    let blocks = pages.into_iter().flat_map(|page| page.blocks);
    blocks.map(|block| (block.kind, block.text)).collect()
}

fn texts(body: &str, parts: &[(&str, &str)]) -> Vec<String> {
    read(body, parts)
        .into_iter()
        .map(|(_, text)| text)
        .collect()
}

fn p(text: &str) -> String {
    format!("<w:p><w:r><w:t>{text}</w:t></w:r></w:p>")
}

fn styled(style: &str, text: &str) -> String {
    format!("<w:p><w:pPr><w:pStyle w:val='{style}'/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>")
}

fn item(list: u32, level: u32, text: &str) -> String {
    format!(
        "<w:p><w:pPr><w:numPr><w:ilvl w:val='{level}'/><w:numId w:val='{list}'/></w:numPr></w:pPr>\
         <w:r><w:t>{text}</w:t></w:r></w:p>"
    )
}

fn row(cells: &[&str]) -> String {
    let cells = cells.join("</w:tc><w:tc>");
    format!("<w:tr><w:tc>{cells}</w:tc></w:tr>")
}

const LISTS: &str = "<w:abstractNum w:abstractNumId='0'>\
    <w:lvl w:ilvl='0'><w:start w:val='1'/><w:numFmt w:val='decimal'/><w:lvlText w:val='%1.'/></w:lvl>\
    <w:lvl w:ilvl='1'><w:start w:val='1'/><w:numFmt w:val='lowerLetter'/><w:lvlText w:val='%1.%2)'/></w:lvl>\
    </w:abstractNum><w:abstractNum w:abstractNumId='1'><w:lvl w:ilvl='0'><w:numFmt w:val='bullet'/>\
    <w:lvlText w:val='&#xf0b7;'/></w:lvl></w:abstractNum>\
    <w:num w:numId='1'><w:abstractNumId w:val='0'/></w:num>\
    <w:num w:numId='2'><w:abstractNumId w:val='0'/><w:lvlOverride w:ilvl='0'><w:startOverride w:val='7'/></w:lvlOverride></w:num>\
    <w:num w:numId='3'><w:abstractNumId w:val='1'/></w:num>";

#[test]
fn headings_come_from_styles_their_bases_and_outlines() {
    let styles = "<w:style w:styleId='U2'><w:name w:val='heading 2'/></w:style>\
        <w:style w:styleId='Mine'><w:name w:val='Mine'/><w:basedOn w:val='U2'/></w:style>\
        <w:style w:styleId='Deep'><w:name w:val='Deep'/><w:pPr><w:outlineLvl w:val='2'/></w:pPr></w:style>\
        <w:style w:styleId='Loop'><w:name w:val='l'/><w:basedOn w:val='Loop'/></w:style>\
        <w:style w:styleId='Cap'><w:name w:val='caption'/></w:style>";
    let body = [
        styled("Mine", "a"),
        styled("Deep", "b"),
        styled("Loop", "c"),
        styled("Cap", "d"),
        styled("Heading1", "e"),
    ];
    let kinds: Vec<BlockKind> = read(&body.concat(), &[("styles", styles)])
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    assert_eq!(
        kinds,
        [
            BlockKind::Heading { level: 2 },
            BlockKind::Heading { level: 3 },
            BlockKind::Paragraph,
            BlockKind::Caption,
            BlockKind::Heading { level: 1 },
        ]
    );
}

#[test]
fn lists_are_counted_as_word_does() {
    let body = [
        item(1, 0, "a"),
        item(1, 1, "b"),
        item(1, 1, "c"),
        item(3, 0, "d"),
        item(1, 0, "e"),
        item(1, 1, "f"),
        item(2, 0, "g"),
        item(0, 0, "h"),
    ];
    let texts = texts(&body.concat(), &[("numbering", LISTS)]);
    assert_eq!(
        texts,
        [
            "1. a", "1.a) b", "1.b) c", "- d", "2. e", "2.a) f", "7. g", "h"
        ]
    );
}

#[test]
fn tables_are_rows_and_those_that_only_place_things_vanish() {
    let inner = format!("<w:tbl>{}</w:tbl>", row(&[&p("x"), &p("y")]));
    let body = format!(
        "<w:tbl><w:tblPr><w:tblLook w:val='04A0'/></w:tblPr>{}{}</w:tbl><w:tbl>{}{}</w:tbl>",
        row(&[&p("Name"), &p("Price")]),
        row(&[&format!("{}{}", p("Tea"), p("green")), &p("1")]),
        row(&[&p("alone")]),
        row(&[&p("side"), &inner]),
    );
    let table_row = |header, text: &str| (BlockKind::TableRow { header }, text.to_owned());
    let paragraph = |text: &str| (BlockKind::Paragraph, text.to_owned());
    assert_eq!(
        read(&body, &[]),
        [
            table_row(true, "Name | Price"),
            table_row(false, "Tea green | 1"),
            paragraph("alone"),
            paragraph("side"),
            table_row(false, "x | y"),
        ]
    );
}

#[test]
fn cells_in_content_controls_are_cells() {
    let cell = |text: &str| format!("<w:tc>{}</w:tc>", p(text));
    let framed = format!(
        "<w:sdt><w:sdtPr/><w:sdtContent>{}</w:sdtContent></w:sdt>",
        cell("Ada")
    );
    let rows = [
        format!("{}{framed}{}", cell("Name"), cell("x")),
        format!(
            "{}<w:ins>{}</w:ins><w:customXml>{}</w:customXml>",
            cell("1"),
            cell("2"),
            cell("3")
        ),
    ];
    let body = format!("<w:tbl><w:tr>{}</w:tr></w:tbl>", rows.join("</w:tr><w:tr>"));
    assert_eq!(texts(&body, &[]), ["Name | Ada | x", "1 | 2 | 3"]);
}

#[test]
fn symbols_are_read_by_their_font() {
    let of = |font: &str, codes: &[&str]| {
        let symbols = codes
            .iter()
            .map(|code| format!("<w:sym w:font='{font}' w:char='{code}'/>"));
        let body = format!("<w:p><w:r>{}</w:r></w:p>", symbols.collect::<String>());
        texts(&body, &[]).concat()
    };
    assert_eq!(of("Arial", &["00E0", "00A7", "FB01", "F041"]), "à§fi");
    assert_eq!(of("Wingdings", &["F0E0", "F0A7", "F0FC", "F041"]), "→•✓");
    let letters = ["F061", "F062", "F06D", "F044", "F057", "0070", "03B1"];
    assert_eq!(of("Symbol", &letters), "αβμΔΩπα");
    let signs = [
        "F0B1", "F0B4", "F0B8", "F0A3", "F0B3", "F0B9", "F0BB", "F0A5", "F0D6", "F0E5", "F0B6",
        "F0AE", "F0AC", "F0AB", "F0B0", "F0E7",
    ];
    assert_eq!(of("Symbol", &signs), "±×÷≤≥≠≈∞√∑∂→←↔°");
}

#[test]
fn rows_that_are_marked_as_headers_are() {
    let marked = "<w:tr><w:trPr><w:tblHeader/></w:trPr><w:tc>";
    let body = format!(
        "<w:tbl>{marked}{}</w:tc></w:tr>{}</w:tbl>",
        p("Rain in May"),
        row(&[&p("a"), &p("b")])
    );
    let table_row = |header, text: &str| (BlockKind::TableRow { header }, text.to_owned());
    assert_eq!(
        read(&body, &[]),
        [table_row(true, "Rain in May"), table_row(false, "a | b")]
    );
}

#[test]
fn options_of_another_kind_say_nothing() {
    for (options, comments) in [
        (serde_json::json!({"comments": true, "other": 1}), true),
        (serde_json::json!({"comments": "yes"}), false),
        (serde_json::json!(["comments"]), false),
        (Value::Null, false),
    ] {
        let expected = Options {
            comments,
            heading_numbers: false,
        };
        assert_eq!(Options::of(&options), expected, "{options}");
    }
}

#[test]
fn text_boxes_are_read_once() {
    let shape = |text| format!("<w:txbxContent>{}</w:txbxContent>", p(text));
    let body = format!(
        "<w:p><w:r><w:t>before</w:t></w:r><w:r><mc:AlternateContent><mc:Choice>{}</mc:Choice><mc:Fallback>{}</mc:Fallback>\
         </mc:AlternateContent></w:r></w:p><w:p><w:r><mc:AlternateContent><mc:Fallback>{}</mc:Fallback></mc:AlternateContent>\
         </w:r></w:p>",
        shape("box"),
        shape("box"),
        shape("old box")
    );
    assert_eq!(texts(&body, &[]), ["box", "before", "old box"]);
}

#[test]
fn tracked_changes_are_read_as_accepted() {
    let body = "<w:p><w:pPr><w:rPr><w:del/></w:rPr><w:pPrChange><w:pPr><w:pStyle w:val='Heading1'/></w:pPr></w:pPrChange></w:pPr>\
        <w:del><w:r><w:delText>no</w:delText></w:r></w:del><w:ins><w:r><w:t>new </w:t></w:r></w:ins></w:p>\
        <w:p><w:moveFrom><w:r><w:t>no</w:t></w:r></w:moveFrom><w:moveTo><w:r><w:t>moved</w:t></w:r></w:moveTo></w:p>\
        <w:tbl><w:tr><w:trPr><w:del/></w:trPr><w:tc><w:p><w:r><w:t>no</w:t></w:r></w:p></w:tc></w:tr></w:tbl>";
    assert_eq!(
        read(body, &[]),
        [(BlockKind::Paragraph, "new moved".to_owned())]
    );
}

#[test]
fn hidden_text_and_field_codes_are_left_out() {
    let styles = "<w:style w:styleId='H'><w:name w:val='h'/><w:rPr><w:vanish/></w:rPr></w:style>";
    let body = "<w:p><w:r><w:rPr><w:vanish/></w:rPr><w:t>no</w:t></w:r><w:r><w:rPr><w:rStyle w:val='H'/></w:rPr><w:t>no</w:t></w:r>\
        <w:r><w:rPr><w:vanish w:val='0'/></w:rPr><w:t>yes</w:t></w:r><w:r><w:instrText>PAGE no</w:instrText></w:r></w:p>";
    let body = format!("{body}{}", styled("H", "no"));
    assert_eq!(texts(&body, &[("styles", styles)]), ["yes"]);
}

#[test]
fn breaks_tabs_hyphens_and_symbols_are_text() {
    let body = "<w:p><w:pPr><w:tabs><w:tab w:val='left'/></w:tabs></w:pPr><w:r><w:t xml:space='preserve'>a &amp; &#x62;</w:t><w:tab/>\
        <w:t>c</w:t><w:br/><w:t>x</w:t><w:noBreakHyphen/><w:t>y</w:t><w:softHyphen/><w:t>z</w:t>\
        <w:sym w:font='Wingdings' w:char='F0FC'/></w:r></w:p>";
    assert_eq!(texts(body, &[]), ["a & b c\nx-yz✓"]);
}

#[test]
fn notes_follow_what_refers_to_them_and_margins_come_once() {
    let body = "<w:p><w:r><w:t>one</w:t><w:footnoteReference w:id='5'/><w:endnoteReference w:id='6'/></w:r></w:p>";
    let body = format!("{body}{}", p("two"));
    let footnotes = format!(
        "<w:footnote w:id='5'>{}{}</w:footnote><w:footnote w:id='9'>{}</w:footnote>",
        p("foot"),
        p("more"),
        p("no")
    );
    let endnotes = format!("<w:endnote w:id='6'>{}</w:endnote>", p("end"));
    let parts = [
        ("footnotes", &*footnotes),
        ("endnotes", &*endnotes),
        ("header", &p("head")),
        ("header", &p("head")),
        ("footer", &p("below")),
    ];
    assert_eq!(
        texts(&body, &parts),
        [
            "head",
            "one[1][i]",
            "[1] foot\nmore",
            "two",
            "[i] end",
            "below"
        ]
    );
}

#[test]
fn lines_of_code_stay_together() {
    let styles = "<w:style w:styleId='S'><w:name w:val='Source Code'/></w:style>";
    let body = format!(
        "{}{}{}",
        styled("S", "if a:"),
        styled("S", "    b"),
        p("end")
    );
    assert_eq!(
        read(&body, &[("styles", styles)]),
        [
            (BlockKind::Code, "if a:\n    b".to_owned()),
            (BlockKind::Paragraph, "end".to_owned())
        ]
    );
}

#[test]
fn nesting_costs_no_stack() {
    for (open, close) in [
        ("<w:tbl><w:tr><w:tc>", "</w:tc></w:tr></w:tbl>"),
        ("<w:sdt>", "</w:sdt>"),
        ("<w:p><w:r>", "</w:r></w:p>"),
        (
            "<w:p><w:r><wp:inline><w:txbxContent>",
            "</w:txbxContent></wp:inline></w:r></w:p>",
        ),
    ] {
        let body = format!(
            "{}{}{}",
            open.repeat(10_000),
            p("deep"),
            close.repeat(10_000)
        );
        assert_eq!(texts(&body, &[]), ["deep"], "{open}");
    }
}

#[test]
fn cut_and_malformed_documents_are_corrupt() {
    let whole = docx(&p("text"), &[]);
    for bytes in [&whole[..whole.len() - 30], &whole[..40]] {
        assert!(matches!(
            extract(bytes, &settings(), &Value::Null),
            Err(ExtractError::Corrupt { .. })
        ));
    }
    for body in ["<w:p>", "<w:p></w:r>", "<w:p", "</w:body></w:document>"] {
        let error = extract(&docx(body, &[]), &settings(), &Value::Null).expect_err("malformed");
        assert!(
            matches!(error, ExtractError::Corrupt { .. }),
            "{body}: {error:?}"
        );
    }
}
