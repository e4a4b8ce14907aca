//! Room in memory for objects: large ones wait for each other, small ones hardly ever.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What the permits count, so that their number fits.
const UNIT: u64 = 1 << 10;

/// Room for so many bytes; clones share it.
#[derive(Clone, Debug)]
pub struct Room {
    units: Arc<Semaphore>,
    all: u32,
}

/// A part of the room, until it is dropped.
#[derive(Debug)]
pub struct Taken {
    _units: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Room for so many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let all = units(bytes);
        Self {
            units: Arc::new(Semaphore::new(all as usize)),
            all,
        }
    }

    /// Room for so many bytes, once there is; all of it for what is larger. Who comes first is served first, so that a
    /// large file is not kept out by small ones.
    pub async fn take(&self, bytes: u64) -> Taken {
        let wanted = units(bytes).min(self.all);
        let taken = Arc::clone(&self.units).acquire_many_owned(wanted).await;
        Taken {
            // The semaphore is never closed.
            _units: taken.ok(),
        }
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_taken_is_bounded_and_comes_back() {
        let room = Room::new(10 * UNIT);
        let half = room.take(5 * UNIT).await;
        let other = room.take(5 * UNIT).await;
        let mut third = std::pin::pin!(room.take(1));
        assert!(third.as_mut().now_or_never().is_none(), "the room is gone");
        drop(half);
        assert!(third.now_or_never().is_some());
        drop(other);
    }

    #[tokio::test]
    async fn what_is_larger_than_the_room_has_it_alone_and_is_not_kept_out() {
        let room = Room::new(10 * UNIT);
        let small = room.take(1).await;
        let mut large = std::pin::pin!(room.take(100 * UNIT));
        assert!(large.as_mut().now_or_never().is_none());
        let mut late = std::pin::pin!(room.take(1));
        assert!(late.as_mut().now_or_never().is_none(), "it came later");
        drop(small);
        let large = large.now_or_never().expect("the whole room");
        assert!(late.as_mut().now_or_never().is_none());
        drop(large);
        assert!(late.now_or_never().is_some());
    }
}
