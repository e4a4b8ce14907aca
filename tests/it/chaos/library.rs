//! The documents of a chaos test: every sentence says which edition of which document it is of.

use std::fmt::Write as _;

use bytes::Bytes;
use orion_ingest::document::{FileId, UserId};

use crate::{stack::Stack, work::pdf};

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A section is a chunk, and says how many there are.
    Markdown,
    Text,
    Html,
    Csv,
    Pdf,
    /// No PDF, whatever its name.
    Broken,
    /// Nothing to read.
    Blank,
}

impl Kind {
    /// As often as they come up.
    pub(super) const ALL: [Self; 12] = [
        Self::Markdown,
        Self::Markdown,
        Self::Markdown,
        Self::Markdown,
        Self::Text,
        Self::Text,
        Self::Html,
        Self::Csv,
        Self::Csv,
        Self::Pdf,
        Self::Broken,
        Self::Blank,
    ];

    fn extension(self) -> &'static str {
        match self {
            Self::Markdown => "md",
            Self::Text | Self::Blank => "txt",
            Self::Html => "html",
            Self::Csv => "csv",
            Self::Pdf | Self::Broken => "pdf",
        }
    }

    /// The code that it fails with.
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Broken => Some("corrupt"),
            Self::Blank => Some("no_text"),
            Self::Markdown | Self::Text | Self::Html | Self::Csv | Self::Pdf => None,
        }
    }
}

/// A document as its owner last uploaded it.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) file: FileId,
    pub(super) user: UserId,
    pub(super) kind: Kind,
    number: usize,
    length: usize,
    key: String,
    edition: usize,
}

impl Document {
    fn name(&self) -> String {
        format!("{}.{}", self.number, self.kind.extension())
    }

    /// Status, error code and edition of a file that is done.
    pub(super) fn end(&self) -> (&'static str, Option<&'static str>, Option<i32>) {
        match self.kind.code() {
            Some(code) => ("failed", Some(code), None),
            None => ("completed", None, i32::try_from(self.edition).ok()),
        }
    }

    fn content(&self) -> Bytes {
        let sentence = |place: usize| {
            format!(
                "In edition {} of document {}, section {place} of {}, the house bought tea.",
                self.edition, self.number, self.length
            )
        };
        let sentences = (1..=self.length).map(sentence);
        let mut text = String::new();
        match self.kind {
            Kind::Markdown => {
                for (place, sentence) in (1..).zip(sentences) {
                    let lines = [sentence.as_str(); 4].join(" ");
                    write!(text, "# Year {place}\n\n{lines}\n\n").expect("room");
                }
            }
            Kind::Text => text.extend(sentences.map(|sentence| sentence + " ")),
            Kind::Html => text.extend(sentences.map(|sentence| format!("<p>{sentence}</p>\n"))),
            Kind::Csv => {
                text.push_str("what\n");
                text.extend(sentences.map(|sentence| format!("\"{sentence}\"\n")));
            }
            Kind::Pdf => {
                let pages: Vec<String> = sentences.take(40).collect();
                let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
                return pdf(&pages).into();
            }
            Kind::Broken => text.push_str("%PDF-1.4\nno more than this"),
            Kind::Blank => text.push_str(" \n\n "),
        }
        text.into()
    }
}

/// What people have uploaded and not deleted.
#[derive(Debug, Default)]
pub(super) struct Library {
    pub(super) documents: Vec<Document>,
    /// Documents and editions so far.
    pub(super) uploads: usize,
    numbers: usize,
}

impl Library {
    pub(super) async fn add(&mut self, stack: &Stack, user: UserId, kind: Kind, length: usize) {
        self.numbers += 1;
        let mut document = Document {
            file: FileId(uuid::Uuid::nil()),
            user,
            kind,
            number: self.numbers,
            length,
            key: format!("{user}/{}", self.numbers),
            edition: 1,
        };
        let bytes = self.put(stack, &document).await;
        let (name, key) = (document.name(), &document.key);
        let row = stack.row(user, &name, "application/octet-stream", key, bytes);
        document.file = row.await;
        self.documents.push(document);
    }

    /// Uploads the next edition and asks for it to be read.
    pub(super) async fn edit(&mut self, stack: &Stack, which: usize) {
        let which = which % self.documents.len();
        self.documents[which].edition += 1;
        let document = self.documents[which].clone();
        self.put(stack, &document).await;
        stack.ask_again(document.user, document.file).await;
    }

    pub(super) async fn delete(&mut self, stack: &Stack, which: usize) {
        let which = which % self.documents.len();
        let gone = self.documents.swap_remove(which);
        let file = gone.file;
        stack
            .sql(&format!("delete from files where id = '{file}'"))
            .await;
    }

    /// As often as it takes: the faults are for the workers.
    async fn put(&mut self, stack: &Stack, document: &Document) -> i64 {
        self.uploads += 1;
        let content = document.content();
        let bytes = i64::try_from(content.len()).expect("a small file");
        let objects = stack.objects();
        while objects
            .put(&document.key, content.clone(), "text/plain")
            .await
            .is_err()
        {}
        bytes
    }
}
