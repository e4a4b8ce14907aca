//! Reads a part: the document itself, a header or footer, the notes.

use quick_xml::events::BytesStart;

use super::{
    super::{
        blocks::Blocks,
        error::ExtractError,
        xml::{self, Node},
    },
    body::Body,
    context::Context,
};

/// Adds the blocks of a part.
pub(super) fn read(
    text: &str,
    context: &mut Context<'_>,
    blocks: &mut Blocks,
) -> Result<(), ExtractError> {
    let mut body = Body::new(context, blocks);
    xml::walk(text, |node| body.node(node))?;
    body.finish()
}

/// Adds the blocks of a header or footer, whose page numbers are of pages that nobody sees here.
pub(super) fn read_margin(
    text: &str,
    context: &mut Context<'_>,
    blocks: &mut Blocks,
) -> Result<(), ExtractError> {
    let mut body = Body::new(context, blocks);
    body.is_margin = true;
    xml::walk(text, |node| body.node(node))?;
    body.finish()
}

/// Gives each footnote, endnote or comment with its id and text.
pub(super) fn read_notes(
    text: &str,
    context: &mut Context<'_>,
    mut give: impl FnMut(&BytesStart<'_>, String),
) -> Result<(), ExtractError> {
    // The limit on text is checked when a note goes out.
    let mut blocks = Blocks::new(u64::MAX);
    let mut body = Body::new(context, &mut blocks);
    let mut open = None;
    xml::walk(text, |node| {
        if let Node::Start("footnote" | "endnote" | "comment", start) = node {
            open = Some(start.to_owned());
        }
        let ends = matches!(node, Node::End("footnote" | "endnote" | "comment"));
        body.node(node)?;
        if let Some(start) = open.take_if(|_| ends) {
            body.finish()?;
            let blocks = body.blocks.take().into_iter();
            let texts: Vec<String> = blocks.map(|block| block.text).collect();
            give(&start, texts.join("\n"));
        }
        Ok(())
    })
}
