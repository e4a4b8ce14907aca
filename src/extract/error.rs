//! Why a file yields no document, in words for its owner.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::failure::Code;

/// Why a file yields no document.
///
/// Messages are shown to the file's owner: they say what to do and hold no text of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "snake_case")]
pub enum ExtractError {
    /// No extractor reads this type.
    #[error("files of type {detected} cannot be read: {}", advice(detected))]
    Unsupported {
        /// The mime type that the bytes show.
        detected: String,
    },
    /// The type is known and switched off.
    #[error(
        "{display_name} files are switched off here: upload another format or ask an administrator to enable them"
    )]
    TypeDisabled {
        /// The type's name for people.
        display_name: String,
    },
    /// Opens only with a password.
    #[error("the file needs a password: remove the protection and upload it again")]
    Encrypted,
    /// Not a whole file of its type.
    #[error(
        "the file is damaged ({reason}): upload a fresh copy, or open it, save it and upload that"
    )]
    Corrupt {
        /// What is wrong, in our own words.
        reason: String,
    },
    /// Pictures of pages.
    #[error(
        "no text, only pictures, on {pages} pages: run text recognition (OCR) on the file and upload the result"
    )]
    Scanned {
        /// How many.
        pages: u32,
    },
    /// Nothing that a reader could read.
    #[error(
        "there is no readable text in the file: check that it is the right one, or export it again with its text"
    )]
    NoText,
    /// Beyond a limit.
    #[error("the file has more than {limit}: split it and upload the parts")]
    TooLarge {
        /// The limit that it passed.
        limit: Limit,
    },
}

/// A limit of an extraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Of text that came out.
    #[error("{0} bytes of text")]
    Text(u64),
    /// Of content once unpacked.
    #[error("{0} bytes of content once unpacked")]
    Unpacked(u64),
    /// Of pages.
    #[error("{0} pages")]
    Pages(u32),
}

impl ExtractError {
    /// The code by which programs know it.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Unsupported { .. } => Code::UnsupportedType,
            Self::TypeDisabled { .. } => Code::TypeDisabled,
            Self::Encrypted => Code::Encrypted,
            Self::Corrupt { .. } => Code::Corrupt,
            Self::Scanned { .. } => Code::Scanned,
            Self::NoText => Code::NoText,
            Self::TooLarge { .. } => Code::TooLarge,
        }
    }

    /// A damaged file, said in our own words.
    pub(super) fn corrupt(reason: &str) -> Self {
        Self::Corrupt {
            reason: reason.to_owned(),
        }
    }

    /// A type that no extractor reads.
    pub(super) fn unsupported(detected: &str) -> Self {
        Self::Unsupported {
            detected: detected.to_owned(),
        }
    }
}

const UNPACK: &str = "unpack it and upload the files in it";

/// What the owner of a file that cannot be read should do about it.
fn advice(detected: &str) -> &'static str {
    match detected {
        "application/msword" | "application/rtf" => "save it as .docx and upload that",
        detected if detected.starts_with("image/") => "pictures hold no text, upload a document",
        "application/zip" | "application/gzip" | "application/x-tar" => UNPACK,
        detected if detected.ends_with("-compressed") => UNPACK,
        _ => "export it as PDF, DOCX or plain text and upload that",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_pipe() {
        let error = ExtractError::TooLarge {
            limit: Limit::Text(7),
        };
        let json = serde_json::to_string(&error).expect("plain data");
        let back: ExtractError = serde_json::from_str(&json).expect("its own output");
        assert_eq!(back, error);
    }

    #[test]
    fn an_old_word_file_is_told_to_become_docx() {
        let message = ExtractError::unsupported("application/msword").to_string();
        assert!(message.contains("save it as .docx"), "{message}");
    }
}
