use super::*;

fn read(rtf: &[u8]) -> Result<Vec<(BlockKind, String)>, ExtractError> {
    let settings = Settings {
        types: crate::file_type::FileTypes::default(),
        max_text_bytes: 1 << 26,
        max_pages: 1,
    };
    let pages = extract(rtf, &settings)?;
    let blocks = pages.into_iter().flat_map(|page| page.blocks);
    Ok(blocks.map(|block| (block.kind, block.text)).collect())
}

/// The texts of a document's body.
fn texts(body: &str) -> Vec<String> {
    let blocks = read(format!("{{\\rtf1\\ansi {body}}}").as_bytes()).expect("readable");
    blocks.into_iter().map(|(_, text)| text).collect()
}

#[test]
fn bytes_are_read_in_the_charset_of_their_font() {
    let fonts = r"{\fonttbl{\f0\fcharset204 A;}{\f1\fcharset128 B;}{\f2\fcharset2 Symbol;}{\f3{\*\falt X}C;}}";
    assert_eq!(
        texts(&format!(
            r"\ansicpg1253{fonts}\f0\'ef{{\f1\'93\'fa\'83A}}\'ef\f3\'e1\f2\'b7"
        )),
        ["п日アпα•"]
    );
    assert_eq!(texts(r"\mac\'8e\pc\'81"), ["éü"]);
}

#[test]
fn characters_by_number_replace_their_stand_ins() {
    assert_eq!(
        texts(r"\u1055?\u-10179?\u-8704\'3f\uc2\u20013\'d6\'d0{\uc0\u233}\u20013ab!\u128512xx."),
        ["П😀中é中!😀."]
    );
    assert_eq!(texts(r"a\u-10179?b\u-8704?c"), ["ab\u{fffd}c"]);
    // A brace ends what stands in.
    assert_eq!(texts(r"{\uc3\u233 a}b"), ["éb"]);
}

#[test]
fn what_is_said_twice_is_read_once() {
    assert_eq!(
        texts(r"{\upr{old\'3f}{\*\ud{new\u233 ?}}} end"),
        ["newé end"]
    );
}

#[test]
fn destinations_without_text_are_left_out() {
    assert_eq!(
        texts(
            r"{\info{\title no}}{\*\generator no;}{\colortbl;\red0;}{\pict\pngblip 89504e}{\*\unknown {no}}
              {\object{\*\objdata 00ff}{\result yes}} and{\*\shppict{\pict no}}{\xe no} more"
        ),
        ["yes and more"]
    );
}

#[test]
fn fields_give_their_results_and_no_page_numbers() {
    assert_eq!(
        texts(
            r#"See {\field{\*\fldinst HYPERLINK "https://example.com"}{\fldrslt {\ul here}}}.
               {\footer Heron {\field{\*\fldinst { PAGE }}{\fldrslt 7}}\par}"#
        ),
        ["See here.", "Heron"]
    );
}

#[test]
fn hidden_and_deleted_text_is_left_out() {
    assert_eq!(
        texts(r"a{\v no\par}b\v no\v0 c\deleted no\plain d{\deleted no}e"),
        ["abcde"]
    );
}

#[test]
fn headings_have_the_level_of_their_outline_or_style() {
    let heading = |level, text: &str| (BlockKind::Heading { level }, text.to_owned());
    let rtf = br"{\rtf1{\stylesheet{\s1 heading 1;}{\s2\outlinelevel3 Abschnitt;}{\*\cs3 Heading 9;}{\s4 caption;}}
        \pard\s1 One\par\pard\s2 Two\par{\pard\outlinelevel8{\listtext 1.1\tab}Three\par}\pard\s4 Four\par\pard Five}";
    assert_eq!(
        read(rtf).expect("readable"),
        [
            heading(1, "One"),
            heading(4, "Two"),
            heading(6, "1.1 Three"),
            (BlockKind::Caption, "Four".to_owned()),
            (BlockKind::Paragraph, "Five".to_owned()),
        ]
    );
}

#[test]
fn list_items_keep_their_numbers() {
    let rtf = br"{\rtf1{\fonttbl{\f1\fcharset2 Symbol;}}{\pntext 4.\tab}{\*\pn\pnlvlbody{\pntxta .}}one\par
        {\listtext\f1\'b7\tab}two\par}";
    assert_eq!(
        read(rtf).expect("readable"),
        [
            (BlockKind::ListItem, "4. one".to_owned()),
            (BlockKind::ListItem, "- two".to_owned()),
        ]
    );
}

#[test]
fn tables_become_rows() {
    let row = |header, text: &str| (BlockKind::TableRow { header }, text.to_owned());
    let rtf = br"{\rtf1 before\par\trowd\trhdr\cellx1\cellx2\pard\intbl Tea\cell Cost\cell\row
        \trowd\pard\intbl{Green\par fresh{\footnote Dried.}}\cell{1}\cell\row\trowd\pard\intbl Black\cell 2\cell\row\pard after\par
        \trowd\pard\intbl unfinished\cell row\cell\pard end}";
    assert_eq!(
        read(rtf).expect("readable"),
        [
            (BlockKind::Paragraph, "before".to_owned()),
            row(true, "Tea | Cost"),
            row(false, "Green fresh | 1"),
            row(false, "Black | 2"),
            (BlockKind::Footnote, "Dried.".to_owned()),
            (BlockKind::Paragraph, "after".to_owned()),
            row(false, "unfinished | row"),
            (BlockKind::Paragraph, "end".to_owned()),
        ]
    );
}

#[test]
fn rows_of_tables_within_tables_stay_rows() {
    let rtf = br"{\rtf1\trowd\pard\intbl left\cell\pard\intbl\itap2 a\nestcell b\nestcell
        {\*\nesttableprops\trowd\cellx1\cellx2\nestrow}{\nonesttables\par}\pard\intbl last\cell\row}";
    let texts: Vec<String> = read(rtf)
        .expect("readable")
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    assert_eq!(texts, ["left", "a | b", "last"]);
}

#[test]
fn notes_and_text_boxes_follow_their_paragraph() {
    let rtf = br"{\rtf1 Rain{\super\chftn}{\*\footnote\pard\plain{\super\chftn} Tips, not drops.} is counted
        {\shp{\*\shpinst{\sp{\sn x}{\sv 1}}{\shptxt\pard Box\par}}{\shprslt{\*\do{\dptxbxtext\pard Box\par}}}}daily{\footnote * Unless it snows.}.\par Next}";
    assert_eq!(
        read(rtf).expect("readable"),
        [
            (BlockKind::Paragraph, "Rain[1] is counted daily.".to_owned()),
            (BlockKind::Footnote, "[1] Tips, not drops.".to_owned()),
            (BlockKind::Paragraph, "Box".to_owned()),
            (BlockKind::Footnote, "* Unless it snows.".to_owned()),
            (BlockKind::Paragraph, "Next".to_owned()),
        ]
    );
}

#[test]
fn headers_and_footers_are_read_once() {
    assert_eq!(
        texts(
            r"{\header Heron\par}{\footerl Kept by A.}{\footerr Kept by A.}one\sect\sectd{\header Heron\par}two"
        ),
        ["Heron", "one", "two", "Kept by A."]
    );
}

#[test]
fn words_that_stand_for_characters_are_read() {
    assert_eq!(
        texts(
            r"\lquote a\rquote\~b\_c-\-d\emdash\{\}\\\line e\tab f\
g"
        ),
        ["‘a’ b-c-d—{}\\\ne f", "g"]
    );
}

#[test]
fn a_file_that_is_cut_off_is_damaged_and_a_missing_last_brace_is_not() {
    assert!(matches!(
        read(br"{\rtf1 a\par{\b b"),
        Err(ExtractError::Corrupt { .. })
    ));
    assert_eq!(read(br"{\rtf1 a\par b").expect("readable").len(), 2);
    assert_eq!(
        read(b"\xef\xbb\xbf\r\n{\\rtf1 a}\0\0garbage}").expect("readable"),
        [(BlockKind::Paragraph, "a".to_owned())]
    );
}

#[test]
fn deep_and_wild_groups_are_read_in_time() {
    for open in [
        "{",
        "{\\footnote a",
        "{\\shptxt a\\par",
        "{\\*\\x",
        "{\\trowd\\itap99\\intbl a\\nestcell",
        "{\\header a",
    ] {
        let rtf = format!(
            "{{\\rtf1 start\\par {}{}",
            open.repeat(100_000),
            "}".repeat(100_001)
        );
        let blocks = read(rtf.as_bytes()).expect("readable");
        assert_eq!(blocks[0].1, "start", "{open}");
    }
    let rtf = format!("{{\\rtf1 a{}", "{".repeat(100_000));
    assert!(read(rtf.as_bytes()).is_err());
}
