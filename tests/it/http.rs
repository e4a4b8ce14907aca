//! `/healthz`, `/readyz` and `/metrics` of a running service.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
};

use orion_ingest::{embedded::provider::faults::Fault, failure::Code};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::program::{Place, Running};

/// An answer: status, head and body.
async fn get(address: SocketAddr, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

/// Starts a service that serves on a port of its choice.
async fn service(place: &Place) -> (Running, SocketAddr) {
    let mut service = place.start(&["--http-addr", "127.0.0.1:0"]);
    let line = service.logs("serving /healthz").await;
    let address = line["address"].as_str().unwrap().parse().unwrap();
    service.logs("working").await;
    (service, address)
}

#[tokio::test]
async fn a_healthy_service_is_ready_and_counts_what_it_does() {
    let place = Place::new().await;
    let user = place.stack.user().await;
    let (mut service, address) = service(&place).await;
    place
        .stack
        .file(user, "heronwords.txt", "The heron stands still.")
        .await;
    place
        .stack
        .file(user, "heronwords.pdf", "%PDF-1.7 and no more")
        .await;
    service.logs("committed").await;

    assert_eq!(get(address, "/healthz").await.0, 200);
    let (status, _, body) = get(address, "/readyz").await;
    assert_eq!((status, body.as_str()), (200, "ready\n"));
    assert_eq!(get(address, "/elsewhere").await.0, 404);

    // The other file may settle a moment later.
    let metrics = loop {
        let (status, head, body) = get(address, "/metrics").await;
        assert_eq!(status, 200);
        assert!(
            head.contains("content-type: application/openmetrics-text; version=1.0.0"),
            "{head}"
        );
        let metrics = parse(&body);
        if metrics["orion_ingest_files_in_hand"] == "0"
            && metrics["orion_ingest_queue_files"] == "0"
        {
            break metrics;
        }
    };
    let value = |name: &str| {
        metrics
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not in {metrics:#?}"))
            .as_str()
    };
    assert_eq!(value("orion_ingest_files_claimed_total"), "2");
    assert_eq!(value("orion_ingest_chunks_committed_total"), "1");
    assert_eq!(
        value(r#"orion_ingest_files_settled_total{outcome="completed",code=""}"#),
        "1"
    );
    assert_eq!(
        value(r#"orion_ingest_files_settled_total{outcome="failed",code="corrupt"}"#),
        "1"
    );
    assert_ne!(
        value(r#"orion_ingest_stage_seconds_total{stage="embed"}"#),
        "0.0"
    );
    assert_ne!(value("orion_ingest_embedding_tokens_total"), "0");
    assert_eq!(value("orion_ingest_embedding_requests_total"), "1");
    assert!(labels_are_known(&metrics));
    service.terminate();
    assert_eq!(service.ends().await.0.code(), Some(0));
}

/// Sample lines by their name and labels; fails on a line that is none of the format.
fn parse(text: &str) -> BTreeMap<String, String> {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut described = BTreeSet::new();
    let mut samples = BTreeMap::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("TYPE"), Some(name), Some("counter" | "gauge")) => {
                    described.insert(name.to_owned());
                }
                (Some("HELP" | "UNIT"), Some(_), Some(_)) | (Some("EOF"), None, None) => {}
                _ => panic!("not a comment of the format: {line}"),
            }
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        let family = name.split('{').next().unwrap();
        let family = family.strip_suffix("_total").unwrap_or(family);
        assert!(described.contains(family), "{line} has no TYPE");
        assert!(
            value.parse::<f64>().is_ok_and(|value| value >= 0.0),
            "{line}"
        );
        let twice = samples.insert(name.to_owned(), value.to_owned());
        assert!(twice.is_none(), "{line} comes twice");
    }
    samples
}

/// No label has a value that a user made up.
fn labels_are_known(metrics: &BTreeMap<String, String>) -> bool {
    let outcomes = ["completed", "failed", "retried", "released", "lost"];
    let stages = ["fetch", "extract", "chunk", "embed", "commit"];
    let codes = Code::ALL.iter().map(|code| code.as_str());
    let known: BTreeSet<&str> = outcomes
        .into_iter()
        .chain(stages)
        .chain(codes)
        .chain([""])
        .collect();
    metrics
        .keys()
        .filter_map(|name| name.split_once('{'))
        .flat_map(|(_, labels)| labels.trim_end_matches('}').split(','))
        .all(|label| known.contains(label.split_once('=').unwrap().1.trim_matches('"')))
}

#[tokio::test]
async fn a_service_shows_nobody_a_secret_or_the_text_of_a_document() {
    let place = Place::new().await;
    let user = place.stack.user().await;
    let password = |url: &SecretString| {
        let url = url::Url::parse(url.expose_secret()).unwrap();
        url.password().unwrap().to_owned()
    };
    let secrets = [
        password(&place.stack.database_url()),
        password(&place.stack.database_admin_url()),
        place
            .stack
            .objects_settings()
            .secret_access_key
            .expose_secret()
            .to_owned(),
        crate::program::PROVIDER_KEY.to_owned(),
        "tokenwords".to_owned(),
        "heronwords".to_owned(),
    ];
    let mut command = place.command(&["--http-addr", "127.0.0.1:0"]);
    command
        .env("RUST_LOG", "trace")
        .env("STORAGE_S3_SESSION_TOKEN", "tokenwords");
    let mut service = Running::start(command);
    let line = service.logs("serving /healthz").await;
    let address: SocketAddr = line["address"].as_str().unwrap().parse().unwrap();
    for (name, text) in [
        ("heronwords.txt", "heronwords stand still"),
        ("heronwords.pdf", "%PDF-1.7 heronwords"),
        ("heronwords.docx", "PK\u{3}\u{4} heronwords"),
    ] {
        place.stack.file(user, name, text).await;
    }
    service.logs("committed").await;
    let mut shown = String::new();
    for path in [
        "/",
        "/healthz",
        "/readyz",
        "/metrics",
        "/heronword",
        "/files",
        "/metrics?user=1",
    ] {
        let (_, head, body) = get(address, path).await;
        shown += &head;
        shown += &body;
    }
    // Its own arguments and those of its children are for every user of the machine to see.
    let mut lines = 0;
    for entry in fs::read_dir("/proc").unwrap() {
        if let Ok(line) = fs::read_to_string(entry.unwrap().path().join("cmdline")) {
            lines += usize::from(line.contains("extract-child"));
            shown += &line;
        }
    }
    assert!(lines > 0, "a child waits for the next file");
    service.terminate();
    let (_, said) = service.ends().await;
    for secret in secrets {
        for (what, text) in [
            ("shown", &shown),
            ("logged", &said.err),
            ("printed", &said.out),
        ] {
            assert!(!text.contains(&secret), "{secret} is {what}");
        }
    }
}

#[tokio::test]
async fn nothing_is_served_unless_asked_for_and_nowhere_but_where_one_says() {
    let place = Place::new().await;
    let mut silent = place.start(&[]);
    silent.logs("working").await;
    silent.terminate();
    assert!(!silent.ends().await.1.err.contains("serving"));
    // A port alone could be taken for every address of the machine.
    for port in ["8080", ":8080"] {
        let said = place.run(&["--http-addr", port]).await.exits(2);
        said.complains_of(&["HTTP_ADDR", "127.0.0.1:8080"]);
    }
    let (_service, address) = service(&place).await;
    assert!(address.ip().is_loopback(), "{address}");
}

#[tokio::test]
async fn a_service_without_its_provider_is_not_ready_and_says_why() {
    let place = Place::new().await;
    let user = place.stack.user().await;
    place
        .provider
        .faults
        .next_requests(1_000, &Fault::QuotaSpent);
    let (mut service, address) = service(&place).await;
    place
        .stack
        .file(user, "note.txt", "The heron stands still.")
        .await;
    service.logs("embedding is held up").await;
    let (status, _, body) = get(address, "/readyz").await;
    assert_eq!(
        (status, body.as_str()),
        (503, "provider: provider_quota_spent\n")
    );
    // It lives: a restart would mend nothing.
    assert_eq!(get(address, "/healthz").await.0, 200);
}

#[tokio::test]
async fn a_service_without_its_database_is_not_ready_and_says_why() {
    let place = Place::new().await;
    let (_service, address) = service(&place).await;
    let mut admin = place.stack.admin().await;
    // The worker's role may not come in any more, and is thrown out.
    sqlx::raw_sql(
        "do $$ begin
             execute format('revoke connect on database %I from public, orion_ingest', current_database());
             perform pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid();
         end $$",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    let (status, _, body) = get(address, "/readyz").await;
    assert_eq!((status, body.as_str()), (503, "database: no answer\n"));
    assert_eq!(get(address, "/healthz").await.0, 200);
    // Numbers of its own are served all the same.
    let (status, _, body) = get(address, "/metrics").await;
    assert_eq!(status, 200);
    assert_eq!(parse(&body)["orion_ingest_files_in_hand"], "0");
}

#[tokio::test]
async fn an_address_in_use_stops_a_service_and_not_a_drain_beside_it() {
    let place = Place::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = place.run(&["--http-addr", &address]).await.exits(1);
    said.complains_of(&["HTTP_ADDR: cannot listen on", &address, "in use"]);
    let said = place
        .run_with("HTTP_ADDR", &address, &["--drain"])
        .await
        .exits(0);
    said.complains_of(&["health and metrics are not served"]);
    // A search has nothing to serve.
    let user = place.stack.user().await.to_string();
    let arguments = ["search", "heron", "--user", &user];
    let said = place
        .run_with("HTTP_ADDR", &address, &arguments)
        .await
        .exits(0);
    assert_eq!(said.err, "");
}
