//! The S3 client against a real server on loopback that is told to misbehave.

use std::time::Duration;

use bytes::Bytes;
use orion_ingest::{
    embedded::storage::Fault,
    failure::{Code, Verdict},
    objects::{CheckError, FetchError, Objects, Settings},
};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::stack::Stack;

const KEY: &str = "6e8b/report.pdf";
const LIMIT: u64 = 1 << 20;

/// Large enough to come in many pieces.
fn content() -> Bytes {
    (0..300_000_u32).map(|n| (n % 251) as u8).collect()
}

async fn with_report() -> Stack {
    let stack = Stack::new().await;
    stack
        .objects()
        .put(KEY, content(), "application/pdf")
        .await
        .unwrap();
    stack
}

fn failing(status: u16) -> Fault {
    Fault::Status {
        status,
        retry_after: None,
    }
}

/// What the file waits for, if it waits and is not charged.
fn waits_for(error: &FetchError) -> Option<Code> {
    match error.verdict() {
        Verdict::Wait { code, .. } => code,
        Verdict::Retry { .. } | Verdict::Reject { .. } | Verdict::Abandon => None,
    }
}

#[tokio::test]
async fn an_object_comes_back_whole_and_hashed() {
    let stack = with_report().await;
    let object = stack.objects().fetch(KEY, LIMIT).await.unwrap();
    assert_eq!(object.bytes, content());
    assert_eq!(object.sha256, <[u8; 32]>::from(Sha256::digest(content())));
    assert!(object.etag.is_some());
}

#[tokio::test]
async fn an_empty_object_is_an_object() {
    let stack = Stack::new().await;
    stack
        .objects()
        .put(KEY, Bytes::new(), "text/plain")
        .await
        .unwrap();
    let object = stack.objects().fetch(KEY, 0).await.unwrap();
    assert!(object.bytes.is_empty());
}

#[tokio::test]
async fn odd_but_valid_keys_are_found_under_their_own_names() {
    let stack = Stack::new().await;
    for key in ["u/a b+c&d?e=f.txt", "u//twice", "u/(1)!*'@;:,$.md", "u/..b"] {
        let objects = stack.objects();
        objects.put(key, key.into(), "text/plain").await.unwrap();
        assert_eq!(objects.fetch(key, LIMIT).await.unwrap().bytes, key, "{key}");
    }
}

#[tokio::test]
async fn a_deleted_object_is_missing_and_may_be_deleted_again() {
    let stack = with_report().await;
    let objects = stack.objects();
    objects.delete(KEY).await.unwrap();
    objects.delete(KEY).await.unwrap();
    let error = objects.fetch(KEY, LIMIT).await.unwrap_err();
    assert!(matches!(error, FetchError::Missing), "{error:?}");
    assert_eq!(waits_for(&error), Some(Code::ObjectMissing));
}

#[tokio::test]
async fn an_object_over_the_limit_is_refused_before_its_body() {
    let stack = with_report().await;
    // A body that never comes: only the header can have told.
    stack.storage_faults().next(1, Fault::StallAfter(0));
    let error = stack.objects().fetch(KEY, 299_999).await.unwrap_err();
    let expected = FetchError::TooLarge {
        bytes: 300_000,
        max: 299_999,
    };
    assert_eq!(error.to_string(), expected.to_string());
    let verdict = Verdict::Reject {
        code: Code::TooLarge,
    };
    assert_eq!(error.verdict(), verdict);
}

#[tokio::test]
async fn an_object_that_hides_its_length_is_cut_off_at_the_limit() {
    let stack = with_report().await;
    stack.storage_faults().next(2, Fault::HideLength);
    let error = stack.objects().fetch(KEY, 100_000).await.unwrap_err();
    let FetchError::TooLarge { bytes, max } = error else {
        panic!("{error:?}");
    };
    assert!(max < bytes && bytes < 300_000, "{bytes}");
    let whole = stack.objects().fetch(KEY, LIMIT).await.unwrap();
    assert_eq!(whole.bytes, content());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_taken_for_the_object() {
    let stack = with_report().await;
    for bytes in [0, 1, 4096, 299_999] {
        stack.storage_faults().next(1, Fault::CutAfter(bytes));
        let error = stack.objects().fetch(KEY, LIMIT).await.unwrap_err();
        assert!(
            matches!(error, FetchError::Truncated { .. }),
            "{bytes}: {error:?}"
        );
        assert_eq!(waits_for(&error), Some(Code::StorageUnavailable));
    }
}

/// A server that answers every request with these bytes and hangs up.
async fn raw_server(answer: &'static [u8]) -> (String, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/storage/v1/s3", listener.local_addr().unwrap());
    let serve = async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(socket.read_u8().await.unwrap());
            }
            socket.write_all(answer).await.unwrap();
            socket.shutdown().await.unwrap();
        }
    };
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    let server = tokio::spawn(serve);
    (endpoint, server)
}

#[tokio::test]
async fn a_body_is_as_long_as_was_promised_or_no_object() {
    let stack = Stack::new().await;
    let at = |endpoint: &String| {
        Objects::new(Settings {
            endpoint: endpoint.clone(),
            ..stack.objects_settings()
        })
    };
    let (longer, _server) =
        raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nteaspoon").await;
    let object = at(&longer).fetch(KEY, LIMIT).await.unwrap();
    assert_eq!(object.bytes, "tea");
    assert_eq!(object.sha256, <[u8; 32]>::from(Sha256::digest("tea")));
    let (shorter, _server) =
        raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nteaspoon").await;
    let error = at(&shorter).fetch(KEY, LIMIT).await.unwrap_err();
    let is_cut = matches!(
        error,
        FetchError::Truncated {
            received: 0..=8,
            promised: Some(30),
            ..
        }
    );
    assert!(is_cut, "{error:?}");
    // A promise that no memory could hold is refused for its size, and none is set aside.
    let (vast, _server) =
        raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 1152921504606846976\r\n\r\ntea").await;
    let error = at(&vast).fetch(KEY, LIMIT).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn a_gibibyte_in_one_object_is_refused_before_and_while_it_comes() {
    let stack = with_report().await;
    let object = stack.storage_folder().join("documents").join(KEY);
    // Holes take no room on the disk.
    std::fs::OpenOptions::new()
        .write(true)
        .open(object)
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let error = stack.objects().fetch(KEY, LIMIT).await.unwrap_err();
    let FetchError::TooLarge { bytes, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(bytes, 1 << 30);
    stack.storage_faults().next(1, Fault::HideLength);
    let error = stack.objects().fetch(KEY, LIMIT).await.unwrap_err();
    let FetchError::TooLarge { bytes, .. } = error else {
        panic!("{error:?}");
    };
    assert!(bytes < 2 * LIMIT, "{bytes} bytes were taken");
}

#[tokio::test]
async fn an_object_that_changes_is_read_in_one_version() {
    let stack = with_report().await;
    let first = stack.objects().fetch(KEY, LIMIT).await.unwrap();
    let before = stack.storage_faults().requests();
    let other: Bytes = vec![7; 200_000].into();
    let objects = stack.objects();
    objects
        .put(KEY, other.clone(), "application/pdf")
        .await
        .unwrap();
    let second = objects.fetch(KEY, LIMIT).await.unwrap();
    assert_eq!((first.bytes, second.bytes), (content(), other));
    assert_ne!(first.etag, second.etag);
    // One request tells the size and brings the bytes: nothing can change in between.
    assert_eq!(stack.storage_faults().requests() - before, 2);
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let stack = with_report().await;
    let impatient = Objects::new(Settings {
        stall_after: Duration::from_millis(50),
        ..stack.objects_settings()
    });
    stack.storage_faults().next(1, Fault::StallAfter(4096));
    let error = impatient.fetch(KEY, LIMIT).await.unwrap_err();
    assert!(matches!(error, FetchError::Stalled), "{error:?}");
    assert_eq!(waits_for(&error), Some(Code::StorageUnavailable));
}

#[tokio::test]
async fn one_hiccup_is_retried_and_an_outage_is_not_retried_for_long() {
    let stack = with_report().await;
    let before = stack.storage_faults().requests();
    stack.storage_faults().next(1, failing(500));
    stack.objects().fetch(KEY, LIMIT).await.unwrap();
    assert_eq!(stack.storage_faults().requests() - before, 2);

    for status in [500, 502, 503, 544] {
        let before = stack.storage_faults().requests();
        stack.storage_faults().next(9, failing(status));
        let error = stack.objects().fetch(KEY, LIMIT).await.unwrap_err();
        stack.storage_faults().clear();
        let FetchError::Unavailable { status: seen, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(seen, Some(status));
        assert_eq!(waits_for(&error), Some(Code::StorageUnavailable));
        assert!(stack.storage_faults().requests() - before <= 3);
    }
}

#[tokio::test]
async fn a_throttling_server_is_asked_again_when_it_says() {
    let stack = with_report().await;
    for status in [429, 503] {
        let fault = Fault::Status {
            status,
            retry_after: Some(Duration::from_secs(7)),
        };
        stack.storage_faults().next(9, fault);
        let error = stack.objects().fetch(KEY, LIMIT).await.unwrap_err();
        stack.storage_faults().clear();
        let expected = Verdict::Wait {
            code: Some(Code::StorageUnavailable),
            after: Some(Duration::from_secs(7)),
        };
        assert_eq!(error.verdict(), expected, "{error:?}");
    }
}

#[tokio::test]
async fn keys_that_no_object_can_have_are_refused() {
    let stack = Stack::new().await;
    let long = "a".repeat(1025);
    for key in ["", "/a", "a/../b", "a/./b", "é.pdf", "a#b", "a[1]", &long] {
        let error = stack.objects().fetch(key, LIMIT).await.unwrap_err();
        assert!(matches!(error, FetchError::InvalidKey), "{key}: {error:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_outage() {
    let stack = Stack::new().await;
    let nowhere = Objects::new(Settings {
        // Nobody listens on the discard port of loopback.
        endpoint: "http://127.0.0.1:9/storage/v1/s3".into(),
        ..stack.objects_settings()
    });
    let error = nowhere.fetch(KEY, LIMIT).await.unwrap_err();
    let is_outage = matches!(error, FetchError::Unavailable { status: None, .. });
    assert!(is_outage, "{error:?}");
}

#[tokio::test]
async fn a_check_names_what_is_wrong() {
    let stack = Stack::new().await;
    let good = stack.objects_settings();
    let check = |settings: Settings| async move { Objects::new(settings).check().await };

    check(good.clone()).await.unwrap();
    let wrong = Settings {
        access_key_id: "nobody".into(),
        ..good.clone()
    };
    let error = check(wrong).await.unwrap_err();
    assert!(matches!(error, CheckError::AccessKeyId(_)), "{error:?}");
    let wrong = Settings {
        secret_access_key: "a guess".into(),
        ..good.clone()
    };
    let error = check(wrong).await.unwrap_err();
    assert!(matches!(error, CheckError::SecretOrRegion(_)), "{error:?}");
    let wrong = Settings {
        region: "eu-central-1".into(),
        ..good.clone()
    };
    let error = check(wrong).await.unwrap_err();
    assert!(matches!(error, CheckError::SecretOrRegion(_)), "{error:?}");
    let wrong = Settings {
        bucket: "no-such-bucket".into(),
        ..good.clone()
    };
    let error = check(wrong).await.unwrap_err();
    assert!(matches!(error, CheckError::NoBucket), "{error:?}");
    stack.storage_faults().next(3, failing(500));
    let error = check(good).await.unwrap_err();
    let CheckError::Other(FetchError::Unavailable { status, .. }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(status, Some(500));
}

#[tokio::test]
async fn an_owner_reads_nothing_about_where_files_are_stored() {
    let stack = with_report().await;
    let settings = stack.objects_settings();
    let wrong = Objects::new(Settings {
        secret_access_key: "a guess".into(),
        ..settings.clone()
    });
    let error = wrong.fetch(KEY, LIMIT).await.unwrap_err();
    assert!(matches!(error, FetchError::Refused(_)), "{error:?}");
    for text in [error.public_message(), error.to_string()] {
        for private in [
            &settings.endpoint,
            &settings.access_key_id,
            "127.0.0.1",
            "a guess",
            KEY,
        ] {
            assert!(!text.contains(private), "{text}");
        }
    }
    assert!(!format!("{wrong:?} {settings:?}").contains("a guess"));
}
