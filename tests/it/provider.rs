//! The stand-in is as strict as the real API, and our client trusts neither.

use std::{net::Ipv4Addr, time::Duration};

use orion_ingest::{
    document::{Model, Text},
    embed::{
        EmbedError, Flaw,
        openai::{self, Client, Dialect, Reply},
    },
    embedded::provider::{self, Provider, faults::Fault, lexical},
};
use secrecy::SecretString;
use tokio::net::TcpSocket;

const KEY: &str = "sk-of-the-test";

async fn provider(requests_per_minute: u32, tokens_per_minute: u32) -> Provider {
    Provider::start(provider::Settings {
        api_key: KEY.into(),
        port: 0,
        requests_per_minute,
        tokens_per_minute,
    })
    .await
    .expect("a free port")
}

fn client(base_url: &str, key: &str, model: &str, dimensions: u32) -> Client {
    Client::new(&openai::Settings {
        base_url: base_url.into(),
        api_key: Some(SecretString::from(key)),
        model: Model {
            name: model.into(),
            dimensions,
        },
        answer_within: Duration::from_secs(30),
    })
    .expect("a client")
}

async fn ask(provider: &Provider, texts: &[&str]) -> Reply {
    let texts = texts
        .iter()
        .map(|text| Text::from(*text))
        .collect::<Vec<_>>();
    client(&provider.base_url, KEY, "text-embedding-3-small", 256)
        .embed(&texts, 1, Dialect::default())
        .await
}

async fn error(provider: &Provider, texts: &[&str]) -> EmbedError {
    ask(provider, texts).await.outcome.expect_err("a refusal")
}

#[tokio::test]
async fn vectors_come_in_the_order_of_the_texts_and_tokens_are_billed() {
    let provider = provider(0, 0).await;
    for fault in [None, Some(Fault::ShuffledIndexes)] {
        provider
            .faults
            .next_requests(usize::from(fault.is_some()), &Fault::ShuffledIndexes);
        let answer = ask(&provider, &["hello world", "tiktoken is great!"]).await;
        let answer = answer.outcome.expect("vectors");
        let wanted = ["hello world", "tiktoken is great!"]
            .map(|text| lexical::vector(text, "text-embedding-3-small", 256));
        assert_eq!(answer.vectors, wanted);
        assert_eq!(answer.billed, 8);
    }
    assert_eq!(provider.counts().billed_tokens, 16);
}

#[tokio::test]
async fn unusable_answers_are_told_apart_and_say_what_they_cost() {
    let provider = provider(0, 0).await;
    for (fault, flaw, billed) in [
        (Fault::WrongCount, Flaw::Count, Some(2)),
        (Fault::RepeatedIndex, Flaw::Index, Some(2)),
        (Fault::NotFinite, Flaw::NotFinite, Some(2)),
        (Fault::NoData, Flaw::Shape, None),
    ] {
        provider.faults.next_requests(1, &fault);
        let error = error(&provider, &["one", "two"]).await;
        let EmbedError::Malformed {
            flaw: found,
            billed: told,
        } = error
        else {
            panic!("{fault:?}: {error}");
        };
        assert_eq!((found, told), (flaw, billed), "{fault:?}");
        assert!(error.may_be_billed());
    }
}

#[tokio::test]
async fn vectors_of_another_length_say_which_and_what_they_cost() {
    let provider = provider(0, 0).await;
    provider.faults.next_requests(1, &Fault::ShortVectors);
    let error = error(&provider, &["one", "two"]).await;
    assert!(matches!(
        error,
        EmbedError::WrongLength {
            found: 3,
            wanted: 256,
            billed: 2
        }
    ));
    assert!(error.to_string().contains("set EMBEDDING_DIMENSIONS to 3"));
    assert!(error.may_be_billed());
}

#[tokio::test]
async fn a_connection_that_breaks_may_be_billed_and_one_that_never_was_is_not() {
    let provider = provider(0, 0).await;
    for fault in [Fault::HangUp, Fault::CutBody] {
        provider.faults.next_requests(1, &fault);
        let error = error(&provider, &["text"]).await;
        assert!(
            matches!(error, EmbedError::Unreachable { sent: true, .. }),
            "{fault:?}: {error}"
        );
    }
    // Bound and not listened on: refuses, and no other test can get the port meanwhile.
    let port = TcpSocket::new_v4().expect("a socket");
    port.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
    let nobody = format!("http://{}/v1", port.local_addr().expect("an address"));
    let reply = client(&nobody, KEY, "text-embedding-3-small", 256)
        .embed(&["text".into()], 1, Dialect::default())
        .await;
    let error = reply.outcome.expect_err("nobody is there");
    assert!(!error.may_be_billed(), "{error}");
}

#[tokio::test]
async fn refusals_say_what_to_do_and_never_what_was_sent() {
    let provider = provider(0, 0).await;
    provider.faults.refuse_inputs_with("forbidden");
    let rejected = error(&provider, &["fine", "a forbidden secret"]).await;
    assert!(matches!(rejected, EmbedError::Rejected { status: 400 }));
    let shown = format!("{rejected:?} {rejected} {}", rejected.public_message());
    assert!(!shown.contains("secret"), "{shown}");

    for (key, model, dimensions) in [
        ("sk-wrong", "text-embedding-3-small", 256),
        (KEY, "text-embedding-4", 256),
    ] {
        let reply = client(&provider.base_url, key, model, dimensions)
            .embed(&["text".into()], 1, Dialect::default())
            .await;
        let error = reply.outcome.expect_err("a refusal");
        let shown = format!("{error:?} {error}");
        assert!(!shown.contains(key), "{shown}");
        match key {
            KEY => assert!(matches!(error, EmbedError::Misconfigured { .. }), "{error}"),
            _ => assert!(
                matches!(error, EmbedError::CredentialsRefused { status: 401 }),
                "{error}"
            ),
        }
    }
    provider.faults.next_requests(1, &Fault::QuotaSpent);
    assert!(matches!(
        error(&provider, &["text"]).await,
        EmbedError::QuotaSpent
    ));
    provider
        .faults
        .next_requests(1, &Fault::Status { status: 503 });
    assert!(matches!(
        error(&provider, &["text"]).await,
        EmbedError::Failing { status: 503, .. }
    ));
    assert_eq!(provider.counts().billed_requests, 0);
}

#[tokio::test]
async fn the_limits_of_a_request_are_those_of_the_real_api() {
    let provider = provider(0, 0).await;
    let too_long = "word ".repeat(8_200);
    let long = "word ".repeat(8_000);
    for texts in [
        vec![""],
        vec!["fine", ""],
        vec!["text"; 2_049],
        vec![too_long.as_str()],
        vec![long.as_str(); 38],
    ] {
        let error = error(&provider, &texts).await;
        assert!(
            matches!(error, EmbedError::Rejected { status: 400 }),
            "{error}"
        );
    }
    let answer = ask(&provider, &vec!["text"; 2_048]).await;
    assert_eq!(answer.outcome.expect("vectors").vectors.len(), 2_048);
}

#[tokio::test]
async fn a_rate_that_is_too_high_is_refused_with_a_time_to_wait() {
    let provider = provider(60_000, 600).await;
    let reply = ask(&provider, &["more tokens than there are at the start"]).await;
    assert_eq!(reply.announced.requests.map(|a| a.limit), Some(60_000));
    assert_eq!(reply.announced.tokens.map(|a| a.limit), Some(600));
    let EmbedError::Throttled { after: Some(after) } = reply.outcome.expect_err("too fast") else {
        panic!("no time to wait");
    };
    assert!(after <= Duration::from_secs(1), "{after:?}");
    assert_eq!(provider.counts().throttled, 1);
}

#[tokio::test]
async fn other_processes_can_tell_it_to_misbehave() {
    let provider = provider(0, 0).await;
    let control = provider.base_url.replace("/v1", "/control");
    let orders = r#"{"next": {"count": 1, "fault": {"kind": "throttle", "retry_after": "7"}}, "delay_ms": 1}"#;
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let request = http
        .post(control)
        .header("content-type", "application/json")
        .body(orders);
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    let error = error(&provider, &["text"]).await;
    assert!(
        matches!(error, EmbedError::Throttled { after: Some(after) } if after.as_secs() == 7),
        "{error}"
    );
}
