//! Defaults, what is refused, how settings depend on each other, and which credentials win.

use secrecy::ExposeSecret;

use super::{storage::project_ref, *};
use crate::embed::batcher;

const PROJECT: &str = "https://abcdefgh.supabase.co";

/// What a worker needs at least.
fn complete() -> Source {
    source(&[
        ("DATABASE_URL", "postgres://u:p@db/x"),
        ("STORAGE_S3_ENDPOINT", "http://storage:9000"),
        ("STORAGE_S3_ACCESS_KEY_ID", "id"),
        ("STORAGE_S3_SECRET_ACCESS_KEY", "secret"),
        ("OPENAI_API_KEY", "sk-key"),
    ])
}

fn source(values: &[(&str, &str)]) -> Source {
    let mut source = Source::default();
    for (name, value) in values {
        source.set(name, *value);
    }
    source
}

fn with(name: &str, value: &str) -> Result<Config, Problems> {
    let mut source = complete();
    source.set(name, value);
    Config::load(&source, "program".into())
}

#[track_caller]
fn problems(name: &str, value: &str) -> Vec<String> {
    with(name, value).expect_err("the value is wrong").0
}

/// Endpoint, id, secret and token.
fn storage_of(
    values: &[(&str, &str)],
) -> Result<(String, String, String, Option<String>), Problems> {
    load_storage(&source(values)).map(|settings| {
        (
            settings.endpoint,
            settings.access_key_id,
            settings.secret_access_key.expose_secret().to_owned(),
            settings
                .session_token
                .map(|token| token.expose_secret().to_owned()),
        )
    })
}

#[test]
fn what_is_not_set_has_the_default_of_the_documentation() {
    let config = Config::load(&complete(), "program".into()).expect("complete");
    assert_eq!(
        config.database.admin_url.expose_secret(),
        "postgres://u:p@db/x"
    );
    assert!(config.database.direct_url.is_none());
    assert_eq!(config.storage.region, "us-east-1");
    assert_eq!(config.storage.bucket, "documents");
    assert!(config.storage.session_token.is_none());
    let embedding = config.embedding;
    assert_eq!(embedding.provider.base_url, "https://api.openai.com/v1");
    assert_eq!(embedding.provider.model.name, "text-embedding-3-small");
    assert_eq!(embedding.provider.model.dimensions, 1536);
    assert_eq!(embedding.limits.requests_per_minute, 3000);
    assert_eq!(embedding.limits.tokens_per_minute, 1_000_000);
    assert_eq!(embedding.max_concurrency, 8);
    assert_eq!(embedding.batch, batcher::Limits::default());
    assert_eq!(embedding.provider.answer_within, Duration::from_mins(1));
    assert!((embedding.price_per_mtok - 0.02).abs() < 1e-9);
    assert_eq!(embedding.daily_limit_usd, None);
    let worker = config.worker;
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    assert_eq!((worker.concurrency, worker.waiting), (cores * 2, 256));
    assert_eq!(worker.lease_for, Duration::from_mins(1));
    assert_eq!(worker.max_attempts, 5);
    assert_eq!(worker.poll_every, Duration::from_secs(5));
    assert_eq!(worker.grace, Duration::from_secs(25));
    assert_eq!(worker.path_policy, PathPolicy::OwnerPrefix);
    assert_eq!(worker.http_addr, None);
    assert_eq!(config.sandbox.timeout, Duration::from_mins(1));
    assert_eq!(config.sandbox.memory_bytes, 1 << 30);
}

#[test]
fn every_default_in_the_table_is_a_value_that_is_taken() {
    for setting in SETTINGS
        .iter()
        .filter(|setting| !setting.default.is_empty())
    {
        assert!(
            with(setting.name, setting.default).is_ok(),
            "{}",
            setting.name
        );
    }
}

#[test]
fn what_is_set_is_what_holds() {
    let config = with("DATABASE_ADMIN_URL", "postgresql://owner@db/x").expect("right");
    assert_eq!(
        config.database.admin_url.expose_secret(),
        "postgresql://owner@db/x"
    );
    let config = with("DATABASE_DIRECT_URL", "postgres://u@direct/x").expect("right");
    assert!(config.database.direct_url.is_some());
    for (name, tokenizer) in [
        ("cl100k_base", Tokenizer::Cl100kBase),
        ("o200k_base", Tokenizer::O200kBase),
        ("none", Tokenizer::Characters),
    ] {
        let config = with("EMBEDDING_TOKENIZER", name).expect("a tokenizer");
        assert_eq!(config.tokenizer, tokenizer);
    }
    let config = with("EMBEDDING_RPM", "0").expect("no limit");
    assert_eq!(config.embedding.limits.requests_per_minute, 0);
    let config = with("EMBEDDING_BATCH_INPUTS", "32").expect("a number");
    assert_eq!(config.embedding.batch.inputs, 32);
    let config = with("EMBEDDING_BATCH_TOKENS", "8000").expect("a number");
    assert_eq!(config.embedding.batch.tokens, 8_000);
    let config = with("EMBEDDING_TIMEOUT", "5m").expect("a duration");
    let within = config.embedding.provider.answer_within;
    assert_eq!(within, Duration::from_mins(5));
    let config = with("LEASE_SECONDS", "2m").expect("a duration");
    assert_eq!(config.worker.lease_for, Duration::from_mins(2));
    let config = with("STORAGE_PATH_POLICY", "owner-object").expect("a policy");
    assert_eq!(config.worker.path_policy, PathPolicy::OwnerObject);
    let config = with("HTTP_ADDR", "[::1]:8080").expect("an address");
    assert!(config.worker.http_addr.is_some());
    let config = with("EMBEDDING_PRICE_PER_MTOK", "0.13").expect("a price");
    assert!((config.embedding.price_per_mtok - 0.13).abs() < 1e-9);
    let config = with("DAILY_SPEND_LIMIT_USD", "2.5").expect("a limit");
    assert_eq!(config.embedding.daily_limit_usd, Some(2.5));
}

#[test]
fn a_wrong_value_is_one_problem_that_names_its_setting() {
    let cases = [
        ("DATABASE_URL", "localhost:5432"),
        ("DATABASE_ADMIN_URL", "https://db/x"),
        ("DATABASE_DIRECT_URL", "db"),
        ("SUPABASE_URL", "abcdefgh"),
        ("STORAGE_S3_ENDPOINT", "storage:9000"),
        ("STORAGE_PATH_POLICY", "none"),
        ("OPENAI_BASE_URL", "api.openai.com"),
        ("EMBEDDING_DIMENSIONS", "many"),
        ("EMBEDDING_DIMENSIONS", "0"),
        ("EMBEDDING_DIMENSIONS", "16001"),
        ("EMBEDDING_TOKENIZER", "p50k_base"),
        ("EMBEDDING_RPM", "-1"),
        ("EMBEDDING_TPM", "1e6"),
        ("EMBEDDING_MAX_CONCURRENCY", "0"),
        ("EMBEDDING_BATCH_INPUTS", "0"),
        ("EMBEDDING_BATCH_INPUTS", "all"),
        ("EMBEDDING_BATCH_TOKENS", "0"),
        ("EMBEDDING_TIMEOUT", "0"),
        ("EMBEDDING_PRICE_PER_MTOK", "cheap"),
        ("EMBEDDING_PRICE_PER_MTOK", "NaN"),
        ("WORKER_CONCURRENCY", "0"),
        ("WORKER_CONCURRENCY", "two"),
        ("LEASE_SECONDS", "2"),
        ("LEASE_SECONDS", "soon"),
        ("MAX_ATTEMPTS", "0"),
        ("MAX_ATTEMPTS", "often"),
        ("POLL_INTERVAL", "0"),
        ("SHUTDOWN_GRACE", "-5s"),
        ("EXTRACT_TIMEOUT", "2 years"),
        ("EXTRACT_MEMORY_BYTES", "1GB"),
        ("EXTRACT_MEMORY_BYTES", "268435455"),
        ("DAILY_SPEND_LIMIT_USD", "-1"),
        ("HTTP_ADDR", ":8080"),
    ];
    for (name, value) in cases {
        let found = problems(name, value);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(&format!("{name}: ")), "{found:?}");
    }
}

#[test]
fn a_server_of_ones_own_needs_no_key_and_openais_and_azures_do() {
    let without_key = |base_url: &str| {
        let mut source = complete();
        source.set("OPENAI_API_KEY", "");
        source.set("OPENAI_BASE_URL", base_url);
        Config::load(&source, "program".into())
    };
    for base_url in [
        "http://localhost:11434/v1",
        "https://openai.com.example/v1",
        "https://notazure.com/v1",
        "http://mine.westeurope.cloudapp.azure.com:8000/v1",
    ] {
        let config = without_key(base_url).expect(base_url);
        assert!(config.embedding.provider.api_key.is_none(), "{base_url}");
    }
    for base_url in [
        "",
        "https://eu.api.openai.com/v1",
        "https://me.openai.azure.com/openai/v1",
        "https://me.openai.azure.com/openai/deployments/mine?api-version=2024-10-21",
    ] {
        let found = without_key(base_url).expect_err(base_url).0;
        assert!(found[0].starts_with("OPENAI_API_KEY: not set"), "{found:?}");
        assert_eq!(found.len(), 1, "{found:?}");
    }
    let config = with("OPENAI_BASE_URL", "http://localhost:8000/v1").expect("right");
    let key = config.embedding.provider.api_key.expect("the one given");
    assert_eq!(key.expose_secret(), "sk-key");
}

#[test]
fn a_daily_limit_needs_a_price() {
    let mut source = complete();
    source.set("EMBEDDING_MODEL", "someone-elses");
    assert!(Config::load(&source, "program".into()).is_ok());
    source.set("DAILY_SPEND_LIMIT_USD", "1");
    let found = Config::load(&source, "program".into())
        .expect_err("no price")
        .0;
    assert!(
        found[0].starts_with("EMBEDDING_PRICE_PER_MTOK: "),
        "{found:?}"
    );
    source.set("EMBEDDING_PRICE_PER_MTOK", "0.1");
    assert!(Config::load(&source, "program".into()).is_ok());
}

#[test]
fn the_storage_endpoint_is_derived_from_the_project() {
    let keys = [
        ("STORAGE_S3_ACCESS_KEY_ID", "id"),
        ("STORAGE_S3_SECRET_ACCESS_KEY", "secret"),
    ];
    let endpoint =
        |more: &[(&str, &str)]| storage_of(&[&keys[..], more].concat()).map(|found| found.0);
    let derived = Ok("https://abcdefgh.supabase.co/storage/v1/s3".to_owned());
    assert_eq!(endpoint(&[("SUPABASE_URL", PROJECT)]), derived);
    assert_eq!(endpoint(&[("NEXT_PUBLIC_SUPABASE_URL", PROJECT)]), derived);
    assert_eq!(
        endpoint(&[("SUPABASE_URL", "https://abcdefgh.supabase.co/")]),
        derived
    );
    // The shorter name wins, and the endpoint itself over both.
    let both = [
        ("SUPABASE_URL", PROJECT),
        ("NEXT_PUBLIC_SUPABASE_URL", "https://other.supabase.co"),
    ];
    assert_eq!(endpoint(&both), derived);
    let given = [
        ("SUPABASE_URL", PROJECT),
        ("STORAGE_S3_ENDPOINT", "http://minio:9000"),
    ];
    assert_eq!(endpoint(&given), Ok("http://minio:9000".to_owned()));
    let missing = endpoint(&[]).expect_err("no endpoint").0;
    assert!(missing[0].contains("STORAGE_S3_ENDPOINT") && missing[0].contains("SUPABASE_URL"));
}

#[test]
fn storage_credentials_are_its_own_else_those_of_aws_else_the_projects() {
    let own = [
        ("STORAGE_S3_ACCESS_KEY_ID", "own-id"),
        ("STORAGE_S3_SECRET_ACCESS_KEY", "own-secret"),
        ("STORAGE_S3_SESSION_TOKEN", "own-token"),
    ];
    let aws = [
        ("AWS_ACCESS_KEY_ID", "aws-id"),
        ("AWS_SECRET_ACCESS_KEY", "aws-secret"),
        ("AWS_SESSION_TOKEN", "aws-token"),
    ];
    let orion_chat = [
        ("NEXT_PUBLIC_SUPABASE_URL", PROJECT),
        ("NEXT_PUBLIC_SUPABASE_ANON_KEY", "anon"),
        ("SUPABASE_SERVICE_ROLE_KEY", "service"),
    ];
    let keys = |parts: &[&[(&str, &str)]]| {
        let (_, id, secret, token) = storage_of(&parts.concat()).expect("complete");
        [Some(id), Some(secret), token].map(Option::unwrap_or_default)
    };
    assert_eq!(
        keys(&[&own, &aws, &orion_chat]),
        ["own-id", "own-secret", "own-token"]
    );
    assert_eq!(
        keys(&[&aws, &orion_chat]),
        ["aws-id", "aws-secret", "aws-token"]
    );
    assert_eq!(keys(&[&orion_chat]), ["abcdefgh", "anon", "service"]);
    // A token belongs to its keys.
    assert_eq!(
        keys(&[&own[..2], &aws, &orion_chat]),
        ["own-id", "own-secret", ""]
    );
    // A user's token in place of the service's.
    assert_eq!(
        keys(&[&own[2..], &orion_chat]),
        ["abcdefgh", "anon", "own-token"]
    );
}

#[test]
fn half_of_a_pair_of_credentials_is_a_problem_that_names_the_other_half() {
    let cases = [
        ("STORAGE_S3_ACCESS_KEY_ID", "STORAGE_S3_SECRET_ACCESS_KEY"),
        ("STORAGE_S3_SECRET_ACCESS_KEY", "STORAGE_S3_ACCESS_KEY_ID"),
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
    ];
    for (given, missing) in cases {
        let found = storage_of(&[("SUPABASE_URL", PROJECT), (given, "half")])
            .expect_err("half")
            .0;
        assert_eq!(
            found,
            [format!("{missing}: not set, but {given} is; set both")]
        );
    }
    let none = storage_of(&[
        ("SUPABASE_URL", PROJECT),
        ("NEXT_PUBLIC_SUPABASE_ANON_KEY", "anon"),
    ]);
    let found = none.expect_err("no service key").0;
    assert!(found[0].contains("SUPABASE_SERVICE_ROLE_KEY"), "{found:?}");
}

#[test]
fn a_local_project_is_called_stub() {
    let cases = [
        ("https://abcdefgh.supabase.co", "abcdefgh"),
        ("http://127.0.0.1:54321", "stub"),
        ("http://localhost:54321", "stub"),
        ("http://kong:8000", "stub"),
    ];
    for (url, name) in cases {
        assert_eq!(project_ref(url).as_deref(), Some(name), "{url}");
    }
}

#[test]
fn migrate_is_content_with_the_owners_url() {
    let owner = source(&[("DATABASE_ADMIN_URL", "postgres://owner@db/x")]);
    let url = Database::load_admin(&owner).expect("enough");
    assert_eq!(url.expose_secret(), "postgres://owner@db/x");
    assert!(Database::load(&owner).is_err());
    let worker = source(&[("DATABASE_URL", "postgres://worker@db/x")]);
    let url = Database::load_admin(&worker).expect("enough");
    assert_eq!(url.expose_secret(), "postgres://worker@db/x");
}

#[test]
fn durations_have_units_or_are_seconds() {
    let cases = [
        ("30s", Some(Duration::from_secs(30))),
        ("5m", Some(Duration::from_mins(5))),
        ("500ms", Some(Duration::from_millis(500))),
        ("1h 30m", Some(Duration::from_mins(90))),
        ("60", Some(Duration::from_mins(1))),
        ("1.5", Some(Duration::from_millis(1500))),
        ("0", None),
        ("0s", None),
        ("-1", None),
        ("inf", None),
        ("NaN", None),
        ("1e300", None),
        ("100000000000", None),
        ("", None),
        ("soon", None),
    ];
    for (value, duration) in cases {
        assert_eq!(parse_duration(value), duration, "{value}");
    }
}

#[test]
fn settings_that_are_shown_show_no_secret() {
    let mut source = complete();
    for setting in SETTINGS.iter().filter(|setting| setting.secret) {
        let url = setting.name.starts_with("DATABASE");
        let value = if url {
            "postgres://u:canary@db/x"
        } else {
            "canary"
        };
        source.set(setting.name, value);
    }
    let config = Config::load(&source, "program".into()).expect("complete");
    let shown = format!("{config:?} {config:#?}");
    assert!(!shown.contains("canary"), "{shown}");
    // What is wrong with a secret does not quote it.
    for setting in SETTINGS.iter().filter(|setting| setting.secret) {
        let mut source = complete();
        source.set(setting.name, "canary");
        if let Err(problems) = Config::load(&source, "program".into()) {
            let shown = format!("{problems} {problems:?}");
            assert!(!shown.contains("canary"), "{shown}");
        }
    }
}

#[test]
fn setting_names_make_flags() {
    assert_eq!(setting("LEASE_SECONDS").flag(), "lease-seconds");
    let mut names: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), SETTINGS.len());
}
