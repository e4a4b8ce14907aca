//! Any interleaving of what workers and owners do to leases, one after the other and two at once, leaves the rows as a
//! model of a few lines says.

use std::{future::Future, time::Duration};

use orion_ingest::{
    app::database,
    db::{Db, DbError, Scope},
    document::{FileId, Lease, UserId},
    failure::Code,
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::{runtime::Runtime, sync::Mutex, time::timeout};

use crate::{
    stack::Stack,
    work::{PATIENCE, chunks, ingested, state},
};

const LEASE: Duration = Duration::from_hours(1);
const WORKERS: usize = 3;
const FILES: usize = 4;

/// Something that a worker or an owner does. What ends a lease names it by its number, the last one being 0 at first.
#[derive(Clone, Debug)]
enum Deed {
    Claim(usize, usize),
    Renew(usize),
    Commit(usize),
    Retry(usize, i32),
    Reject(usize),
    Release(usize),
    /// The lease runs out, or the back-off is over.
    Expire(usize),
    /// The owner sets it back to pending.
    AskAgain(usize),
}

/// Some deeds at once.
type Step = Vec<Deed>;

/// What came of a deed.
#[derive(Clone, Debug)]
enum Outcome {
    Done,
    Lost,
    Claimed(Vec<Lease>),
}

/// Where a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pending,
    /// By its lease's number.
    Held(usize),
    Completed,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct File {
    state: State,
    is_due: bool,
    attempts: i32,
    leases_lost: i32,
    /// The lease whose chunks it has.
    chunks: Option<usize>,
}

/// What should be, and every lease that was ever given.
#[derive(Clone, Debug)]
struct Model {
    ids: Vec<FileId>,
    files: Vec<File>,
    leases: Vec<Lease>,
}

impl Model {
    fn is_claimable(file: &File) -> bool {
        matches!(file.state, State::Pending | State::Held(_)) && file.is_due
    }

    fn place(&self, file: FileId) -> usize {
        let place = self.ids.iter().position(|id| *id == file);
        place.expect("one of ours")
    }

    /// The deed, if there are leases to name; counted from the first one.
    fn name(&self, deed: &Deed) -> Option<Deed> {
        let number = |back: usize| {
            let last = self.leases.len().checked_sub(1)?;
            Some(last - back.min(last))
        };
        Some(match deed {
            Deed::Renew(back) => Deed::Renew(number(*back)?),
            Deed::Commit(back) => Deed::Commit(number(*back)?),
            Deed::Retry(back, charge) => Deed::Retry(number(*back)?, *charge),
            Deed::Reject(back) => Deed::Reject(number(*back)?),
            Deed::Release(back) => Deed::Release(number(*back)?),
            Deed::Claim(..) | Deed::Expire(_) | Deed::AskAgain(_) => deed.clone(),
        })
    }

    /// Whether the deed may have had this outcome; what is so after it.
    fn allows(mut self, deed: &Deed, outcome: &Outcome) -> Option<Self> {
        match (deed, outcome) {
            (Deed::Claim(_, most), Outcome::Claimed(leases)) => {
                for lease in leases {
                    self.claimed(lease)?;
                }
                (leases.len() <= *most).then_some(self)
            }
            (Deed::Expire(place), Outcome::Done) => {
                self.files[*place].is_due = true;
                Some(self)
            }
            (Deed::AskAgain(place), Outcome::Done) => {
                let file = &mut self.files[*place];
                file.state = State::Pending;
                (file.is_due, file.attempts, file.leases_lost) = (true, 0, 0);
                Some(self)
            }
            (deed, outcome) => self.allows_write(deed, outcome),
        }
    }

    fn claimed(&mut self, lease: &Lease) -> Option<()> {
        let (place, number) = (self.place(lease.file), self.leases.len());
        let file = &mut self.files[place];
        if !Self::is_claimable(file) {
            return None;
        }
        file.leases_lost += i32::from(matches!(file.state, State::Held(_)));
        (file.state, file.is_due) = (State::Held(number), false);
        let told = (lease.attempts, lease.leases_lost);
        let is_so = told == (file.attempts, file.leases_lost);
        self.leases.push(lease.clone());
        is_so.then_some(())
    }

    /// A write that names a lease is done if it is the file's, and else nothing is.
    fn allows_write(mut self, deed: &Deed, outcome: &Outcome) -> Option<Self> {
        let (Deed::Renew(number)
        | Deed::Commit(number)
        | Deed::Retry(number, _)
        | Deed::Reject(number)
        | Deed::Release(number)) = *deed
        else {
            return None;
        };
        let place = self.place(self.leases[number].file);
        let file = &mut self.files[place];
        match outcome {
            Outcome::Lost => return (file.state != State::Held(number)).then_some(self),
            Outcome::Done if file.state == State::Held(number) => {}
            Outcome::Done | Outcome::Claimed(_) => return None,
        }
        match deed {
            Deed::Renew(_) => file.is_due = false,
            Deed::Commit(_) => (file.state, file.chunks) = (State::Completed, Some(number)),
            Deed::Retry(_, charge) => {
                (file.state, file.is_due) = (State::Pending, false);
                file.attempts += charge;
            }
            Deed::Reject(_) => {
                file.state = State::Failed;
                file.attempts += 1;
            }
            Deed::Release(_) => (file.state, file.is_due) = (State::Pending, true),
            Deed::Claim(..) | Deed::Expire(_) | Deed::AskAgain(_) => return None,
        }
        Some(self)
    }
}

/// Real Postgres, and several workers' connections to it.
struct World {
    stack: Stack,
    /// Where files are looked at.
    reader: Mutex<PgConnection>,
    /// What their owners do, and time.
    owner: Mutex<PgConnection>,
    workers: Vec<Db>,
    users: [UserId; 2],
}

impl World {
    async fn new() -> Self {
        let stack = Stack::new().await;
        let users = [stack.user().await, stack.user().await];
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            let settings = database(&stack.database_url(), 1);
            workers.push(Db::connect(&settings).await.expect("the database answers"));
        }
        Self {
            reader: Mutex::new(stack.admin().await),
            owner: Mutex::new(stack.admin().await),
            stack,
            workers,
            users,
        }
    }

    /// New files, due, of two people.
    async fn files(&self) -> Model {
        self.stack.sql("delete from files").await;
        let mut ids = Vec::new();
        for n in 0..FILES {
            let user = self.users[n % 2];
            let key = format!("{user}/{n}");
            ids.push(self.stack.row(user, "a.txt", "text/plain", &key, 1).await);
        }
        let file = File {
            state: State::Pending,
            is_due: true,
            attempts: 0,
            leases_lost: 0,
            chunks: None,
        };
        Model {
            ids,
            files: vec![file; FILES],
            leases: Vec::new(),
        }
    }

    async fn perform(&self, model: &Model, deed: &Deed) -> Outcome {
        let db = |number: usize| &self.workers[number % WORKERS];
        match deed {
            Deed::Claim(worker, most) => {
                let claim = Box::pin(db(*worker).claim(*most, LEASE, &Scope::All));
                Outcome::Claimed(claim.await.expect("the database answers"))
            }
            Deed::Expire(place) => {
                let expired = "due_at = now() - interval '1 millisecond'";
                self.set(model.ids[*place], expired).await;
                Outcome::Done
            }
            Deed::AskAgain(place) => {
                self.set(model.ids[*place], "processing_status = 'pending'")
                    .await;
                Outcome::Done
            }
            Deed::Renew(number)
            | Deed::Commit(number)
            | Deed::Retry(number, _)
            | Deed::Reject(number)
            | Deed::Release(number) => {
                let number = *number;
                let written = write(db(number), &model.leases[number], deed, number);
                match Box::pin(written).await {
                    Ok(()) => Outcome::Done,
                    Err(DbError::LeaseLost) => Outcome::Lost,
                    Err(error) => panic!("{deed:?}: {error:?}"),
                }
            }
        }
    }

    async fn set(&self, file: FileId, change: &str) {
        let statement = format!("update files set {change} where id = '{file}'");
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut *self.owner.lock().await)
            .await
            .expect("the database answers");
    }

    /// What is.
    async fn seen(&self, model: &Model) -> Vec<File> {
        let mut files = Vec::new();
        let mut reader = self.reader.lock().await;
        for id in &model.ids {
            let row = state(&mut reader, *id).await;
            let held = model
                .leases
                .iter()
                .position(|lease| Some(lease.token.0) == row.token);
            let state = match (row.status.as_str(), held) {
                ("pending", None) => State::Pending,
                ("processing", Some(number)) => State::Held(number),
                ("completed", None) => State::Completed,
                ("failed", None) => State::Failed,
                _ => panic!("no state of a file: {row:?}"),
            };
            let chunks = chunks(&mut reader, *id).await;
            assert_eq!(usize::try_from(row.chunk_count), Ok(chunks.len()));
            files.push(File {
                state,
                is_due: row.due_in <= 0.0,
                attempts: row.attempts,
                leases_lost: row.leases_lost,
                chunks: chunks
                    .first()
                    .map(|chunk| chunk.content.parse().expect("a number")),
            });
        }
        files
    }

    /// Does the deeds of a step at once; the model after it, which knows an order in which they may have been done.
    async fn step(&self, model: Model, step: &Step) -> Result<Model, TestCaseError> {
        let step: Step = step.iter().filter_map(|deed| model.name(deed)).collect();
        let outcomes = match step.as_slice() {
            [] => return Ok(model),
            [one, other] => {
                let both = join(self.perform(&model, one), self.perform(&model, other));
                Vec::from(<[Outcome; 2]>::from(both.await))
            }
            deeds => vec![self.perform(&model, &deeds[0]).await],
        };
        let done: Vec<_> = step.iter().zip(&outcomes).collect();
        let in_order = |done: Vec<(&Deed, &Outcome)>| {
            let first = Some(model.clone());
            done.into_iter()
                .fold(first, |model, (deed, outcome)| model?.allows(deed, outcome))
        };
        let orders = [done.clone(), done.into_iter().rev().collect()].map(in_order);
        for after in orders.into_iter().flatten() {
            if matches(&after, &self.seen(&after).await) {
                return Ok(after);
            }
        }
        let seen = format!("{outcomes:#?} of {model:#?}");
        Err(TestCaseError::fail(seen))
    }

    /// Whatever is due is claimed in the end, though a claim may find it locked or its turn not yet come.
    async fn nothing_is_lost(&self, mut model: Model) -> Result<(), TestCaseError> {
        let all = async {
            while model.files.iter().any(Model::is_claimable) {
                let claim = vec![Deed::Claim(0, FILES)];
                model = self.step(model, &claim).await?;
            }
            Ok(())
        };
        let all = timeout(PATIENCE, all).await;
        all.unwrap_or_else(|_| Err(TestCaseError::fail("a due file is never claimed")))
    }
}

async fn join<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    tokio::join!(one, other)
}

/// Rows of files that are completed or failed are due whenever.
fn matches(model: &Model, seen: &[File]) -> bool {
    let same = |(expected, seen): (&File, &File)| {
        let ended = matches!(seen.state, State::Completed | State::Failed);
        let is_due = if ended { expected.is_due } else { seen.is_due };
        *expected
            == File {
                is_due,
                ..seen.clone()
            }
    };
    model.files.iter().zip(seen).all(same)
}

/// The write of a lease; its chunks tell whose they are.
async fn write(db: &Db, lease: &Lease, deed: &Deed, number: usize) -> Result<(), DbError> {
    match deed {
        Deed::Renew(_) => db.renew(lease, LEASE).await,
        Deed::Commit(_) => {
            let text = number.to_string();
            db.commit(lease, &ingested(&[&text]).into()).await
        }
        Deed::Retry(_, charge) => {
            let error = Some((Code::ProviderUnavailable, "later"));
            db.retry(lease, *charge, LEASE, error).await
        }
        Deed::Reject(_) => db.reject(lease, 1, Code::Corrupt, "no").await,
        Deed::Release(_) => db.release(lease).await,
        Deed::Claim(..) | Deed::Expire(_) | Deed::AskAgain(_) => Ok(()),
    }
}

fn deed() -> impl Strategy<Value = Deed> {
    let lease = || 0_usize..6;
    prop_oneof![
        4 => (0..WORKERS, 1..=FILES).prop_map(|(worker, most)| Deed::Claim(worker, most)),
        2 => lease().prop_map(Deed::Renew),
        3 => lease().prop_map(Deed::Commit),
        2 => (lease(), 0..=1).prop_map(|(lease, charge)| Deed::Retry(lease, charge)),
        1 => lease().prop_map(Deed::Reject),
        2 => lease().prop_map(Deed::Release),
        5 => (0..FILES).prop_map(Deed::Expire),
        2 => (0..FILES).prop_map(Deed::AskAgain),
    ]
}

#[test]
fn whatever_is_done_to_leases_the_rows_are_as_the_model_says() {
    let runtime = Runtime::new().expect("a runtime");
    let world = runtime.block_on(World::new());
    let mut runner = TestRunner::new(Config {
        cases: 32,
        failure_persistence: None,
        ..Config::default()
    });
    let steps = vec(vec(deed(), 1..=2), 1..40);
    let result = runner.run(&steps, |steps| {
        runtime.block_on(async {
            let mut model = world.files().await;
            for step in &steps {
                model = world.step(model, step).await?;
            }
            world.nothing_is_lost(model).await
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
