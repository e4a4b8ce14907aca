//! Word documents: a streaming reader over the zip's parts.
//!
//! Headings by style, lists and headings with their numbers, tables as rows, footnotes after what refers to them, endnotes last,
//! headers first and footers last, each text once. Tracked changes are read as accepted; hidden text, comments and field codes
//! are left out.

mod body;
mod numbering;
mod styles;

use std::collections::{HashMap, HashSet};

use crate::document::{Block, BlockKind, Page};

use self::{body::Context, numbering::Numbering, styles::Styles};
pub(super) use self::{
    body::{Piece, join, places},
    numbering::number,
};
use super::{
    Settings,
    blocks::Blocks,
    error::ExtractError,
    package::{Package, Relationship},
};

/// Reads a document; Word fixes no pages, so there is one without a number.
pub(super) fn extract(bytes: &[u8], settings: &Settings) -> Result<Vec<Page>, ExtractError> {
    let mut package = Package::open(bytes)?;
    let main = main_part(&mut package)?;
    let text = package
        .part(&main)?
        .ok_or_else(|| ExtractError::corrupt("its main part is missing"))?;
    let related = package.relationships(&main)?;
    let styles = match part(&mut package, &related, "styles")? {
        Some(text) => Styles::read(&text)?,
        None => Styles::default(),
    };
    let mut numbering = match part(&mut package, &related, "numbering")? {
        Some(text) => Numbering::read(&text)?,
        None => Numbering::default(),
    };
    let mut context = Context::new(&styles, &mut numbering);
    context.footnotes = notes(&mut package, &related, "footnotes", &mut context)?;
    context.endnotes = notes(&mut package, &related, "endnotes", &mut context)?;

    let mut blocks = Blocks::new(settings.max_text_bytes);
    let mut margins = Margins::default();
    margins.add(&mut package, &related, "header", &mut context, &mut blocks)?;
    body::read(&text, &mut context, &mut blocks)?;
    for note in std::mem::take(&mut context.endnotes_met) {
        blocks.prose(BlockKind::Footnote, &note)?;
    }
    margins.add(&mut package, &related, "footer", &mut context, &mut blocks)?;
    Ok(vec![Page {
        number: None,
        blocks: blocks.take(),
    }])
}

/// The name of the part that the package's own relationships call the document.
fn main_part(package: &mut Package<'_>) -> Result<String, ExtractError> {
    let main = package
        .relationships("")?
        .into_iter()
        .find(|relationship| relationship.kind == "officeDocument");
    Ok(main.map_or_else(|| "word/document.xml".to_owned(), |main| main.target))
}

/// The one part of a kind, if there is one.
fn part(
    package: &mut Package<'_>,
    related: &[Relationship],
    kind: &str,
) -> Result<Option<String>, ExtractError> {
    match related
        .iter()
        .find(|relationship| relationship.kind == kind)
    {
        Some(relationship) => package.part(&relationship.target),
        None => Ok(None),
    }
}

/// The texts of footnotes or endnotes by id.
fn notes(
    package: &mut Package<'_>,
    related: &[Relationship],
    kind: &str,
    context: &mut Context<'_>,
) -> Result<HashMap<String, String>, ExtractError> {
    match part(package, related, kind)? {
        Some(text) => body::read_notes(&text, context),
        None => Ok(HashMap::new()),
    }
}

/// Headers and footers: the same text on first, even and odd pages and in every section is sent once.
#[derive(Default)]
struct Margins(HashSet<String>);

impl Margins {
    fn add(
        &mut self,
        package: &mut Package<'_>,
        related: &[Relationship],
        kind: &str,
        context: &mut Context<'_>,
        blocks: &mut Blocks,
    ) -> Result<(), ExtractError> {
        for relationship in related
            .iter()
            .filter(|relationship| relationship.kind == kind)
        {
            let Some(text) = package.part(&relationship.target)? else {
                continue;
            };
            let mut margin = blocks.apart();
            body::read(&text, context, &mut margin)?;
            for Block { text, .. } in margin.take() {
                if self.0.insert(text.clone()) {
                    blocks.prose(BlockKind::Paragraph, &text)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
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
            types: Vec::new(),
            max_text_bytes: 1 << 20,
            max_pages: 10,
        }
    }

    fn read(body: &str, parts: &[(&str, &str)]) -> Vec<(BlockKind, String)> {
        let pages = extract(&docx(body, parts), &settings()).expect("a document");
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
        let styles =
            "<w:style w:styleId='H'><w:name w:val='h'/><w:rPr><w:vanish/></w:rPr></w:style>";
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
                extract(bytes, &settings()),
                Err(ExtractError::Corrupt { .. })
            ));
        }
        for body in ["<w:p>", "<w:p></w:r>", "<w:p", "</w:body></w:document>"] {
            let error = extract(&docx(body, &[]), &settings()).expect_err("malformed");
            assert!(
                matches!(error, ExtractError::Corrupt { .. }),
                "{body}: {error:?}"
            );
        }
    }
}
