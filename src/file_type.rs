//! Which files are taken, and how each type is read and cut: the rows of `file_type_configs`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A row of `file_type_configs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileType {
    /// `text/markdown`, lower case, without parameters.
    pub mime_type: String,
    /// Lower case, without the dot.
    pub extensions: Vec<String>,
    /// For people.
    pub display_name: String,
    /// Files of a disabled type end as `type_disabled`.
    pub enabled: bool,
    /// Largest object that is downloaded, bytes.
    pub max_file_size: i64,
    /// Which extractor reads it: `pdf`, `docx`, `pptx`, `xlsx`, `xls`, `odt`, `ods`, `odp`, `rtf`, `epub`, `eml`, `ipynb`,
    /// `markdown`, `text`, `html`, `csv`, `json`, `code`.
    pub extractor: String,
    /// Which splitter cuts it: `prose`, `markdown`, `table`, `code`.
    pub splitter: String,
    /// Most tokens in a chunk.
    pub chunk_size: i32,
    /// Tokens that a chunk repeats of the one before it.
    pub chunk_overlap: i32,
    /// Settings of the extractor.
    pub options: serde_json::Value,
}

/// All configured types; clones share them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FileTypes(Arc<[FileType]>);

impl FromIterator<FileType> for FileTypes {
    fn from_iter<T: IntoIterator<Item = FileType>>(rows: T) -> Self {
        Self(rows.into_iter().collect())
    }
}

impl FileTypes {
    /// Takes the rows as they are.
    #[must_use]
    pub fn new(rows: Vec<FileType>) -> Self {
        Self(rows.into())
    }

    /// The rows of `seed.sql`, for the commands that work without a database.
    ///
    /// # Panics
    ///
    /// If `seed.sql` lost its one JSON literal, which a test excludes.
    #[must_use]
    pub fn seeded() -> Self {
        let seed = include_str!("../migrations/seed.sql");
        let rows = seed
            .split("$json$")
            .nth(1)
            .expect("seed.sql holds the types between two $json$");
        Self(serde_json::from_str(rows).expect("the types in seed.sql are valid JSON"))
    }

    /// Every row.
    pub fn iter(&self) -> impl Iterator<Item = &FileType> {
        self.0.iter()
    }

    /// The type of a file by the mime type that its row claims, else by its name's extension.
    ///
    /// A generic mime type (`application/octet-stream`, empty) says nothing, and a wrong one does no harm:
    /// what the bytes show decides in the end.
    #[must_use]
    pub fn guess(&self, mime_type: &str, name: &str) -> Option<&FileType> {
        self.by_mime(mime_type).or_else(|| self.by_extension(name))
    }

    /// The type with this mime type; parameters (`; charset=…`) and case are ignored.
    #[must_use]
    pub fn by_mime(&self, mime_type: &str) -> Option<&FileType> {
        let bare = mime_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        self.0.iter().find(|row| row.mime_type == bare)
    }

    /// The type that lists the extension of this name, or the whole name where it is one as `Makefile`.
    #[must_use]
    pub fn by_extension(&self, name: &str) -> Option<&FileType> {
        let name = name.to_ascii_lowercase();
        let extension = match name.rsplit_once('.') {
            Some((_, extension)) => extension,
            // Others are only called like an extension, as a letter named `c` is.
            None => Some(&*name).filter(|name| name.ends_with("file"))?,
        };
        self.0
            .iter()
            .find(|row| row.extensions.iter().any(|known| known == extension))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_text_is_known_by_its_whole_name_too() {
        let types = FileTypes::seeded();
        let of = |name: &str| {
            types
                .by_extension(name)
                .map(|row| row.display_name.as_str())
        };
        assert_eq!(of("Dockerfile"), Some("Dockerfile"));
        assert_eq!(of("Makefile"), Some("Makefile"));
        assert_eq!(of("a.RS"), Some("Rust"));
        assert_eq!(of("key"), None);
        assert_eq!(of("c"), None);
        assert_eq!(of("README"), None);
    }

    #[test]
    fn the_common_languages_are_known() {
        let types = FileTypes::seeded();
        for extension in "c h cpp hpp cc cs fs vb java kt kts swift go rs zig py rb php js mjs jsx ts tsx vue svelte sh bash \
             ps1 bat sql r jl scala groovy lua pl hs ex exs erl clj ml dart m css scss less yaml yml toml ini env xml xsd \
             proto graphql tf hcl dockerfile mk cmake tex diff asm pas f90 lisp el sol"
            .split_whitespace()
        {
            let row = types.by_extension(&format!("a.{extension}"));
            assert!(row.is_some_and(|row| row.extractor == "code" && row.enabled), "{extension}");
        }
    }
}
