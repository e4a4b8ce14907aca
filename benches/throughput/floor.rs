//! The work that no ingester can avoid, done in this process without anything around it.

use futures_util::TryStreamExt as _;
use orion_ingest::{
    chunk::Tokenizer,
    extract::{self, Hints},
    file_type::FileTypes,
};
use rustix::time::{ClockId, clock_gettime};

use crate::{servers::Servers, uploads::Upload};

/// Bytes that are sent to the database at a time.
const PIECE: usize = 64 << 10;

/// Seconds of processor time.
pub(crate) struct Floor {
    /// The extractors alone.
    pub(crate) extract: f64,
    /// One tokenisation of what they found.
    pub(crate) tokenize: f64,
    /// Sending the rows that the drain wrote, made beforehand.
    pub(crate) copy: f64,
    /// How many of those there are.
    pub(crate) rows: u64,
}

/// Measures it on the files that were drained.
pub(crate) async fn measure(uploads: &[Upload], servers: &Servers) -> anyhow::Result<Floor> {
    let settings = extract::Settings::new(&FileTypes::seeded());
    let mut floor = Floor {
        extract: 0.0,
        tokenize: 0.0,
        copy: 0.0,
        rows: 0,
    };
    for upload in uploads {
        let hints = Hints {
            name: upload.name.clone(),
            mime_type: "application/octet-stream".to_owned(),
        };
        let (seconds, found) = timed(|| extract::extract(&upload.bytes, &hints, &settings));
        floor.extract += seconds;
        let Ok(document) = found else { continue };
        let blocks = document.pages.iter().flat_map(|page| &page.blocks);
        let text: String = blocks
            .flat_map(|block| [block.text.as_str(), "\n"])
            .collect();
        floor.tokenize += timed(|| Tokenizer::Cl100kBase.count(&text)).0;
    }
    let mut admin = servers.admin().await?;
    let rows = admin
        .copy_out_raw("copy document_chunks to stdout (format binary)")
        .await?
        .try_fold(Vec::new(), async |mut rows, piece| {
            rows.extend_from_slice(&piece);
            Ok(rows)
        })
        .await?;
    sqlx::query("create temporary table bare (like document_chunks)")
        .execute(&mut admin)
        .await?;
    let began = now();
    let mut copy = admin
        .copy_in_raw("copy bare from stdin (format binary)")
        .await?;
    for piece in rows.chunks(PIECE) {
        copy.send(piece).await?;
    }
    floor.rows = copy.finish().await?;
    floor.copy = now() - began;
    Ok(floor)
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let began = now();
    let done = work();
    (now() - began, done)
}

/// Seconds of processor time of this process, whose servers have nothing to do meanwhile.
fn now() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
