//! The whole story under load: files come, people search, two of three re-embedding processes are killed, the model
//! changes there, back, and there again. Every answer of every search is checked.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use orion_ingest::document::UserId;
use tokio::{process::Child, sync::watch, task::JoinSet, time::timeout};

use super::{
    TO_NEW,
    checker::{Model, active, ask, vectors},
    command, library, new, old, question, reembed, years,
};
use crate::{
    stack::Stack,
    work::{PATIENCE, sections, until},
};

/// The century of the files that are there from the beginning and never change.
const BEFORE: u32 = 15;

/// Load that goes on until it is told to stop.
struct Load {
    stack: Arc<Stack>,
    user: UserId,
    is_over: AtomicBool,
    answers: watch::Sender<u32>,
    files: watch::Sender<u32>,
}

impl Load {
    /// Searches as applications do: looks up the model, embeds with it, asks.
    async fn search(self: Arc<Self>) {
        let mut connection = self.stack.admin().await;
        while !self.is_over.load(Ordering::Relaxed) {
            let model = active(&mut connection).await;
            for year in years(BEFORE) {
                let found = ask(&mut connection, self.user, &model, &question(year))
                    .await
                    .unwrap_or_else(|error| panic!("{model:?}: {error}"));
                assert_eq!(found.len(), 5, "{model:?}: {found:?}");
                assert!(found[0].contains(&format!("year {year}")), "{found:?}");
                self.answers.send_modify(|answers| *answers += 1);
            }
        }
    }

    /// Adds a file, waits until it is completed, has it ingested again, and goes on with the next.
    async fn ingest(self: Arc<Self>) {
        let mut connection = self.stack.admin().await;
        while !self.is_over.load(Ordering::Relaxed) {
            let century = 20 + *self.files.borrow();
            let content = sections(years(century));
            let file = self.stack.file(self.user, "tea.md", content).await;
            let completed =
                format!("select processing_status = 'completed' from files where id = '{file}'");
            until(&mut connection, &completed).await;
            self.stack.ask_again(self.user, file).await;
            until(&mut connection, &completed).await;
            self.files.send_modify(|files| *files += 1);
        }
    }

    /// Waits for some more files and answers: the load is felt.
    async fn felt(&self) {
        for (count, more) in [(&self.files, 1), (&self.answers, 20)] {
            let before = *count.borrow();
            let mut count = count.subscribe();
            let felt = count.wait_for(|count| *count >= before + more);
            let felt = timeout(PATIENCE, felt).await.expect("the load goes on");
            felt.expect("it is counted");
        }
    }
}

fn services(stack: &Stack) -> Vec<Child> {
    let service = |_| {
        let mut program = stack.program(&["run", "--poll-interval", "100ms"]);
        program.spawn().expect("a process")
    };
    (0..2).map(service).collect()
}

/// Three that fill, two of which are killed when a part is filled; the third one ends it.
async fn fill(stack: &Stack) {
    stack.provider().faults.delay(Duration::from_millis(20));
    let fills = || {
        let small = [
            "run",
            "--embedding-batch-inputs",
            "2",
            "--embedding-max-concurrency",
            "1",
        ];
        command(stack, &small).spawn().expect("a process")
    };
    let (mut one, mut two, mut three) = (fills(), fills(), fills());
    let some = "select count(embedding_next) >= 10 from document_chunks";
    until(&mut stack.admin().await, some).await;
    one.kill().await.expect("SIGKILL");
    two.kill().await.expect("SIGKILL");
    stack.provider().faults.delay(Duration::ZERO);
    // Their leases run out.
    stack
        .sql("update orion_ingest.reembedding_slices set due_at = now()")
        .await;
    assert!(three.wait().await.expect("an end").success());
}

async fn swapped(load: &Load, step: &str, model: &Model) {
    reembed(&load.stack, &[step]).await.exits(0);
    assert_eq!(active(&mut load.stack.admin().await).await, *model);
    load.felt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_changes_under_load_and_every_answer_is_right() {
    let stack = Arc::new(Stack::new().await);
    let user = library(&stack, &[BEFORE, 16, 17, 18]).await;
    let mut services = services(&stack);
    let load = Arc::new(Load {
        stack: Arc::clone(&stack),
        user,
        is_over: AtomicBool::new(false),
        answers: watch::Sender::new(0),
        files: watch::Sender::new(0),
    });
    let mut going = JoinSet::new();
    going.spawn(Arc::clone(&load).search());
    going.spawn(Arc::clone(&load).ingest());

    reembed(&stack, &[&["plan"], &TO_NEW[..]].concat())
        .await
        .exits(0);
    fill(&stack).await;
    load.felt().await;
    swapped(&load, "cutover", &new()).await;
    swapped(&load, "rollback", &old()).await;
    swapped(&load, "cutover", &new()).await;
    reembed(&stack, &["finish"]).await.exits(0);
    load.felt().await;

    load.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = going.join_next().await {
        ended.expect("every answer is right");
    }
    let admin = &mut stack.admin().await;
    until(
        admin,
        "select count(*) = 0 from files where processing_status <> 'completed'",
    )
    .await;
    for service in &mut services {
        assert!(
            service.try_wait().expect("a state").is_none(),
            "no worker had to be restarted"
        );
        service.kill().await.expect("SIGKILL");
    }
    let files = 4 + *load.files.borrow() as usize;
    assert_eq!(
        vectors(&stack, "embedding").await,
        (10 * files, vec![new().name])
    );
    stack.keeps_its_promises().await;
}
