//! `ingest PATH…`: local files become objects and rows.

use std::path::{Path, PathBuf};

use anyhow::Context;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    app::App,
    db::{DbError, NewFile},
    document::{FileId, UserId},
    file_type::FileTypes,
    ops::{WrongUsage, files},
};

/// Uploads in flight at once; each holds a file in memory.
const AT_ONCE: usize = 4;

/// A local file that was not uploaded.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// The local path.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What became of local files.
#[derive(Debug, Default)]
pub struct Uploaded {
    /// Rows that were added.
    pub files: Vec<Uuid>,
    /// Files that were not.
    pub refused: Vec<Refused>,
}

/// Every file under `paths`, folders entered, hidden names left out, in a stable order.
///
/// # Errors
///
/// A path that does not exist or cannot be read, and paths without any file.
pub fn collect(paths: &[PathBuf]) -> Result<Vec<PathBuf>, WrongUsage> {
    let mut files = Vec::new();
    let mut ahead: Vec<PathBuf> = paths.iter().rev().cloned().collect();
    while let Some(path) = ahead.pop() {
        let unreadable =
            |error: std::io::Error| WrongUsage(format!("cannot read {}: {error}", path.display()));
        let kind = std::fs::metadata(&path).map_err(unreadable)?;
        if kind.is_dir() {
            let mut inside = entries(&path).map_err(unreadable)?;
            inside.sort_unstable_by(|a, b| b.cmp(a));
            ahead.extend(inside);
        } else if kind.is_file() {
            files.push(path);
        } else {
            // It may never end.
            let what = format!("{} is a device or a pipe, not a file", path.display());
            return Err(WrongUsage(what));
        }
    }
    if files.is_empty() {
        return Err(WrongUsage("there is no file under these paths".to_owned()));
    }
    Ok(files)
}

/// What a folder has to upload: files and folders with names that are not hidden.
fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut inside = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        // A link inside a folder may lead out of it, or in circles.
        if (kind.is_file() || kind.is_dir())
            && !entry.file_name().as_encoded_bytes().starts_with(b".")
        {
            inside.push(entry.path());
        }
    }
    Ok(inside)
}

/// Uploads these files and adds their rows; those that cannot be read or are too large are left out.
///
/// # Errors
///
/// Whatever storage or the database have against it; rows that were added by then stay in the queue.
pub async fn upload_all(
    app: &App,
    user: UserId,
    paths: &[PathBuf],
    mut on_done: impl FnMut(usize),
) -> anyhow::Result<Uploaded> {
    let mut uploads = stream::iter(paths)
        .map(|path| async move {
            match read(app, path) {
                Ok(bytes) => Ok(upload(app, user, path, bytes, None).await?),
                Err(reason) => Err(Stop::Refused(Refused {
                    path: path.display().to_string(),
                    reason,
                })),
            }
        })
        .buffered(AT_ONCE);
    let mut uploaded = Uploaded::default();
    while let Some(done) = uploads.next().await {
        match done {
            Ok(file) => uploaded.files.push(file.0),
            Err(Stop::Refused(refused)) => uploaded.refused.push(refused),
            Err(Stop::Broken(error)) => {
                let queued = files(uploaded.files.len() as u64);
                return Err(error.context(format!(
                    "stopped uploading; {queued} in the queue already, which `orion-ingest --drain` ingests"
                )));
            }
        }
        on_done(uploaded.files.len() + uploaded.refused.len());
    }
    Ok(uploaded)
}

/// Why a file is not uploaded.
enum Stop {
    /// It is at fault; the others go on.
    Refused(Refused),
    /// Storage or the database are.
    Broken(anyhow::Error),
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Broken(error)
    }
}

/// The bytes of a file that is no larger than any file may be.
fn read(app: &App, path: &Path) -> Result<Bytes, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let types = app.types();
    let enabled = types.iter().filter(|row| row.enabled);
    let largest = enabled.map(|row| row.max_file_size).max().unwrap_or(0);
    // Before it is read: it has to fit into memory.
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > largest.unsigned_abs() {
        return Err(format!(
            "{bytes} bytes, more than the {largest} that the largest type may have (file_type_configs.max_file_size)"
        ));
    }
    std::fs::read(path).map(Bytes::from).map_err(unreadable)
}

/// Uploads one file under `<user>/<file id>.<ext>` and adds its row; `mime_type` is found by its name if not given.
///
/// # Errors
///
/// Whatever storage or the database have against it; an object without its row is taken back.
pub async fn upload(
    app: &App,
    user: UserId,
    path: &Path,
    bytes: Bytes,
    mime_type: Option<&str>,
) -> anyhow::Result<FileId> {
    let file = FileId(Uuid::now_v7());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let size = i64::try_from(bytes.len()).context("the file is too large")?;
    let object_key = object_key(user, file, path);
    let mime_type = mime_type.map_or_else(|| guess(&app.types(), &name), str::to_owned);
    app.objects
        .put(&object_key, bytes, &mime_type)
        .await
        .with_context(|| format!("cannot upload {}", path.display()))?;
    let row = NewFile {
        file,
        user,
        name: &name,
        object_key: &object_key,
        mime_type: &mime_type,
        bytes: size,
    };
    if let Err(error) = app.db.insert_file(&row).await {
        // Only what was surely refused: a row whose answer got lost may be there, and needs its object.
        if matches!(error, DbError::Refused(_)) {
            app.objects
                .delete(&object_key)
                .await
                .context("cannot take back an object whose row was refused")?;
        }
        return Err(error).with_context(|| format!("cannot add {}", path.display()));
    }
    Ok(file)
}

fn object_key(user: UserId, file: FileId, path: &Path) -> String {
    let extension = path
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_ascii_lowercase();
    // Storage takes only safe ASCII keys; the name is in the row.
    let safe = !extension.is_empty() && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if safe {
        format!("{user}/{file}.{extension}")
    } else {
        format!("{user}/{file}")
    }
}

fn guess(types: &FileTypes, name: &str) -> String {
    types
        .by_extension(name)
        .map_or("application/octet-stream", |row| &row.mime_type)
        .to_owned()
}
