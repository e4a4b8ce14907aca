//! What a run came to, and what of it should not be.

use std::{collections::HashMap, fmt};

use orion_ingest::document::UserId;

use super::{
    crew::Crew,
    dice::Event,
    library::{self, Library},
    reader::{self, Findings},
};
use crate::stack::Stack;

/// Events by kind.
#[derive(Debug, Default)]
pub(super) struct Tally {
    kills: u64,
    terminations: u64,
    stops: u64,
    database_crashes: u64,
    cuts: u64,
    storage_faults: usize,
    provider_faults: usize,
}

impl Tally {
    pub(super) fn count(&mut self, event: &Event) {
        match event {
            Event::Kill(_) => self.kills += 1,
            Event::Terminate(_) => self.terminations += 1,
            Event::Stop(_) => self.stops += 1,
            Event::CrashDatabase => self.database_crashes += 1,
            Event::CutConnections => self.cuts += 1,
            Event::Storage(times, _) => self.storage_faults += times,
            Event::Provider(times, _) => self.provider_faults += times,
            Event::Upload(..) | Event::Edit(_) | Event::Delete(_) => {}
        }
    }
}

/// What a run came to.
#[derive(Debug)]
pub(super) struct Report {
    tally: Tally,
    looks: u64,
    mixed: usize,
    files: usize,
    uploads: usize,
    lost: usize,
    /// Tokens that the provider billed.
    billed: u64,
    /// Of these, for texts that it had given vectors of before.
    pub(super) repeated: u64,
    /// Tokens of requests that were unanswered when their worker lost a lease, or for ever.
    in_flight: i64,
    /// Tokens of requests whose answers nobody has booked.
    uncertain: i64,
    pub(super) leases_lost: i64,
    charged: i64,
    /// Files that gave up because of answers that cost money and were of no use.
    unusable: usize,
}

impl Report {
    pub(super) async fn of(
        stack: &Stack,
        library: &Library,
        crew: &Crew,
        tally: Tally,
        findings: &Findings,
    ) -> Self {
        let counts = stack.provider().counts();
        let ended = "select count(*) from files where processing_status in ('completed', 'failed')";
        let ended = usize::try_from(stack.value::<i64>(ended).await).expect("a number of files");
        let lost = library.documents.len() - ended;
        Self {
            tally,
            looks: findings.looks,
            mixed: findings.wrongs.len(),
            files: library.documents.len(),
            uploads: library.uploads,
            lost,
            billed: counts.billed_tokens,
            repeated: counts.repeated_tokens,
            in_flight: stack
                .value(
                    "select coalesce(sum(tokens), 0)::bigint from orion_ingest.embedding_requests
                     where state = 'uncertain' or id in (select id from chaos.in_flight)",
                )
                .await,
            uncertain: stack.books().await.uncertain,
            leases_lost: stack
                .value("select coalesce(sum(leases_lost), 0)::bigint from files")
                .await,
            charged: stack
                .value(
                    "select count(*) from chaos.charges where code not in ('corrupt', 'no_text')",
                )
                .await,
            unusable: crew.logged(&["answer is unusable", "\"embed: "]),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            kills,
            terminations,
            stops,
            database_crashes,
            cuts,
            storage_faults,
            provider_faults,
        } = &self.tally;
        let needed = self.billed - self.repeated;
        writeln!(
            f,
            "| kill -9 | SIGTERM | SIGSTOP | Postgres crashed | connections cut | storage faults | provider faults |\n\
             | {kills} | {terminations} | {stops} | {database_crashes} | {cuts} | {storage_faults} | {provider_faults} |"
        )?;
        writeln!(
            f,
            "| files | uploads | lost | looks | mixed | leases lost | billed | needed | paid twice | in flight | uncertain |\n\
             | {} | {} | {} | {} | {} | {} | {} | {needed} | {} | {} | {} |",
            self.files,
            self.uploads,
            self.lost,
            self.looks,
            self.mixed,
            self.leases_lost,
            self.billed,
            self.repeated,
            self.in_flight,
            self.uncertain,
        )
    }
}

/// What should not be.
pub(super) async fn wrongs(
    stack: &Stack,
    users: &[UserId],
    library: &Library,
    report: &Report,
) -> Vec<String> {
    let mut wrongs = lost(stack, users, library).await;
    let audit = "select coalesce(string_agg(format('%s: worker %s, file %s', what, worker, file_id), E'\\n'), '') from chaos.wrongs";
    let audit: String = stack.value(audit).await;
    wrongs.extend(audit.lines().map(str::to_owned));
    if report.repeated > report.in_flight.unsigned_abs() {
        wrongs.push(format!(
            "{} tokens paid twice, {} in flight when leases were lost",
            report.repeated, report.in_flight
        ));
    }
    if report.charged.unsigned_abs() > report.unusable as u64 {
        let charges = "select string_agg(format('%s: %s', code, error), E'\\n') from chaos.charges where code is null or code not in ('corrupt', 'no_text')";
        let charges: String = stack.value(charges).await;
        wrongs.push(format!(
            "charged for outages ({} unusable answers):\n{charges}",
            report.unusable
        ));
    }
    wrongs
}

/// Files that did not end as they should.
async fn lost(stack: &Stack, users: &[UserId], library: &Library) -> Vec<String> {
    let mut seen = HashMap::new();
    for user in users {
        let files = reader::files(&mut stack.admin().await, *user).await;
        seen.extend(
            files
                .expect("the database answers")
                .into_iter()
                .map(|file| (file.file, file)),
        );
    }
    let ended = |document: &library::Document| {
        let file = seen.get(&document.file)?;
        let end = (file.status.as_str(), file.code.as_deref(), file.edition);
        (end == document.end()).then_some(())
    };
    let lost = library
        .documents
        .iter()
        .filter(|document| ended(document).is_none());
    lost.map(|document| format!("{document:?} is lost: {:?}", seen.get(&document.file)))
        .collect()
}
