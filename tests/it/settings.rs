//! Where settings come from, as the program is really started: flags, variables, files of secrets, `.env`.

use orion_ingest::config::SETTINGS;

use crate::program::{Place, bare, finish, without_environment};

#[tokio::test]
async fn all_that_is_missing_is_said_at_once_with_what_to_set() {
    for arguments in [&[][..], &["--drain"]] {
        let said = without_environment(arguments).await.exits(2);
        assert_eq!(said.out, "");
        said.complains_of(&[
            "4 problems with the settings",
            "DATABASE_URL: not set; set it, or DATABASE_URL_FILE",
            "STORAGE_S3_ENDPOINT: not set; set it, or SUPABASE_URL",
            "STORAGE_S3_ACCESS_KEY_ID: no S3 credentials",
            "OPENAI_API_KEY: not set; set it, or OPENAI_API_KEY_FILE",
        ]);
    }
}

#[tokio::test]
async fn a_command_asks_for_no_more_than_it_uses() {
    let said = without_environment(&["status"]).await.exits(2);
    let said = said.complains_of(&["1 problem with", "DATABASE_URL: not set"]);
    assert!(!said.err.contains("OPENAI"), "{said:?}");
    let user = "99999999-9999-4999-8999-999999999999";
    let said = without_environment(&["search", "heron", "--user", user])
        .await
        .exits(2);
    let said = said.complains_of(&["2 problems with", "DATABASE_URL", "OPENAI_API_KEY"]);
    assert!(!said.err.contains("STORAGE"), "{said:?}");
}

#[tokio::test]
async fn all_that_is_wrong_is_said_at_once_whatever_it_is_about() {
    let place = Place::new().await;
    place.write(".env", "this is no setting\n");
    let mut command = place.command(&["--worker-concurrency", "-1", "--embedding-rpm", "many"]);
    command
        .env("DATABASE_URL", "sesame")
        .env("OPENAI_API_KEY", "")
        .env("OPENAI_API_KEY_FILE", "/nowhere/key")
        .env("LOG_FORMAT", "xml")
        .env("RUST_LOG", "orion_ingest=loud")
        .env("LEASE_SECONDS", "1")
        .env("POLL_INTERVAL", "often")
        .env("EXTRACT_MEMORY_BYTES", "4096")
        .env("STORAGE_PATH_POLICY", "strict")
        .env("STORAGE_S3_ENDPOINT", "localhost")
        .env("HTTP_ADDR", "8080")
        .env("DAILY_SPEND_LIMIT_USD", "-3");
    let said = finish(command).await.exits(2).complains_of(&[
        "14 problems",
        ".env: a line is not NAME=value",
        "DATABASE_URL: not a URL of the form postgres://",
        "OPENAI_API_KEY_FILE: cannot read /nowhere/key",
        "LOG_FORMAT: \"xml\"",
        "RUST_LOG: ",
        "LEASE_SECONDS: shorter than 3s",
        "POLL_INTERVAL: \"often\"",
        "EXTRACT_MEMORY_BYTES: 4096 is too little",
        "STORAGE_PATH_POLICY: \"strict\" is not one of owner-prefix, owner-object, any",
        "STORAGE_S3_ENDPOINT: \"localhost\" is not an http(s) URL",
        "HTTP_ADDR: \"8080\" is not an address such as",
        "DAILY_SPEND_LIMIT_USD: \"-3\"",
        "WORKER_CONCURRENCY: \"-1\"",
        "EMBEDDING_RPM: \"many\"",
    ]);
    assert!(!said.err.contains("sesame"), "{said:?}");
    assert!(!said.err.contains("no setting"), "{said:?}");
}

#[tokio::test]
async fn flags_win_over_variables_and_variables_over_the_env_file() {
    let folder = tempfile::tempdir().unwrap();
    let value = async |flag: Option<&str>, variable: Option<&str>| {
        let mut arguments = vec!["run"];
        arguments.extend(flag.iter().flat_map(|value| ["--poll-interval", value]));
        let mut command = bare(folder.path(), &arguments);
        if let Some(value) = variable {
            command.env("POLL_INTERVAL", value);
        }
        let said = finish(command).await.exits(2);
        let line = said.err.lines().find(|line| line.contains("POLL_INTERVAL"));
        line.map(|line| line.split('"').nth(1).unwrap_or_default().to_owned())
    };
    assert_eq!(value(None, None).await, None);
    std::fs::write(folder.path().join(".env"), "POLL_INTERVAL=by-file\n").unwrap();
    assert_eq!(value(None, None).await.unwrap(), "by-file");
    assert_eq!(
        value(None, Some("by-variable")).await.unwrap(),
        "by-variable"
    );
    // Empty is not set.
    assert_eq!(value(None, Some("")).await.unwrap(), "by-file");
    assert_eq!(
        value(Some("by-flag"), Some("by-variable")).await.unwrap(),
        "by-flag"
    );
    assert_eq!(value(Some("7s"), Some("by-variable")).await, None);
    // An empty flag asks for the default.
    assert_eq!(value(Some(""), Some("by-variable")).await, None);
}

#[tokio::test]
async fn an_env_file_in_a_folder_above_is_not_ours() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), "POLL_INTERVAL=by-file\n").unwrap();
    let below = folder.path().join("below");
    std::fs::create_dir(&below).unwrap();
    let said = finish(bare(&below, &[])).await.exits(2);
    assert!(!said.err.contains("by-file"), "{said:?}");
}

#[tokio::test]
async fn a_secret_may_lie_in_a_file() {
    use secrecy::ExposeSecret as _;
    let place = Place::new().await;
    place.write(
        "url",
        format!("{}\n", place.stack.database_url().expose_secret()),
    );
    let mut command = place.command(&["status"]);
    command
        .env_remove("DATABASE_URL")
        .env("DATABASE_URL_FILE", "url");
    finish(command).await.exits(0);
    // The variable itself wins.
    let mut command = place.command(&["status"]);
    command.env("DATABASE_URL_FILE", "/nowhere/url");
    finish(command).await.exits(0);
    // The file of a secret that a command does not use is not looked for in vain.
    let mut command = place.command(&["status"]);
    command
        .env("OPENAI_API_KEY", "")
        .env("OPENAI_API_KEY_FILE", "/nowhere/key");
    finish(command).await.exits(0);
    place.write("url", " \n");
    let mut command = place.command(&["status"]);
    command
        .env_remove("DATABASE_URL")
        .env("DATABASE_URL_FILE", "url");
    finish(command)
        .await
        .exits(2)
        .complains_of(&["DATABASE_URL_FILE: url is empty"]);
}

#[tokio::test]
async fn every_setting_has_a_flag_unless_it_is_a_secret() {
    let help = without_environment(&["--help"]).await.exits(0).out;
    for setting in SETTINGS {
        let flag = format!("--{} <VALUE>", setting.flag());
        assert_eq!(help.contains(&flag), !setting.secret, "{flag}");
        if setting.secret {
            assert!(
                help.contains(&format!("  {} ", setting.name)),
                "{}",
                setting.name
            );
            let flag = format!("--{}", setting.flag());
            let said = without_environment(&[&flag, "sesame"]).await.exits(2);
            said.complains_of(&["unexpected argument"]);
        }
    }
}

#[tokio::test]
async fn a_broken_env_file_of_another_program_does_not_stop_a_look_at_a_local_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), "this is no setting\n").unwrap();
    std::fs::write(folder.path().join("note.txt"), "The heron stands still.").unwrap();
    finish(bare(folder.path(), &["extract", "note.txt"]))
        .await
        .exits(0);
    finish(bare(folder.path(), &["status"])).await.exits(2);
}
