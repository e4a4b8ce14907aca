//! What happens when: the same for the same seed, whatever the run makes of it.

use std::time::Duration;

use orion_ingest::embedded::{provider::faults::Fault as Provider, storage::Fault as Storage};

use super::{crew::WORKERS, library::Kind};

/// More than there are documents.
const MANY: usize = 1 << 30;

/// Numbers by a seed (splitmix64).
#[derive(Debug)]
pub(super) struct Dice(pub(super) u64);

/// Something that befalls the system or is asked of it.
#[derive(Debug)]
pub(super) enum Event {
    /// `kill -9` to a worker.
    Kill(usize),
    /// SIGTERM, which it may take its time for.
    Terminate(usize),
    /// SIGSTOP for longer than a lease.
    Stop(usize),
    /// An immediate shutdown of Postgres, and its start.
    CrashDatabase,
    /// All connections of the workers are terminated.
    CutConnections,
    /// The next requests to storage go wrong.
    Storage(usize, Storage),
    /// The next requests to the provider go wrong.
    Provider(usize, Provider),
    /// A person uploads documents.
    Upload(usize, Vec<(Kind, usize)>),
    /// A person uploads the next edition of a document and asks for it.
    Edit(usize),
    /// A person deletes a document.
    Delete(usize),
}

/// Which events there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    /// Storage and provider fail; no worker, no connection and no server dies.
    Outages,
    /// Everything.
    Chaos,
}

impl Weather {
    /// `LEASE_SECONDS`.
    pub(super) fn lease_for(self) -> Duration {
        match self {
            Self::Outages => Duration::from_mins(1),
            Self::Chaos => Duration::from_secs(4),
        }
    }
}

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `bound`, without that one.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).expect("31 bits") % bound
    }

    /// How long nothing happens.
    pub(super) fn pause(&mut self) -> Duration {
        Duration::from_millis(100 + self.below(600) as u64)
    }

    /// The next event.
    pub(super) fn event(&mut self, weather: Weather, people: usize) -> Event {
        let kinds = match weather {
            Weather::Outages => 11,
            Weather::Chaos => 22,
        };
        match self.below(kinds) {
            0 | 1 => Event::Storage(1 + self.below(4), self.storage_fault()),
            2..=4 => self.provider_fault(),
            5..=7 => Event::Upload(self.below(people), self.documents()),
            8 | 9 => Event::Edit(self.below(MANY)),
            10 => Event::Delete(self.below(MANY)),
            11..=14 => Event::Kill(self.below(WORKERS)),
            15 | 16 => Event::Terminate(self.below(WORKERS)),
            17..=19 => Event::Stop(self.below(WORKERS)),
            20 => Event::CrashDatabase,
            _ => Event::CutConnections,
        }
    }

    /// A few documents.
    pub(super) fn documents(&mut self) -> Vec<(Kind, usize)> {
        let count = 1 + self.below(12);
        (0..count).map(|_| self.document()).collect()
    }

    fn document(&mut self) -> (Kind, usize) {
        let kind = Kind::ALL[self.below(Kind::ALL.len())];
        let length = match self.below(10) {
            0 => 100 + self.below(200),
            1..=3 => 10 + self.below(40),
            _ => 1 + self.below(8),
        };
        (kind, length)
    }

    fn storage_fault(&mut self) -> Storage {
        match self.below(5) {
            0 => Storage::CutAfter(self.below(2_000)),
            1 => Storage::StallAfter(self.below(2_000)),
            2 => Storage::HideLength,
            3 => Storage::Status {
                status: 500,
                retry_after: None,
            },
            _ => Storage::Status {
                status: 503,
                retry_after: Some(Duration::from_secs(1)),
            },
        }
    }

    fn provider_fault(&mut self) -> Event {
        let fault = match self.below(12) {
            0 => Provider::Throttle {
                retry_after: None,
                retry_after_ms: None,
            },
            1 => Provider::Throttle {
                retry_after: Some("1".into()),
                retry_after_ms: None,
            },
            2 => Provider::Throttle {
                retry_after: None,
                retry_after_ms: Some(300),
            },
            3 => Provider::Status { status: 500 },
            4 => Provider::Hang,
            5 => Provider::HangUp,
            6 => Provider::CutBody,
            7 => Provider::WrongCount,
            8 => Provider::ShuffledIndexes,
            9 => Provider::RepeatedIndex,
            10 => Provider::NotFinite,
            _ => Provider::ShortVectors,
        };
        // A storm of refusals costs nothing but time.
        let most = if matches!(fault, Provider::Throttle { .. }) {
            6
        } else {
            2
        };
        Event::Provider(1 + self.below(most), fault)
    }
}
