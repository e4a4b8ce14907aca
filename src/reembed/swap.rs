//! Cutover and rollback, which are the same: catch up, hold the writers, fill the last rows, swap.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Filled, Reembed};
use crate::{
    db::{
        self,
        reembed::{self as state, NotSwapped, Phase},
    },
    document::Model,
    ops::{WrongUsage, progress::Screen},
};

/// How long writers may be held for the last rows.
const LAST_ROWS_WITHIN: Duration = Duration::from_secs(5);
/// How often it is tried anew.
const MAX_ROUNDS: u32 = 20;
/// Pause before that: writers go on.
const PAUSE: Duration = Duration::from_secs(1);

/// What a cutover or rollback did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// Nothing: it had been done.
    Already {
        /// The active model.
        active: Model,
    },
    /// Swapped.
    Done {
        /// The active model.
        active: Model,
        /// How often the lock was tried.
        tries: u32,
        /// How long writers waited.
        held: Duration,
    },
}

impl Reembed {
    /// Makes the model of the second column the active one: the new one for a cutover, else the one from before.
    ///
    /// # Errors
    ///
    /// What keeps it from being filled; readers that keep the table for too long; a database that does not answer.
    pub async fn swap(
        &self,
        cut_over: bool,
        screen: &Screen,
        stop: CancellationToken,
    ) -> anyhow::Result<Result<Swapped, Filled>> {
        let run = self.status().await?;
        match (run.phase, cut_over) {
            (Phase::CutOver, true) | (Phase::RolledBack, false) => {
                let active = run.active;
                return Ok(Ok(Swapped::Already { active }));
            }
            (Phase::Filling, false) => {
                return Err(WrongUsage(
                    "there was no cutover that could be rolled back".to_owned(),
                )
                .into());
            }
            (Phase::Finishing, _) => {
                return Err(WrongUsage(
                    "the second column is being dropped; `orion-ingest reembed finish` ends that"
                        .to_owned(),
                )
                .into());
            }
            (Phase::Filling | Phase::RolledBack, true) | (Phase::CutOver, false) => {}
        }
        self.check_dimensions(&run.active, &run.next)?;
        let mut in_the_way = String::new();
        for round in 0..MAX_ROUNDS {
            if round > 0 {
                sleep(PAUSE).await;
            }
            match self.fill(screen, stop.clone()).await? {
                Filled::Whole => {}
                ended @ (Filled::CostLimit | Filled::Stopped | Filled::Halted(_)) => {
                    return Ok(Err(ended));
                }
            }
            self.build_indexes().await?;
            match self.try_swap(cut_over, &run.next, &stop).await {
                Ok(swapped) => return Ok(Ok(swapped)),
                Err(NotSwapped::RowsLeft) => {
                    "new files come faster than they are embedded".clone_into(&mut in_the_way);
                }
                Err(NotSwapped::InTheWay(who)) => {
                    tracing::warn!(who, "the table is in use; trying again");
                    in_the_way = who;
                }
                Err(error @ (NotSwapped::Database(_) | NotSwapped::Locked(_))) => {
                    return Err(error.into());
                }
            }
        }
        anyhow::bail!("nothing was swapped: {in_the_way}; repeat it when that is over")
    }

    async fn try_swap(
        &self,
        cut_over: bool,
        next: &Model,
        stop: &CancellationToken,
    ) -> Result<Swapped, NotSwapped> {
        let mut admin = db::connect_admin(&self.settings.database.admin_url).await?;
        let held = state::hold(&mut admin).await?;
        let began = Instant::now();
        // Those that were committed since we last looked: nobody adds any more.
        let stop = stop.child_token();
        let Ok(filling) = self.filling(next, stop.clone()) else {
            return Err(NotSwapped::RowsLeft);
        };
        let mut filling = Box::pin(filling.fill(0));
        match timeout(LAST_ROWS_WITHIN, filling.as_mut()).await {
            Ok(Ok(Filled::Whole)) => {}
            Ok(Err(error)) => return Err(error.into()),
            Ok(Ok(Filled::CostLimit | Filled::Stopped | Filled::Halted(_))) => {
                return Err(NotSwapped::RowsLeft);
            }
            // Writers go on, and what is in flight is paid for: it is booked, and the slices are handed back.
            Err(_elapsed) => {
                stop.cancel();
                held.let_go().await?;
                filling.await?;
                return Err(NotSwapped::RowsLeft);
            }
        }
        let tries = held.swap(cut_over).await?;
        Ok(Swapped::Done {
            active: next.clone(),
            tries,
            held: began.elapsed(),
        })
    }
}
