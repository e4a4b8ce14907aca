//! Keeps one lease until dropped. Fails closed: no answer before the lease ends means that it is lost.

use std::time::{Duration, Instant};

use crate::{
    db::{Db, DbError},
    document::Lease,
};

/// How soon a renewal that failed is tried again.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Renews `lease` when a third of it has passed, again and again; returns only when it is lost.
///
/// A file that takes less than that third is never renewed, so that subscribers of `files` see status changes and not
/// heartbeats.
pub async fn keep(db: &Db, lease: &Lease, lease_for: Duration) {
    let mut ends_at = lease.ends_at;
    loop {
        let renew_at = ends_at.checked_sub(lease_for * 2 / 3).unwrap_or(ends_at);
        tokio::time::sleep_until(renew_at.into()).await;
        match tokio::time::timeout_at(ends_at.into(), renew(db, lease, lease_for)).await {
            Ok(Some(renewed_to)) => ends_at = renewed_to,
            Ok(None) | Err(_) => return,
        }
    }
}

/// Tries until the database answers: the new end, or `None` if the lease is somebody else's.
async fn renew(db: &Db, lease: &Lease, lease_for: Duration) -> Option<Instant> {
    loop {
        // Taken before the statement is sent, so that it ends before the database's own.
        let sent_at = Instant::now();
        match db.renew(lease, lease_for).await {
            Ok(()) => return Some(sent_at + lease_for),
            Err(DbError::LeaseLost) => return None,
            Err(error) => {
                tracing::warn!(file.id = %lease.file, error = %error, "could not renew a lease; trying again");
                tokio::time::sleep(TRY_AGAIN_AFTER).await;
            }
        }
    }
}
