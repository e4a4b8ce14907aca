//! What a whole drain costs: `cargo bench --bench throughput -- [--small N] [--text MB] [--pages N] [--delay MS] [FOLDER…]`.
//!
//! Starts Postgres, S3 and the provider's stand-in, uploads the files, and drains them with the program in a process of
//! its own. Prints the worker's processor time (its children's too, the servers' not), wall time and memory, and the
//! overhead ratio: the drain's processor time by that of the work that cannot be avoided, measured in the same run.
//! Without a folder it reads `fixtures/`.

#![expect(
    clippy::disallowed_methods,
    reason = "a bench reads the environment, looks at a process from time to time, and writes rows that the program never writes"
)]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod floor;
mod large;
mod notes;
mod process;
mod servers;
mod uploads;

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use self::{
    floor::Floor,
    notes::note,
    process::{Usage, watch},
    servers::Servers,
    uploads::Upload,
};

/// What a whole drain costs.
#[derive(Parser)]
struct Plan {
    /// Every file in and below these; without any other file, those of `fixtures/`.
    folders: Vec<PathBuf>,
    /// So many notes of a kilobyte.
    #[arg(long, default_value_t = 0)]
    small: usize,
    /// A text of so many megabytes.
    #[arg(long)]
    text: Option<usize>,
    /// A PDF of so many pages.
    #[arg(long)]
    pages: Option<usize>,
    /// How long the provider thinks, in milliseconds.
    #[arg(long, default_value_t = 50)]
    delay: u64,
    /// Cargo adds it.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let plan = Plan::parse();
    let uploads = plan.uploads()?;
    let size: usize = uploads.iter().map(|upload| upload.bytes.len()).sum();
    let runtime = tokio::runtime::Runtime::new()?;
    let (usage, outcomes, floor) = runtime.block_on(async {
        let servers = Servers::start().await?;
        servers.provider().limit(0, 0);
        servers
            .provider()
            .faults
            .delay(Duration::from_millis(plan.delay));
        servers.upload(&uploads).await?;
        let usage = drain(&servers).await?;
        let outcomes = outcomes(&servers).await?;
        let floor = floor::measure(&uploads, &servers).await?;
        servers.stop().await?;
        anyhow::Ok((usage, outcomes, floor))
    })?;
    print(uploads.len(), size, &usage, &outcomes, &floor).context("cannot print")
}

/// Empties the queue with a worker of its own process. The provider's limits are another bench's matter.
async fn drain(servers: &Servers) -> anyhow::Result<Usage> {
    let command = servers.command(&["--drain", "--embedding-rpm", "0", "--embedding-tpm", "0"]);
    tokio::task::spawn_blocking(|| watch(command)).await?
}

/// Statuses with their error codes, and how many files have each.
async fn outcomes(servers: &Servers) -> anyhow::Result<Vec<(String, i64)>> {
    let outcomes = sqlx::query_as(
        "select processing_status || coalesce(' ' || processing_error_code, ''), count(*)
         from files group by 1 order by 2 desc",
    );
    Ok(outcomes.fetch_all(&mut servers.admin().await?).await?)
}

fn print(
    files: usize,
    size: usize,
    usage: &Usage,
    outcomes: &[(String, i64)],
    floor: &Floor,
) -> io::Result<()> {
    let out = &mut io::stdout().lock();
    let megabytes = size as f64 / 1e6;
    let cpu = usage.cpu();
    let wall = usage.wall.as_secs_f64();
    writeln!(
        out,
        "{files} files, {megabytes:.1} MB, {} chunks",
        floor.rows
    )?;
    for (outcome, count) in outcomes {
        writeln!(out, "  {count:>6} {outcome}")?;
    }
    writeln!(
        out,
        "drain: {cpu:.2} s of CPU ({:.2} in the worker, {:.2} in its children), {wall:.2} s of wall",
        usage.own, usage.children
    )?;
    writeln!(
        out,
        "  a file: {:.3} ms of CPU, {:.0} files/s, {:.1} MB/s of wall",
        cpu / files as f64 * 1e3,
        files as f64 / wall,
        megabytes / wall
    )?;
    writeln!(
        out,
        "  memory, peak of PSS: {:.0} MB the worker, {:.0} MB with its children",
        usage.own_memory / 1e6,
        usage.memory / 1e6
    )?;
    let Floor {
        extract,
        tokenize,
        copy,
        ..
    } = floor;
    writeln!(
        out,
        "floor: extract {extract:.2} + tokenize {tokenize:.2} + copy {copy:.2} s of CPU"
    )?;
    writeln!(
        out,
        "overhead ratio: {:.2}",
        cpu / (extract + tokenize + copy)
    )
}

impl Plan {
    fn uploads(&self) -> anyhow::Result<Vec<Upload>> {
        let mut uploads: Vec<Upload> = (0..self.small).map(note).collect();
        uploads.extend(self.text.map(large::text));
        uploads.extend(self.pages.map(large::pdf));
        let fixtures = [Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")];
        let folders = if self.folders.is_empty() && uploads.is_empty() {
            &fixtures
        } else {
            &self.folders[..]
        };
        for folder in folders {
            read(folder, &mut uploads)
                .with_context(|| format!("cannot read {}", folder.display()))?;
        }
        Ok(uploads)
    }
}

fn read(path: &Path, uploads: &mut Vec<Upload>) -> io::Result<()> {
    if path.is_dir() {
        let mut entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::path);
        return entries
            .iter()
            .try_for_each(|entry| read(&entry.path(), uploads));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    uploads.push(Upload {
        name: name.into_owned(),
        bytes: fs::read(path)?,
    });
    Ok(())
}
