//! Re-embedding: every chunk gets a vector of another model in a second column, and then the columns change places.
//!
//! Nothing stops meanwhile. Each step may be repeated, and be done by several processes at once; what they share is in the
//! database. Needs the owner's connection.

mod fill;
mod plan;
mod progress;
mod report;
mod swap;

use tokio_util::sync::CancellationToken;

pub use self::{fill::Filled, plan::Estimate, swap::Swapped};
use crate::{
    app, config,
    db::{
        self, Db,
        reembed::{self as state, Phase, Reembedding},
        reindex::Rebuilt,
    },
    document::Model,
    embedding::{Backfill, Filler},
    ops::{WrongUsage, progress::Screen},
};

/// pgvector can't index longer vectors.
const MAX_DIMENSIONS: u32 = 2_000;

/// Chunks in a slice: a few requests' worth, so that one that is lost costs little to look through again.
const ROWS_A_SLICE: i32 = 500;

/// Files that came meanwhile may be left to a cutover's last moment: a request or two.
const FEW_FILES: i64 = 20;

/// What `reembed` works with.
#[derive(Debug)]
pub struct Reembed {
    db: Db,
    settings: config::Search,
    backfill: Backfill,
    /// Whether models with vectors of one length may be swapped.
    same_dimensions: bool,
}

impl Reembed {
    /// Connects as the owner.
    ///
    /// # Errors
    ///
    /// A database that does not answer.
    pub async fn connect(
        settings: config::Search,
        backfill: Backfill,
        same_dimensions: bool,
    ) -> anyhow::Result<Self> {
        let connections = settings.embedding.max_concurrency;
        let db = Db::connect(&app::database(&settings.database.admin_url, connections)).await?;
        Ok(Self {
            db,
            settings,
            backfill,
            same_dimensions,
        })
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.db.close().await;
    }

    /// What a re-embedding to this model takes; nothing is changed.
    ///
    /// # Errors
    ///
    /// A model that can't be, or is active; a database that does not answer.
    pub async fn estimate(&self, model: &Model) -> anyhow::Result<Estimate> {
        let under_way = self.db.reembedding().await?;
        let active = self.db.active_model().await?;
        if let Some(run) = &under_way
            && run.next != *model
        {
            return Err(WrongUsage(format!(
                "a re-embedding is under way, to {} with {} dimensions; `orion-ingest reembed finish` ends it",
                run.next.name, run.next.dimensions
            ))
            .into());
        }
        if active == *model {
            return Err(WrongUsage(format!(
                "{} with {} dimensions is the active model; name another with --model and --dimensions",
                model.name, model.dimensions
            ))
            .into());
        }
        if !(1..=MAX_DIMENSIONS).contains(&model.dimensions) {
            return Err(WrongUsage(format!(
                "--dimensions {}: pgvector can't index more than {MAX_DIMENSIONS}; the text-embedding-3 models can be asked for fewer",
                model.dimensions
            ))
            .into());
        }
        self.check_dimensions(&active, model)?;
        plan::estimate(
            &self.db,
            &self.settings,
            &self.backfill,
            active,
            model.clone(),
        )
        .await
    }

    /// Adds the second column and divides the chunks into slices, unless that is done.
    ///
    /// # Errors
    ///
    /// A table that others keep locked; a database that does not answer.
    pub async fn plan(&self, model: &Model) -> anyhow::Result<()> {
        let mut admin = db::connect_admin(&self.settings.database.admin_url).await?;
        state::begin(&mut admin, model).await?;
        Ok(self.db.slice_chunks(ROWS_A_SLICE).await?)
    }

    /// Whether this model was cut over to, and may still be rolled back.
    ///
    /// # Errors
    ///
    /// A database that does not answer.
    pub async fn is_cut_over_to(&self, model: &Model) -> anyhow::Result<bool> {
        let run = self.db.reembedding().await?;
        Ok(run.is_some_and(|run| run.phase == Phase::CutOver && run.active == *model))
    }

    /// The re-embedding under way.
    ///
    /// # Errors
    ///
    /// [`WrongUsage`] if there is none; a database that does not answer.
    pub async fn status(&self) -> anyhow::Result<Reembedding> {
        self.db.reembedding().await?.ok_or_else(|| {
            WrongUsage(
                "no re-embedding is under way; `orion-ingest reembed plan --model … --dimensions …` begins one"
                    .to_owned(),
            )
            .into()
        })
    }

    /// Fills the second column, but for a few files that came meanwhile; with others, if they do the same.
    ///
    /// # Errors
    ///
    /// A database that does not answer.
    pub async fn fill(&self, screen: &Screen, stop: CancellationToken) -> anyhow::Result<Filled> {
        let run = self.status().await?;
        if run.rows_planned.is_none() {
            // Whoever planned it died before it was done.
            self.db.slice_chunks(ROWS_A_SLICE).await?;
        }
        let filling = self.filling(&run.next, stop)?;
        progress::beside(screen, &self.db, Box::pin(filling.fill(FEW_FILES))).await
    }

    fn filling(&self, model: &Model, stop: CancellationToken) -> anyhow::Result<fill::Filling<'_>> {
        let mut settings = self.settings.embedding.clone().with_model(model.clone());
        settings.backfill = Some(self.backfill.clone());
        let filler = Filler::new(&settings, &self.db, stop.clone())?;
        Ok(fill::Filling::new(
            &self.db,
            filler,
            model.clone(),
            self.settings.tokenizer,
            settings.max_concurrency,
            stop,
        ))
    }

    /// Builds the indexes of the second column.
    ///
    /// # Errors
    ///
    /// A database that does not answer, or has no room.
    pub async fn build_indexes(&self) -> anyhow::Result<Vec<Rebuilt>> {
        let mut admin = db::connect_admin(&self.settings.database.admin_url).await?;
        let built = state::build_indexes(&mut admin).await?;
        self.db.note_size().await?;
        Ok(built)
    }

    /// Empties and drops the second column: the model from before after a cutover, else what was filled, which is to be
    /// said.
    ///
    /// # Errors
    ///
    /// [`WrongUsage`] if it is not said; a table that others keep locked; a database that does not answer.
    pub async fn finish(&self, abandon: bool) -> anyhow::Result<Reembedding> {
        let run = self.status().await?;
        let mut admin = db::connect_admin(&self.settings.database.admin_url).await?;
        if state::end(&mut admin, abandon).await? {
            return Ok(run);
        }
        Err(WrongUsage(format!(
            "the vectors of {} are not in use; cut over first, or give them up with `reembed finish --abandon`",
            run.next.name
        ))
        .into())
    }

    fn check_dimensions(&self, one: &Model, other: &Model) -> Result<(), WrongUsage> {
        if one.dimensions != other.dimensions || self.same_dimensions {
            return Ok(());
        }
        Err(WrongUsage(format!(
            "{} and {} both have {} dimensions: a query that does not name its model (query_model) can't be told apart; make sure that all of them do, then add --same-dimensions",
            one.name, other.name, one.dimensions
        )))
    }
}
