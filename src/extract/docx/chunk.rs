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
        extract,
        package::{Package, Relationship, normal, readable},
    },
    read,
};

/// Those of a document. Each is read when the body shows it for the first time: what nobody sees costs nothing.
pub(super) struct Chunks<'a> {
    package: Package<'a>,
    /// The names of their parts by the ids of their relationships.
    targets: HashMap<String, String>,
    /// What those hold that were shown, by the names of their parts.
    read: HashMap<String, Vec<Block>>,
    settings: &'a Settings,
    options: &'a Value,
    /// How much text they may show still.
    left: u64,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(
        package: &Package<'a>,
        related: &[Relationship],
        settings: &'a Settings,
        options: &'a Value,
    ) -> Self {
        let chunks = related.iter().filter(|related| related.kind == "aFChunk");
        Self {
            package: package.clone(),
            targets: chunks
                .map(|chunk| (chunk.id.clone(), normal(&chunk.target)))
                .collect(),
            read: HashMap::new(),
            settings,
            options,
            left: settings.max_text_bytes,
        }
    }

    /// What the one of this relationship holds; nothing if it cannot be read.
    pub(super) fn show(&mut self, id: &str) -> Result<Vec<Block>, ExtractError> {
        let Some(target) = self.targets.get(id).cloned() else {
            return Ok(Vec::new());
        };
        let blocks = if let Some(blocks) = self.read.get(&target) {
            blocks
        } else {
            let blocks = self.blocks(&target)?;
            self.read.entry(target).or_insert(blocks)
        };
        let text = blocks.iter().map(|block| block.text.len() as u64).sum();
        self.left = self.left.checked_sub(text).ok_or(ExtractError::TooLarge {
            limit: Limit::Text(self.settings.max_text_bytes),
        })?;
        Ok(blocks.clone())
    }

    fn blocks(&mut self, name: &str) -> Result<Vec<Block>, ExtractError> {
        let bytes = readable(self.package.bytes(name))?.unwrap_or_default();
        let hints = Hints {
            name: name.to_owned(),
            mime_type: String::new(),
        };
        let pages = match detect::shape(&bytes) {
            // Chunks within chunks are left out: such a file may hold itself.
            Shape::Read(Format::Docx) => self
                .package
                .open_inner(&bytes)
                .and_then(|inner| read(inner, self.settings, self.options, false)),
            Shape::Read(Format::Rtf) | Shape::Text => {
                extract(&bytes, &hints, self.settings).map(|document| document.pages)
            }
            Shape::Read(_) | Shape::Foreign(_) | Shape::Locked | Shape::CutZip => Ok(Vec::new()),
        };
        match pages {
            Ok(pages) => Ok(pages.into_iter().flat_map(|page| page.blocks).collect()),
            Err(error @ ExtractError::TooLarge { .. }) => Err(error),
            Err(_) => Ok(Vec::new()),
        }
    }
}
