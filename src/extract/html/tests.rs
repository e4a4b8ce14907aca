use crate::document::BlockKind;

use super::*;

fn read(html: &str) -> Vec<(BlockKind, String)> {
    let mut blocks = Blocks::new(1 << 24);
    extract(html, &mut blocks).expect("within the limit");
    blocks
        .take()
        .into_iter()
        .map(|block| (block.kind, block.text))
        .collect()
}

fn texts(html: &str) -> Vec<String> {
    read(html).into_iter().map(|(_, text)| text).collect()
}

fn heading(level: u8, text: &str) -> (BlockKind, String) {
    (BlockKind::Heading { level }, text.to_owned())
}

fn row(header: bool, text: &str) -> (BlockKind, String) {
    (BlockKind::TableRow { header }, text.to_owned())
}

#[test]
fn title_headings_and_paragraphs_come_in_order() {
    assert_eq!(
        read("<title>A &amp; B</title><h1>A & B</h1><p>one\n  two<br>three<p>four<h3>C</h3>five"),
        [
            heading(1, "A & B"),
            (BlockKind::Paragraph, "one two\nthree".to_owned()),
            (BlockKind::Paragraph, "four".to_owned()),
            heading(3, "C"),
            (BlockKind::Paragraph, "five".to_owned()),
        ]
    );
}

#[test]
fn what_readers_do_not_see_is_left_out() {
    let html = "<head><style>p{}</style><script>let a = '<p>no</p>';</script></head><nav><ul><li>no</nav>\
        <p hidden>no<p>yes<div style='display: none'>no<div>no</div></div><span aria-hidden=true>no</span>\
        <template><p>no</template><noscript>no</noscript><svg><text>no</text></svg><!-- no --> too";
    assert_eq!(texts(html), ["yes", "too"]);
}

#[test]
fn lists_have_their_numbers() {
    assert_eq!(
        texts("<ol start=3><li>c<li>d<ul><li>x</ul>more<li value=9><p>i</p><p>j</p></ol>after"),
        ["3. c", "4. d", "- x", "more", "9. i", "j", "after"]
    );
}

#[test]
fn tables_become_rows() {
    let html = "<table><caption>Prices</caption><thead><tr><td>Tea<td>Cost</thead><tr><td><p>Green</p><p>fresh</p><td>1\
        <tr><th>Sum<th>2</table>";
    assert_eq!(
        read(html),
        [
            (BlockKind::Caption, "Prices".to_owned()),
            row(true, "Tea | Cost"),
            row(false, "Green fresh | 1"),
            row(true, "Sum | 2"),
        ]
    );
}

#[test]
fn tables_that_only_place_things_vanish() {
    let html = "<table><tr><td>side<td><h2>News</h2><p>one</p><table><tr><td>a<td>b</table><p>two</p></table>";
    assert_eq!(
        read(html),
        [
            (BlockKind::Paragraph, "side".to_owned()),
            heading(2, "News"),
            (BlockKind::Paragraph, "one".to_owned()),
            row(false, "a | b"),
            (BlockKind::Paragraph, "two".to_owned()),
        ]
    );
}

#[test]
fn preformatted_text_keeps_its_lines() {
    assert_eq!(
        read("<p>x</p><pre><code>if a:\n\n    b &lt; c\n</code></pre>"),
        [
            (BlockKind::Paragraph, "x".to_owned()),
            (BlockKind::Code, "if a:\n\n    b < c".to_owned()),
        ]
    );
}

#[test]
fn an_element_that_closes_itself_swallows_nothing_in_xml() {
    assert_eq!(
        texts("<?xml version='1.0'?><html><title/><script src='a'/><p>a<i/>b</p></html>"),
        ["ab"]
    );
}

#[test]
fn stray_end_tags_close_nothing_around_a_table() {
    assert_eq!(
        texts("<div><table><tr><td>a</div></p></ul><td>b</table></div>c"),
        ["a | b", "c"]
    );
}

#[test]
fn deep_and_badly_nested_pages_are_read_in_time() {
    for open in [
        "<div>",
        "<b>",
        "<table><tr><td>",
        "<ul><li>",
        "<p hidden>",
        "<i><table>",
    ] {
        let html = format!(
            "start{}end{}",
            open.repeat(20_000),
            "</b></i></div></p>".repeat(10_000)
        );
        assert!(texts(&html)[0].starts_with("start"), "{open}");
    }
}
