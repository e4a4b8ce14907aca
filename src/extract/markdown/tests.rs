use super::*;

fn read(markdown: &str) -> Vec<(BlockKind, String)> {
    let mut blocks = Blocks::new(1 << 24);
    extract(markdown, &mut blocks).expect("within the limit");
    blocks
        .take()
        .into_iter()
        .map(|block| (block.kind, block.text))
        .collect()
}

fn block(kind: BlockKind, text: &str) -> (BlockKind, String) {
    (kind, text.to_owned())
}

#[test]
fn headings_have_their_level_and_lose_their_marks() {
    assert_eq!(
        read("# One *two*  {#id}\n\nThree\n-----\ntext\nmore\n"),
        [
            block(BlockKind::Heading { level: 1 }, "One two"),
            block(BlockKind::Heading { level: 2 }, "Three"),
            block(BlockKind::Paragraph, "text\nmore"),
        ]
    );
}

#[test]
fn list_items_have_their_numbers_and_only_once() {
    assert_eq!(
        read("3. a\n\n   more\n4. b\n   - [x] c\n"),
        [
            block(BlockKind::ListItem, "3. a"),
            block(BlockKind::Paragraph, "more"),
            block(BlockKind::ListItem, "4. b"),
            block(BlockKind::ListItem, "- [x] c"),
        ]
    );
}

#[test]
fn tables_become_rows() {
    assert_eq!(
        read("| a | b |\n|---|---|\n| `1` | 2 |\n| 3 |\n"),
        [
            block(BlockKind::TableRow { header: true }, "a | b"),
            block(BlockKind::TableRow { header: false }, "1 | 2"),
            block(BlockKind::TableRow { header: false }, "3 |"),
        ]
    );
}

#[test]
fn code_keeps_its_lines() {
    assert_eq!(
        read(
            "```rust title=main.rs\nfn main() {\n\n    x();\n}\n```\n\n    indented\n      more\n"
        ),
        [
            block(BlockKind::Caption, "rust title=main.rs"),
            block(BlockKind::Code, "fn main() {\n\n    x();\n}"),
            block(BlockKind::Code, "indented\n  more"),
        ]
    );
}

#[test]
fn links_keep_web_addresses_and_images_their_description() {
    assert_eq!(
        read(
            "See [the *spec*](https://a.example/x), [below](#x), <https://b.example>, ![A map](m.png)"
        ),
        [block(
            BlockKind::Paragraph,
            "See the spec (https://a.example/x), below, https://b.example, A map"
        )]
    );
}

#[test]
fn footnotes_keep_their_labels() {
    assert_eq!(
        read("Text[^n].\n\n[^n]: Note\n    more.\n\nAfter."),
        [
            block(BlockKind::Paragraph, "Text[n]."),
            block(BlockKind::Footnote, "[n] Note\nmore."),
            block(BlockKind::Paragraph, "After."),
        ]
    );
}

#[test]
fn front_matter_and_html_are_kept_as_text() {
    assert_eq!(
        read("---\ntitle: A\n---\n<div>\n<h2>B</h2><!-- no -->\n</div>\n\nc<br>d <kbd>e</kbd>\n"),
        [
            block(BlockKind::Paragraph, "title: A"),
            block(BlockKind::Heading { level: 2 }, "B"),
            block(BlockKind::Paragraph, "c\nd e"),
        ]
    );
}

#[test]
fn deep_nesting_is_read_in_time() {
    for open in [">", "- ", "[", "*a ", "`", "![", "<b>", "1. "] {
        let markdown = format!("start\n\n{}", open.repeat(10_000));
        assert_eq!(read(&markdown)[0].1, "start", "{open}");
    }
}
