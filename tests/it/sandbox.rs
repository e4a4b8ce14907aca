//! A file that harms its extractor harms nothing else.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Read, Write},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use orion_ingest::{
    document::{Document, UserId},
    extract::{
        ExtractError, Hints, Settings as ExtractSettings,
        frames::{self, Assembler, Kind, Limits, Response, Start},
        sandbox::{ALLOCATOR, COMMAND, Sandbox, SandboxError, Settings},
    },
    failure::{Code, Verdict},
    file_type::{FileType, FileTypes},
    spawner::Spawner,
};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tokio::io::unix::AsyncFd;
use uuid::Uuid;

const PROGRAM: &str = env!("CARGO_BIN_EXE_orion-ingest");
const GIB: u64 = 1 << 30;
const NOBODY: UserId = UserId::NOBODY;

fn types() -> ExtractSettings {
    ExtractSettings {
        types: FileTypes::new(vec![
            file_type("text/plain", "txt", "text"),
            file_type("application/pdf", "pdf", "pdf"),
        ]),
        max_text_bytes: 8 << 20,
        max_pages: 100,
    }
}

fn file_type(mime_type: &str, extension: &str, extractor: &str) -> FileType {
    FileType {
        mime_type: mime_type.into(),
        extensions: vec![extension.into()],
        display_name: extension.into(),
        enabled: true,
        max_file_size: 1 << 30,
        extractor: extractor.into(),
        splitter: "prose".into(),
        chunk_size: 512,
        chunk_overlap: 64,
        options: serde_json::Value::Null,
    }
}

/// A file of these objects, the first of which is its catalog.
fn pdf(objects: impl IntoIterator<Item = String>) -> Vec<u8> {
    let mut pdf = String::from("%PDF-1.7\n");
    let mut table = String::new();
    let mut size = 1;
    for object in objects {
        writeln!(table, "{:010} 00000 n ", pdf.len()).unwrap();
        writeln!(pdf, "{size} 0 obj\n{object}\nendobj").unwrap();
        size += 1;
    }
    let end = format!(
        "xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<</Size {size}/Root 1 0 R>>\nstartxref\n{}\n%%EOF",
        pdf.len()
    );
    (pdf + &end).into_bytes()
}

/// A small document whose last object is `depth` lists in each other, which the parser follows down its stack.
fn nested_pdf(depth: usize) -> Vec<u8> {
    let content = "BT /F1 12 Tf (Hello) Tj ET";
    pdf([
        "<</Type/Catalog/Pages 2 0 R>>".to_owned(),
        "<</Type/Pages/Kids[3 0 R]/Count 1>>".to_owned(),
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>".to_owned(),
        format!("<</Length {}>>stream\n{content}\nendstream", content.len()),
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>".to_owned(),
        format!("{}{}", "[".repeat(depth), "]".repeat(depth)),
    ])
}

/// A form whose font names its 26 letters, from `a` on, by references: to these letters.
fn lettered_pdf(letters: impl Iterator<Item = char>) -> Vec<u8> {
    let content = "BT /F 12 Tf 50 700 Td (payment is due to the old account) Tj ET";
    let names = (8..34).map(|object| format!("{object} 0 R"));
    let names = names.collect::<Vec<_>>().join(" ");
    let objects = [
        "<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[6 0 R]>>>>".to_owned(),
        "<</Type/Pages/Kids[4 0 R]/Count 1>>".to_owned(),
        "<</Type/Font/Subtype/Type1/BaseFont/Acme/Encoding 7 0 R>>".to_owned(),
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 5 0 R/Annots[6 0 R]/Resources<</Font<</F 3 0 R>>>>>>".to_owned(),
        format!("<</Length {}>>stream\n{content}\nendstream", content.len()),
        "<</Type/Annot/Subtype/Widget/FT/Tx/T(name)/V(Some answer that was filled in)/Rect[50 100 400 120]/P 4 0 R>>".to_owned(),
        format!("<</Type/Encoding/Differences[97{names}]>>"),
    ];
    pdf(objects
        .into_iter()
        .chain(letters.map(|letter| format!("/{letter}"))))
}

fn hints() -> Hints {
    Hints {
        name: "notes.txt".into(),
        mime_type: "text/plain".into(),
    }
}

fn sandbox(program: impl Into<PathBuf>, memory_bytes: u64) -> Sandbox {
    let settings = Settings {
        program: program.into(),
        timeout: Duration::from_mins(1),
        memory_bytes,
        children: 2,
    };
    Sandbox::new(settings, Spawner::new().unwrap())
}

/// A program that misbehaves on the pipe; kept as a file, since one that was just written may still be "busy" to exec.
fn bad_child(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/children")
        .join(name)
}

async fn read_by(program: PathBuf, body: &[u8]) -> Result<Document, SandboxError> {
    sandbox(program, GIB)
        .extract(NOBODY, &hints(), &types(), Bytes::copy_from_slice(body))
        .await
}

async fn crash_of(name: &str) -> String {
    match read_by(bad_child(name), &vec![b'x'; 3 << 20]).await {
        Err(error @ SandboxError::Crash { .. }) => {
            let code = Code::ExtractCrash;
            assert_eq!(error.verdict(), Verdict::Retry { code: Some(code) });
            error.to_string()
        }
        other => panic!("{name} should have crashed: {other:?}"),
    }
}

/// Ids of the children that this process started with this much memory, which tells one test's from another's.
fn children(memory_bytes: u64) -> Vec<i32> {
    let us = std::process::id();
    let wanted = format!("{COMMAND}\0{us}\0{memory_bytes}\0");
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse::<i32>().ok()
    });
    pids.filter(|pid| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(wanted.as_bytes()))
    })
    .collect()
}

/// The only child with this much memory, as soon as the system shows what it runs.
async fn child(memory_bytes: u64) -> i32 {
    loop {
        if let [pid] = children(memory_bytes)[..] {
            return pid;
        }
        tokio::task::yield_now().await;
    }
}

/// Until no child with this much memory is left.
async fn gone(memory_bytes: u64) {
    let gone = async {
        while !children(memory_bytes).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let patience = Duration::from_mins(1);
    tokio::time::timeout(patience, gone)
        .await
        .expect("no child is kept");
}

async fn death_of(pid: i32) {
    let Ok(process) = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()) else {
        return; // reaped already
    };
    #[expect(
        deprecated,
        reason = "its successor is unsafe to call; this descriptor is closed with its registration"
    )]
    let process = AsyncFd::new(process).unwrap();
    drop(process.readable().await.unwrap());
}

/// Our child as the worker starts it, on pipes of the test's own.
fn real_child(parent: u32, memory_bytes: u64) -> Child {
    Command::new(PROGRAM)
        .args([COMMAND, &parent.to_string(), &memory_bytes.to_string()])
        .envs([ALLOCATOR])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn ask(pipe: &mut impl Write, body: &[u8]) {
    let start = Start {
        hints: hints(),
        settings: Some(types()),
        limits: Limits {
            body_bytes: body.len() as u64,
            cpu_seconds: 60,
            response_bytes: 1 << 20,
        },
    };
    frames::write(pipe, Kind::Start, &start.encode().unwrap()).unwrap();
    frames::write(pipe, Kind::Bytes, body).unwrap();
    frames::write(pipe, Kind::End, b"").unwrap();
}

fn answer(pipe: &mut impl Read) -> Response {
    let mut assembler = Assembler::new(1 << 20);
    let (kind, payload) = frames::read(pipe, &mut assembler).unwrap().unwrap();
    Response::decode(kind, &payload).unwrap()
}

#[tokio::test]
async fn a_file_is_read_in_a_child() {
    let document = read_by(PROGRAM.into(), "Grüße, мир.".as_bytes())
        .await
        .unwrap();
    assert_eq!(document.mime_type, "text/plain");
    assert_eq!(document.pages[0].blocks[0].text, "Grüße, мир.");
}

#[tokio::test]
async fn a_page_of_many_frames_arrives_whole() {
    let line = "A sentence that is repeated until the page outgrows a frame many times.\n\n";
    let body = line.repeat(80_000);
    let document = read_by(PROGRAM.into(), body.as_bytes()).await.unwrap();
    let text: usize = document.pages[0].blocks.iter().map(|b| b.text.len()).sum();
    assert_eq!(text, 80_000 * line.trim().len());
}

#[tokio::test]
async fn what_is_wrong_with_a_file_comes_back_as_the_extractor_said_it() {
    let error = read_by(PROGRAM.into(), b"").await.unwrap_err();
    assert!(
        matches!(error, SandboxError::Extract(ExtractError::NoText)),
        "{error:?}"
    );
    assert_eq!(error.verdict(), Verdict::Reject { code: Code::NoText });
}

#[tokio::test]
async fn a_document_beyond_what_the_worker_takes_is_too_large() {
    let mut settings = types();
    settings.max_text_bytes = 1 << 20;
    let body = "x\n\n".repeat(300_000);
    let error = sandbox(PROGRAM, GIB)
        .extract(NOBODY, &hints(), &settings, body.into())
        .await
        .unwrap_err();
    assert_eq!(
        error.verdict(),
        Verdict::Reject {
            code: Code::TooLarge
        }
    );
}

#[tokio::test]
async fn a_child_that_needs_too_much_memory_is_told_apart() {
    let memory_bytes = 200 << 20;
    let error = sandbox(PROGRAM, memory_bytes)
        .extract(NOBODY, &hints(), &types(), vec![b'a'; 150 << 20].into())
        .await
        .unwrap_err();
    assert!(matches!(error, SandboxError::Memory), "{error:?}");
    assert!(children(memory_bytes).is_empty());
}

#[tokio::test]
async fn a_document_that_overflows_the_parsers_stack_is_a_crash() {
    let document = read_by(PROGRAM.into(), &nested_pdf(3)).await.unwrap();
    assert_eq!(document.pages[0].blocks[0].text, "Hello");
    let error = read_by(PROGRAM.into(), &nested_pdf(400_000))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("the stack overflowed"),
        "{error}"
    );
}

#[tokio::test]
async fn a_child_that_is_killed_is_a_crash() {
    let memory_bytes = GIB + 1;
    let sandbox = sandbox(bad_child("stops.sh"), memory_bytes);
    let (hints, types) = (hints(), types());
    let extraction = sandbox.extract(NOBODY, &hints, &types, Bytes::from_static(b"x"));
    let assassin = async {
        let pid = Pid::from_raw(child(memory_bytes).await).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    };
    let (result, ()) = tokio::join!(biased; extraction, assassin);
    let error = result.unwrap_err().to_string();
    assert!(error.contains("it was killed"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_child_that_hangs_is_killed_when_its_time_is_up() {
    let memory_bytes = GIB + 2;
    let body = vec![b'x'; 8 << 20]; // more than a pipe holds: the worker is writing when the time is up
    let error = sandbox(bad_child("stops.sh"), memory_bytes)
        .extract(NOBODY, &hints(), &types(), body.into())
        .await
        .unwrap_err();
    assert!(matches!(error, SandboxError::Timeout { .. }), "{error:?}");
    let code = Code::ExtractTimeout;
    assert_eq!(error.verdict(), Verdict::Retry { code: Some(code) });
    assert!(
        children(memory_bytes).is_empty(),
        "no child is left, not even a zombie"
    );
}

#[tokio::test]
async fn a_child_dies_with_the_future_that_waits_for_it() {
    let memory_bytes = GIB + 3;
    let sandbox = sandbox(bad_child("stops.sh"), memory_bytes);
    let (hints, types) = (hints(), types());
    let pid = {
        let extraction = sandbox.extract(NOBODY, &hints, &types, Bytes::from_static(b"x"));
        tokio::pin!(extraction);
        tokio::select! {
            biased;
            result = &mut extraction => panic!("a stopped child answers: {result:?}"),
            pid = child(memory_bytes) => pid,
        }
    };
    death_of(pid).await;
}

#[tokio::test]
async fn a_child_has_none_of_our_environment() {
    let memory_bytes = GIB + 4;
    let sandbox = sandbox(bad_child("stops.sh"), memory_bytes);
    let (hints, types) = (hints(), types());
    let extraction = sandbox.extract(NOBODY, &hints, &types, Bytes::from_static(b"x"));
    let look = async {
        let pid = child(memory_bytes).await;
        fs::read_to_string(format!("/proc/{pid}/environ")).unwrap()
    };
    let environment = tokio::select! {
        biased;
        result = extraction => panic!("a stopped child answers: {result:?}"),
        environment = look => environment,
    };
    let names = environment
        .split_terminator('\0')
        .filter_map(|variable| variable.split_once('='));
    assert_eq!(names.collect::<Vec<_>>(), [ALLOCATOR], "{environment}");
}

#[tokio::test]
async fn a_child_that_breaks_the_protocol_is_a_crash() {
    assert!(crash_of("babbles.sh").await.contains("too long"));
    assert!(crash_of("floods.sh").await.contains("allowed"));
    assert!(crash_of("loses_pages.sh").await.contains("lost pages"));
    assert!(crash_of("hides_a_nul.sh").await.contains("NUL"));
    assert!(crash_of("leaves.sh").await.contains("without an answer"));
}

#[tokio::test]
async fn what_a_dying_child_says_of_the_file_is_not_repeated() {
    let overflow = crash_of("overflows.sh").await;
    assert!(overflow.contains("the stack overflowed"), "{overflow}");
    assert!(!overflow.contains("SECRET"), "{overflow}");
    let gossip = crash_of("gossips.sh").await;
    assert!(!gossip.contains("SECRET"), "{gossip}");
}

#[tokio::test]
async fn processor_time_that_is_used_up_is_a_timeout() {
    let error = read_by(bad_child("spends_its_time.sh"), b"x")
        .await
        .unwrap_err();
    assert!(matches!(error, SandboxError::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn an_answer_counts_before_the_question_is_finished() {
    let body = vec![b'x'; 8 << 20];
    let error = read_by(bad_child("answers_unasked.sh"), &body)
        .await
        .unwrap_err();
    assert!(
        matches!(error, SandboxError::Extract(ExtractError::NoText)),
        "{error:?}"
    );
}

/// Reads a file of one word by the program itself.
async fn read(sandbox: &Sandbox, word: &'static str) -> Document {
    let body = Bytes::from_static(word.as_bytes());
    let document = sandbox
        .extract(NOBODY, &hints(), &types(), body)
        .await
        .unwrap();
    assert_eq!(document.pages[0].blocks[0].text, word);
    document
}

#[tokio::test]
async fn one_child_reads_one_file_after_another() {
    let memory_bytes = GIB + 5;
    let sandbox = sandbox(PROGRAM, memory_bytes);
    read(&sandbox, "first").await;
    let pid = child(memory_bytes).await;
    for word in ["second", "third"] {
        read(&sandbox, word).await;
        assert_eq!(children(memory_bytes), [pid]);
    }
    drop(sandbox);
    death_of(pid).await;
}

#[tokio::test]
async fn a_parser_that_panics_leaves_nothing_behind_for_the_next_file() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/rules");
    let file = |name: &str| Bytes::from(fs::read(rules.join(name)).unwrap());
    // The second engine panics on it, and is caught.
    let broken = file("pdf-broken-note.pdf");
    for name in ["pdf-notes.pdf", "pdf-form.pdf", "pdf-comments.pdf"] {
        let (hints, types) = (hints(), types());
        let (alone, after) = (sandbox(PROGRAM, GIB), sandbox(PROGRAM, GIB));
        after
            .extract(NOBODY, &hints, &types, broken.clone())
            .await
            .unwrap();
        let after = after
            .extract(NOBODY, &hints, &types, file(name))
            .await
            .unwrap();
        let alone = alone
            .extract(NOBODY, &hints, &types, file(name))
            .await
            .unwrap();
        assert_eq!(after, alone, "{name}");
    }
}

#[tokio::test]
async fn the_letters_of_one_files_fonts_are_not_those_of_the_next() {
    let (alone, after) = (sandbox(PROGRAM, GIB), sandbox(PROGRAM, GIB));
    let letters = 'a'..='z';
    let shifted = Bytes::from(lettered_pdf(('n'..='z').chain('a'..='m')));
    let plain = Bytes::from(lettered_pdf(letters));
    let (hints, types) = (hints(), types());
    after
        .extract(NOBODY, &hints, &types, shifted)
        .await
        .unwrap();
    let after = after
        .extract(NOBODY, &hints, &types, plain.clone())
        .await
        .unwrap();
    let alone = alone.extract(NOBODY, &hints, &types, plain).await.unwrap();
    assert_eq!(after, alone);
    assert!(
        alone.pages[0].blocks[0].text.contains("payment is due"),
        "{alone:?}"
    );
}

#[tokio::test]
async fn no_child_reads_files_of_two_people() {
    let memory_bytes = GIB + 11;
    let sandbox = sandbox(PROGRAM, memory_bytes);
    let mut pids = Vec::new();
    for owner in [1, 2, 1, 3].map(|number| UserId(Uuid::from_u128(number))) {
        let body = Bytes::from_static(b"word");
        sandbox
            .extract(owner, &hints(), &types(), body)
            .await
            .unwrap();
        let now = children(memory_bytes);
        pids.push(now);
    }
    assert_eq!(pids[0].len(), 1);
    assert_eq!(pids[1].len(), 2, "another's child is not used");
    assert_eq!(pids[2], pids[1], "one's own is");
    // A third person's takes the place of the one that was used longest ago.
    while children(memory_bytes).len() > 2 {
        tokio::task::yield_now().await;
    }
    let left = children(memory_bytes);
    let second = pids[1].iter().find(|pid| **pid != pids[0][0]).unwrap();
    assert!(left.contains(&pids[0][0]) && !left.contains(second));
}

#[tokio::test]
async fn a_child_that_falls_silent_and_lives_on_is_killed() {
    let crash = crash_of("closes.sh").await;
    assert!(crash.contains("killed"), "{crash}");
}

#[tokio::test]
async fn no_more_children_work_than_there_may() {
    let memory_bytes = GIB + 6;
    let sandbox = sandbox(PROGRAM, memory_bytes);
    futures_util::future::join_all((0..8).map(|_| read(&sandbox, "word"))).await;
    assert_eq!(children(memory_bytes).len(), 2);
}

#[tokio::test]
async fn a_child_that_died_between_two_files_costs_neither() {
    let memory_bytes = GIB + 7;
    let sandbox = sandbox(PROGRAM, memory_bytes);
    read(&sandbox, "first").await;
    let pid = child(memory_bytes).await;
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    death_of(pid).await;
    read(&sandbox, "second").await;
}

#[tokio::test]
async fn a_file_that_another_files_child_dies_of_is_read_by_a_fresh_one() {
    let memory_bytes = GIB + 8;
    let sandbox = sandbox(PROGRAM, memory_bytes);
    read(&sandbox, "first").await;
    let kept = Pid::from_raw(child(memory_bytes).await).unwrap();
    kill_process(kept, Signal::STOP).unwrap();
    // The question is in the pipe when the child is killed.
    let kill = async { kill_process(kept, Signal::KILL).unwrap() };
    tokio::join!(biased; read(&sandbox, "second"), kill);
}

/// A child refuses the file, and is gone although the sandbox is still there.
async fn refuses_and_goes(name: &str, memory_bytes: u64, body: Vec<u8>) {
    let sandbox = sandbox(bad_child(name), memory_bytes);
    let refused = sandbox
        .extract(NOBODY, &hints(), &types(), body.into())
        .await;
    assert!(
        matches!(refused, Err(SandboxError::Extract(_))),
        "{refused:?}"
    );
    gone(memory_bytes).await;
}

#[tokio::test]
async fn a_child_reads_each_file_as_it_is_told() {
    let sandbox = sandbox(PROGRAM, GIB + 12);
    let text = Bytes::from_static(b"A line.");
    let off = ExtractSettings {
        types: types()
            .types
            .iter()
            .map(|row| FileType {
                enabled: false,
                ..row.clone()
            })
            .collect(),
        ..types()
    };
    let mut children = Vec::new();
    for (settings, is_read) in [
        (types(), true),
        (types(), true),
        (off, false),
        (types(), true),
    ] {
        let read = sandbox
            .extract(NOBODY, &hints(), &settings, text.clone())
            .await;
        assert_eq!(read.is_ok(), is_read, "{read:?}");
        children.extend(self::children(GIB + 12));
    }
    children.dedup();
    assert_eq!(children.len(), 1, "it is the same child");
}

#[tokio::test]
async fn a_child_that_has_grown_is_not_kept() {
    refuses_and_goes("grows.sh", GIB + 9, vec![b'x']).await;
}

#[tokio::test]
async fn a_child_that_is_out_of_step_is_not_kept() {
    refuses_and_goes("answers_unasked.sh", GIB + 10, vec![b'x'; 8 << 20]).await;
}

#[tokio::test]
async fn a_program_that_cannot_start_is_not_the_files_fault() {
    let error = read_by("/no/such/program".into(), b"x").await.unwrap_err();
    let (code, after) = (None, None);
    assert_eq!(error.verdict(), Verdict::Wait { code, after });
}

#[test]
fn a_child_answers_one_request_after_another() {
    let mut child = real_child(std::process::id(), GIB);
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    for body in ["first", "second"] {
        ask(&mut input, body.as_bytes());
        let Response::Page(page) = answer(&mut output) else {
            panic!("a page comes first")
        };
        assert_eq!(page.blocks[0].text, body);
        assert!(matches!(answer(&mut output), Response::Done(_)));
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_child_limits_itself_before_it_reads() {
    let mut child = real_child(std::process::id(), GIB);
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    ask(&mut input, b"");
    assert!(matches!(answer(&mut output), Response::Failed(_)));
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..]
            .split_whitespace()
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(limit("Max address space"), GIB.to_string());
    assert_eq!(limit("Max core file size"), "0");
    assert_eq!(limit("Max file size"), "0");
    assert_eq!(limit("Max open files"), "16");
    let cpu: u64 = limit("Max cpu time").parse().unwrap();
    assert!((60..=65).contains(&cpu), "{cpu}");
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
async fn a_child_can_open_no_file_make_no_socket_and_start_no_program() {
    let freedom = sandbox(PROGRAM, GIB).freedom().await.unwrap();
    assert!(freedom.is_none(), "{freedom:?}");
}

#[tokio::test]
async fn a_child_that_says_nothing_of_itself_is_no_confined_child() {
    let silent = sandbox(bad_child("leaves.sh"), GIB);
    assert!(silent.freedom().await.is_err());
}

#[test]
fn a_child_that_uses_up_its_processor_time_is_ended_by_the_kernel() {
    let mut child = real_child(std::process::id(), GIB);
    let mut input = child.stdin.take().unwrap();
    let body = b"tea ".repeat(12 << 20);
    let start = Start {
        hints: hints(),
        settings: Some(ExtractSettings::new(&FileTypes::seeded())),
        limits: Limits {
            body_bytes: body.len() as u64,
            cpu_seconds: 0,
            response_bytes: 1 << 30,
        },
    };
    frames::write(&mut input, Kind::Start, &start.encode().unwrap()).unwrap();
    // It may die while it still reads.
    drop(frames::write(&mut input, Kind::Bytes, &body));
    drop(frames::write(&mut input, Kind::End, b""));
    let ended = child.wait_with_output().unwrap().status;
    assert_eq!(ended.signal(), Some(Signal::XCPU.as_raw()), "{ended:?}");
}

#[tokio::test]
async fn a_file_of_more_pages_than_it_may_have_is_too_large() {
    for (pages, code) in [(100, None), (101, Some(Code::TooLarge))] {
        let read = read_by(PROGRAM.into(), &crate::work::pdf(&vec!["tea"; pages])).await;
        let found = read.err().map(|error| error.verdict());
        assert_eq!(found, code.map(|code| Verdict::Reject { code }), "{pages}");
    }
}

#[test]
fn a_child_that_another_than_its_parent_claims_refuses_to_work() {
    let mut child = real_child(1, GIB);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[tokio::test]
async fn a_child_dies_with_the_worker() {
    let script = format!("exec 3<&0; '{PROGRAM}' {COMMAND} $$ {GIB} <&3 & echo $!; wait");
    let mut worker = Command::new("sh")
        .args(["-c", &script])
        .envs([ALLOCATOR])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = worker.stdin.take().unwrap();
    let mut output = BufReader::new(worker.stdout.take().unwrap());
    let mut pid = String::new();
    output.read_line(&mut pid).unwrap();
    ask(&mut input, b"");
    assert!(matches!(answer(&mut output), Response::Failed(_)));
    worker.kill().unwrap();
    worker.wait().unwrap();
    death_of(pid.trim().parse().unwrap()).await; // and not because its input ended: we still hold it
    drop(input);
}
