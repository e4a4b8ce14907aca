//! Whole documents of another kind that a Word document shows in place (`altChunk`), as programs that merge documents write
//! them.

use std::collections::HashMap;

use serde_json::Value;

use crate::document::Block;

use super::{
    super::{
        Hints, Limit, Settings,
        detect::{self, Format, Shape},
        error::ExtractError,
        package::{Package, Relationship, readable},
    },
    read,
};

/// What each of them holds, by the id of its relationship; those that cannot be read hold nothing.
pub(super) fn chunks(
    package: &mut Package<'_>,
    related: &[Relationship],
    settings: &Settings,
    options: &Value,
) -> Result<HashMap<String, Vec<Block>>, ExtractError> {
    let mut chunks = HashMap::new();
    let mut left = settings.max_text_bytes;
    for chunk in related.iter().filter(|chunk| chunk.kind == "aFChunk") {
        let bytes = readable(package.bytes(&chunk.target))?.unwrap_or_default();
        let blocks = blocks(&bytes, &chunk.target, settings, options)?;
        let text = blocks.iter().map(|block| block.text.len() as u64).sum();
        left = left.checked_sub(text).ok_or(ExtractError::TooLarge {
            limit: Limit::Text(settings.max_text_bytes),
        })?;
        chunks.insert(chunk.id.clone(), blocks);
    }
    Ok(chunks)
}

fn blocks(
    bytes: &[u8],
    name: &str,
    settings: &Settings,
    options: &Value,
) -> Result<Vec<Block>, ExtractError> {
    let hints = Hints {
        name: name.to_owned(),
        mime_type: String::new(),
    };
    let pages = match detect::shape(bytes) {
        // Chunks within chunks are left out: such a file may hold itself.
        Shape::Read(Format::Docx) => read(bytes, settings, options, false),
        Shape::Read(Format::Rtf) | Shape::Text => {
            super::super::extract(bytes, &hints, settings).map(|document| document.pages)
        }
        Shape::Read(_) | Shape::Foreign(_) | Shape::Locked | Shape::CutZip => Ok(Vec::new()),
    };
    match pages {
        Ok(pages) => Ok(pages.into_iter().flat_map(|page| page.blocks).collect()),
        Err(error @ ExtractError::TooLarge { .. }) => Err(error),
        Err(_) => Ok(Vec::new()),
    }
}
