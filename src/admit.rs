//! Whether a file is read at all: its type, its size and whose object it names, before a byte is fetched.

use crate::{
    config::PathPolicy,
    db::{Db, DbError},
    document::{Lease, UserId},
    failure::{Code, Verdict},
    file_type::{FileType, FileTypes},
};

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No row of `file_type_configs` fits, and the claimed type cannot hold text.
    #[error(
        "files of type {mime_type} cannot be read; convert it to a PDF, a DOCX or text and upload it again"
    )]
    UnsupportedType {
        /// As the client gave it.
        mime_type: String,
    },
    /// The type is switched off.
    #[error(
        "files of type {display_name} are switched off here; ask the administrator, or upload another format"
    )]
    TypeDisabled {
        /// `file_type_configs.display_name`.
        display_name: String,
    },
    /// The row itself says that the file is larger than its type may be.
    #[error(
        "the file has {bytes} bytes, more than the {max_bytes} that its type may have; split it and upload the parts"
    )]
    TooLarge {
        /// As the client gave it.
        bytes: i64,
        /// `file_type_configs.max_file_size`.
        max_bytes: i64,
    },
    /// The key is not the user's.
    #[error("the storage path does not belong to the file's owner; upload the file again")]
    PathNotOwned,
    /// The lookup failed.
    #[error("could not look up the object's owner")]
    Lookup(#[from] DbError),
}

impl Refusal {
    /// What becomes of the file.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::UnsupportedType { .. } => Verdict::Reject {
                code: Code::UnsupportedType,
            },
            Self::TypeDisabled { .. } => Verdict::Reject {
                code: Code::TypeDisabled,
            },
            Self::TooLarge { .. } => Verdict::Reject {
                code: Code::TooLarge,
            },
            Self::PathNotOwned => Verdict::Reject {
                code: Code::PathNotOwned,
            },
            Self::Lookup(error) => error.verdict(),
        }
    }
}

/// Lets a file pass and says how many bytes it may have at most.
///
/// # Errors
///
/// The [`Refusal`] that fits.
pub async fn admit(
    db: &Db,
    policy: PathPolicy,
    bucket: &str,
    types: &FileTypes,
    lease: &Lease,
) -> Result<u64, Refusal> {
    let max_bytes = admit_type(types, lease)?;
    if let Some(bytes) = lease.claimed_bytes.filter(|bytes| *bytes > max_bytes) {
        return Err(Refusal::TooLarge { bytes, max_bytes });
    }
    let owned = match policy {
        PathPolicy::Any => true,
        PathPolicy::OwnerPrefix => lies_under(lease.user, &lease.object_key),
        PathPolicy::OwnerObject => {
            db.owns_object(lease.user, bucket, &lease.object_key)
                .await?
        }
    };
    if owned {
        Ok(u64::try_from(max_bytes).unwrap_or(0))
    } else {
        Err(Refusal::PathNotOwned)
    }
}

/// The size limit of the type that the row claims.
///
/// The claims are hints, since what the bytes show decides in the end: a file is turned away unread only when
/// everything that its row says speaks against it, and names a kind that never holds text. Browsers call a Word file
/// `application/zip`, and people rename what they download.
fn admit_type(types: &FileTypes, lease: &Lease) -> Result<i64, Refusal> {
    let claims = [
        types.by_mime(&lease.mime_type),
        types.by_extension(&lease.name),
    ];
    let claimed: Vec<&FileType> = claims.into_iter().flatten().collect();
    let largest = |rows: &mut dyn Iterator<Item = &FileType>| {
        rows.filter(|row| row.enabled)
            .map(|row| row.max_file_size)
            .max()
    };
    if let Some(max_bytes) = largest(&mut claimed.iter().copied()) {
        return Ok(max_bytes);
    }
    let claimed_type = claimed
        .first()
        .map_or(&*lease.mime_type, |row| &*row.mime_type);
    let readable = !holds_no_text(claimed_type);
    match (claimed.first(), largest(&mut types.iter())) {
        (Some(disabled), _) if readable => Ok(disabled.max_file_size),
        (Some(disabled), _) => Err(Refusal::TypeDisabled {
            display_name: disabled.display_name.clone(),
        }),
        (None, Some(max_bytes)) if readable => Ok(max_bytes),
        (None, _) => Err(Refusal::UnsupportedType {
            mime_type: lease.mime_type.clone(),
        }),
    }
}

/// Whether files of this type are pictures, recordings or the like.
fn holds_no_text(mime_type: &str) -> bool {
    let family = mime_type.trim().split('/').next().unwrap_or_default();
    ["image", "audio", "video", "font", "model"]
        .iter()
        .any(|kind| family.eq_ignore_ascii_case(kind))
}

/// Whether `key` lies under `<user>/`, with nothing in it that another reader of paths could resolve elsewhere.
fn lies_under(user: UserId, key: &str) -> bool {
    let Some(rest) = key.strip_prefix(&format!("{user}/")) else {
        return false;
    };
    rest.split('/').all(|part| !matches!(part, "" | "." | "..")) && !rest.contains(['\\', '\0'])
}
