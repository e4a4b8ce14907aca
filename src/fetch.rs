//! From a row to its object in memory, in as much room as it takes.

use crate::{
    app::App,
    document::Lease,
    objects::{FetchError, Object},
    room::Taken,
};

/// Room that a row gets for its word. Who lies about more would keep others out.
const TRUSTED_BYTES: u64 = 8 << 20;

/// Downloads a file's object into the room that its row asks for, or into what it turns out to need.
///
/// An object that is larger than the row says, or than rows are trusted, is refused by its length before its first byte
/// comes, and asked for again when there is room for it. Where storage tells no length the room doubles, so that there are
/// few such rounds.
///
/// # Errors
///
/// As [`Objects::fetch`](crate::objects::Objects::fetch).
pub async fn fetch(
    app: &App,
    lease: &Lease,
    max_bytes: u64,
) -> Result<(Object, Taken), FetchError> {
    let claimed = lease.claimed_bytes.and_then(|bytes| bytes.try_into().ok());
    let mut wanted = claimed.unwrap_or(TRUSTED_BYTES).min(TRUSTED_BYTES);
    loop {
        wanted = wanted.min(max_bytes);
        let room = app.room.take(wanted).await;
        match app.objects.fetch(&lease.object_key, wanted).await {
            Err(FetchError::TooLarge { bytes, .. }) if bytes > max_bytes => {
                let max = max_bytes;
                return Err(FetchError::TooLarge { bytes, max });
            }
            Err(FetchError::TooLarge { bytes, .. }) => wanted = bytes.max(2 * wanted),
            fetched => return fetched.map(|object| (object, room)),
        }
    }
}
