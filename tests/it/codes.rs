//! Every error code that other programs rely on comes about, and through the whole worker.

use std::{path::PathBuf, time::Duration};

use orion_ingest::{
    config::Config,
    document::{FileId, UserId},
    embedded::provider,
    failure::Code,
};

use crate::{
    stack::Stack,
    work::{Worker, pdf},
};

/// How every PNG begins.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";

/// A file that ends in this code, by a worker that is patient once.
async fn cause(stack: &Stack, code: Code) -> FileId {
    let user = stack.user().await;
    match code {
        Code::UnsupportedType => stack.file(user, "picture", PNG).await,
        Code::TypeDisabled => {
            stack
                .sql("update file_type_configs set enabled = false where mime_type = 'text/csv'")
                .await;
            stack.file(user, "a.csv", "day,rain\nMonday,3").await
        }
        Code::TooLarge => {
            let key = format!("{user}/a.txt");
            stack.row(user, "a.txt", "text/plain", &key, 1 << 40).await
        }
        Code::ObjectMissing => {
            let key = format!("{user}/a.txt");
            let file = stack.row(user, "a.txt", "text/plain", &key, 3).await;
            stack
                .set(file, "created_at = now() - interval '1 day'")
                .await;
            file
        }
        Code::PathNotOwned => stack.row(user, "a.txt", "text/plain", "a.txt", 3).await,
        Code::Encrypted => {
            let text = String::from_utf8(pdf(&["tea"])).expect("letters");
            let locked =
                "/Root 1 0 R /Encrypt << /Filter /Standard /V 1 /R 2 /O (x) /U (y) /P -4 >>
                /ID [(a) (a)]";
            let text = text.replace("/Root 1 0 R", locked);
            stack.file(user, "locked.pdf", text).await
        }
        Code::Corrupt => {
            let cut = pdf(&["tea"])[..40].to_vec();
            stack.file(user, "cut.pdf", cut).await
        }
        Code::Scanned => stack.file(user, "scan.pdf", scan()).await,
        Code::NoText => stack.file(user, "blank.txt", " \n\n ").await,
        Code::ExtractTimeout
        | Code::ExtractMemory
        | Code::ExtractCrash
        | Code::StorageUnavailable
        | Code::ProviderUnavailable => stack.file(user, "a.txt", "tea").await,
        Code::EmbeddingRejected => stack.file(user, "a.txt", "brandy").await,
        Code::QuotaExceeded => {
            stack
                .sql("update user_profiles set monthly_token_quota = 0")
                .await;
            stack.file(user, "a.txt", "tea").await
        }
        Code::AttemptsExhausted => {
            let file = stack.file(user, "a.txt", "tea").await;
            stack.set(file, "processing_attempts = 1").await;
            file
        }
    }
}

/// A page that is a picture.
fn scan() -> Vec<u8> {
    let page = "stream\nq 600 0 0 800 0 0 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \u{1} EI Q\nendstream";
    let file = String::from_utf8(pdf(&["tea"])).expect("letters");
    let (start, end) = (
        file.find("stream\n").expect("a stream"),
        file.find("\nendstream").expect("its end"),
    );
    let whole = &file[start..end + "\nendstream".len()];
    file.replace(whole, page)
        .replace(
            &format!("/Length {}", "BT /F1 12 Tf 50 700 Td (tea) Tj ET".len()),
            &format!("/Length {}", page.len() - "stream\n\nendstream".len()),
        )
        .into_bytes()
}

fn child(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/children")
        .join(name)
}

/// What has to be wrong besides the file.
fn circumstances(stack: &Stack, code: Code, config: &mut Config) {
    config.worker.max_attempts = 1;
    config.embedding.provider.answer_within = Duration::from_secs(5);
    match code {
        Code::ExtractTimeout => config.sandbox.program = child("spends_its_time.sh"),
        Code::ExtractMemory => config.sandbox.program = child("needs_memory.sh"),
        Code::ExtractCrash => config.sandbox.program = child("leaves.sh"),
        Code::EmbeddingRejected => stack.provider().faults.refuse_inputs_with("brandy"),
        Code::ProviderUnavailable => stack
            .provider()
            .faults
            .next_requests(3, &provider::faults::Fault::WrongCount),
        Code::StorageUnavailable => stack.storage_faults().next(
            9,
            orion_ingest::embedded::storage::Fault::Status {
                status: 500,
                retry_after: None,
            },
        ),
        Code::UnsupportedType
        | Code::TypeDisabled
        | Code::TooLarge
        | Code::ObjectMissing
        | Code::PathNotOwned
        | Code::Encrypted
        | Code::Corrupt
        | Code::Scanned
        | Code::NoText
        | Code::QuotaExceeded
        | Code::AttemptsExhausted => {}
    }
}

#[tokio::test]
async fn every_error_code_has_a_file_that_ends_in_it() {
    for code in Code::ALL {
        let stack = Stack::new().await;
        let file = cause(&stack, code).await;
        let worker = stack
            .worker_with(|config| circumstances(&stack, code, config))
            .await;
        worker.settle(1).await;
        let row = stack.state(file).await;
        // An outage of storage is waited out for ever; every other one ends here.
        let status = if code == Code::StorageUnavailable {
            "pending"
        } else {
            "failed"
        };
        assert_eq!(row.outcome(), (status, Some(code.as_str())), "{row:?}");
        let error = row.error.expect("words for people");
        assert!(!error.contains("127.0.0.1"), "{error}");
        assert_eq!((row.chunk_count, row.token), (0, None));
        stack.keeps_its_promises().await;
    }
}

/// The key of an object that is somebody else's.
async fn secret_of(stack: &Stack, owner: UserId) -> String {
    let key = format!("{owner}/secret.txt");
    let objects = stack.objects();
    objects
        .put(&key, "secret".into(), "text/plain")
        .await
        .unwrap();
    key
}

#[tokio::test]
async fn no_key_leads_out_of_its_owners_folder() {
    let stack = Stack::new().await;
    let (user, other) = (stack.user().await, stack.user().await);
    let secret = secret_of(&stack, other).await;
    let upper = user.to_string().to_uppercase();
    let mut files = Vec::new();
    for key in [
        secret.clone(),
        format!("{user}/../{secret}"),
        format!("{user}/./../{secret}"),
        format!("{user}//../{secret}"),
        format!("{user}/..\\{secret}"),
        format!("/{user}/a.txt"),
        format!("{user}//a.txt"),
        format!("{user}/"),
        format!("{user}"),
        format!("{user}x/a.txt"),
        format!("x{user}/a.txt"),
        format!("{upper}/a.txt"),
        format!("documents/{user}/a.txt"),
        format!("{user}%2Fa.txt"),
        "a.txt".to_owned(),
    ] {
        files.push((
            stack.row(user, "a.txt", "text/plain", &key, 3).await,
            key.clone(),
        ));
    }
    let before = stack.storage_faults().requests();
    stack.worker().await.drain().await;
    for (file, key) in files {
        let row = stack.state(file).await;
        assert_eq!(row.outcome(), ("failed", Some("path_not_owned")), "{key}");
    }
    assert_eq!(stack.storage_faults().requests(), before, "none was read");
    assert_eq!(stack.provider().counts().requests, 0);
}

#[tokio::test]
async fn an_encoded_way_out_is_a_name_and_no_way_out() {
    let stack = Stack::new().await;
    let (user, other) = (stack.user().await, stack.user().await);
    let secret = secret_of(&stack, other).await;
    let mut files = Vec::new();
    for key in [
        format!("{user}/%2e%2e/{secret}"),
        format!("{user}/..%2f{secret}"),
        format!("{user}/%252e%252e/{secret}"),
    ] {
        let file = stack.row(user, "a.txt", "text/plain", &key, 3).await;
        stack
            .set(file, "created_at = now() - interval '1 day'")
            .await;
        files.push(file);
    }
    stack.worker().await.drain().await;
    for file in files {
        assert_eq!(
            stack.state(file).await.outcome(),
            ("failed", Some("object_missing"))
        );
    }
    assert_eq!(stack.provider().counts().requests, 0);
}

#[tokio::test]
async fn addresses_other_buckets_and_letters_that_only_look_alike_lead_nowhere() {
    let stack = Stack::new().await;
    let (user, other) = (stack.user().await, stack.user().await);
    let secret = secret_of(&stack, other).await;
    let endpoint = stack.objects_settings().endpoint;
    let elsewhere = [
        format!("{endpoint}/documents/{secret}"),
        format!("https://elsewhere.example/{user}/a.txt"),
        format!("//elsewhere.example/{user}/a.txt"),
        format!("s3://documents/{user}/a.txt"),
        format!("file:///{user}/a.txt"),
        format!("../images/{user}/a.txt"),
        format!("images/{user}/a.txt"),
        format!("{user}/../../images/{user}/a.txt"),
        format!("{user}\\..\\{secret}"),
        format!(" {user}/a.txt"),
        format!("\u{feff}{user}/a.txt"),
        // A slash and dots of full width.
        format!("{user}\u{ff0f}a.txt"),
        format!("{{{user}}}/a.txt"),
        user.to_string().replace('-', "") + "/a.txt",
    ];
    let nothing = [
        // One name in both normal forms, of which storage has neither.
        format!("{user}/caf\u{e9}.txt"),
        format!("{user}/cafe\u{301}.txt"),
        format!("{user}/\u{ff0e}\u{ff0e}/{secret}"),
        format!("{user}/\u{2024}\u{2024}/{secret}"),
        format!("{user}/a\u{202e}txt.exe"),
        format!("{user}/a\r\nx: y.txt"),
        format!("{user}/a#b?c=d.txt"),
        format!("{user}/a.txt?versionId=1&x=../{secret}"),
    ];
    let mut files = Vec::new();
    for (keys, code) in [
        (&elsewhere[..], "path_not_owned"),
        (&nothing[..], "object_missing"),
    ] {
        for key in keys {
            let file = stack.row(user, "a.txt", "text/plain", key, 3).await;
            stack
                .set(file, "created_at = now() - interval '1 day'")
                .await;
            files.push((file, key, code));
        }
    }
    stack.worker().await.drain().await;
    for (file, key, code) in files {
        assert_eq!(
            stack.state(file).await.outcome(),
            ("failed", Some(code)),
            "{key}"
        );
    }
    assert_eq!(stack.provider().counts().requests, 0);
}

async fn with_policy(stack: &Stack, policy: orion_ingest::config::PathPolicy) -> Worker {
    stack
        .worker_with(|config| config.worker.path_policy = policy)
        .await
}

#[tokio::test]
async fn other_policies_ask_storage_whose_object_it_is_or_nobody() {
    use orion_ingest::config::PathPolicy;
    let stack = Stack::new().await;
    let (user, other) = (stack.user().await, stack.user().await);
    for key in ["mine.txt", "theirs.txt", "nobodys.txt"] {
        stack
            .objects()
            .put(key, key.into(), "text/plain")
            .await
            .unwrap();
    }
    stack
        .sql(&format!(
            "insert into storage.objects (bucket_id, name, owner_id) values
                 ('documents', 'mine.txt', '{user}'), ('documents', 'theirs.txt', '{other}'),
                 ('documents', 'nobodys.txt', null), ('images', 'theirs.txt', '{user}')"
        ))
        .await;
    let mut files = Vec::new();
    for (key, outcome) in [
        ("mine.txt", ("completed", None)),
        ("theirs.txt", ("failed", Some("path_not_owned"))),
        ("nobodys.txt", ("failed", Some("path_not_owned"))),
        ("unknown.txt", ("failed", Some("path_not_owned"))),
    ] {
        let file = stack.row(user, key, "text/plain", key, 3).await;
        files.push((file, outcome));
    }
    with_policy(&stack, PathPolicy::OwnerObject)
        .await
        .drain()
        .await;
    for (file, outcome) in &files {
        assert_eq!(stack.state(*file).await.outcome(), *outcome);
    }
    let theirs = files[1].0;
    stack.ask_again(user, theirs).await;
    with_policy(&stack, PathPolicy::Any).await.drain().await;
    assert_eq!(stack.state(theirs).await.outcome(), ("completed", None));
}

#[tokio::test]
async fn a_file_may_be_no_larger_than_its_type_whatever_its_row_says() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    stack
        .sql("update file_type_configs set max_file_size = 1000")
        .await;
    let text = "The house bought tea. ".repeat(100);
    let worker = stack.worker().await;
    // The row tells the truth, and nothing is fetched.
    let honest = stack.file(user, "honest.txt", text.clone()).await;
    let before = stack.storage_faults().requests();
    worker.drain().await;
    assert_eq!(stack.storage_faults().requests(), before);
    // It lies, and storage tells.
    let modest = stack.file(user, "modest.txt", text.clone()).await;
    stack.set(modest, "file_size = 10").await;
    worker.drain().await;
    // Both lie, and it is counted while it comes.
    let sly = stack.file(user, "sly.txt", text).await;
    stack.set(sly, "file_size = 10").await;
    stack
        .storage_faults()
        .next(1, orion_ingest::embedded::storage::Fault::HideLength);
    worker.drain().await;
    for file in [honest, modest, sly] {
        assert_eq!(
            stack.state(file).await.outcome(),
            ("failed", Some("too_large"))
        );
    }
    let told: String = stack
        .value("select processing_error from files where original_name = 'modest.txt'")
        .await;
    assert!(told.contains("1000 bytes"), "{told}");
    // It lies, and does no harm.
    let harmless = stack.file(user, "harmless.txt", "tea ".repeat(100)).await;
    stack.set(harmless, "file_size = 10").await;
    worker.drain().await;
    assert_eq!(stack.state(harmless).await.outcome(), ("completed", None));
}

#[tokio::test]
async fn changed_file_types_are_obeyed_without_a_restart() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let worker = stack.worker().await;
    stack
        .sql("update file_type_configs set enabled = false where mime_type = 'text/plain'")
        .await;
    assert!(worker.app.refresh().await.unwrap().is_none());
    let off = stack.file(user, "off.txt", "The house bought tea.").await;
    worker.drain().await;
    assert_eq!(
        stack.state(off).await.outcome(),
        ("failed", Some("type_disabled"))
    );
    stack
        .sql(
            "update file_type_configs set enabled = true, chunk_size = 16, chunk_overlap = 0
             where mime_type = 'text/plain'",
        )
        .await;
    assert!(worker.app.refresh().await.unwrap().is_none());
    let text = "The house bought tea. ".repeat(20);
    let on = stack.file(user, "on.txt", text).await;
    worker.drain().await;
    assert_eq!(stack.state(on).await.outcome(), ("completed", None));
    let chunks = stack.chunks(on).await;
    assert!(chunks.len() > 4, "{chunks:#?}");
    assert!(chunks.iter().all(|chunk| chunk.token_count <= 16));
}

#[tokio::test]
async fn a_claim_to_a_type_that_is_switched_off_is_only_a_claim() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let key = format!("{user}/notes");
    stack
        .objects()
        .put(&key, "The house bought tea.".into(), "application/zip")
        .await
        .unwrap();
    let file = stack
        .row(user, "notes.zip", "application/zip", &key, 21)
        .await;
    stack.worker().await.drain().await;
    assert_eq!(stack.state(file).await.outcome(), ("completed", None));
}

#[tokio::test]
async fn a_file_whose_row_promises_no_text_is_turned_away_unread() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let key = format!("{user}/a.psd");
    let mime_type = "image/vnd.adobe.photoshop";
    let file = stack.row(user, "a.psd", mime_type, &key, 40).await;
    let before = stack.storage_faults().requests();
    stack.worker().await.drain().await;
    assert_eq!(
        stack.state(file).await.outcome(),
        ("failed", Some("unsupported_type"))
    );
    assert_eq!(stack.storage_faults().requests(), before);
}
