//! `doctor`: tries every setting and connection, and says what to do about each problem.

use std::{fmt, path::PathBuf};

use secrecy::ExposeSecret;

use crate::{
    app::database,
    config::{self, Config, Source},
    db::{self, Db, DbError, Listener},
    document::UserId,
    embed::{
        EmbedError,
        openai::{self, Answer, Dialect},
    },
    embedding::{self, PROBE},
    extract::{
        self, Hints,
        sandbox::{self, Sandbox},
    },
    file_type::FileTypes,
    objects::{self, Objects},
    ops::storage_problem,
    spawner::Spawner,
    telemetry::Chain,
};

/// What one check found.
#[derive(Debug)]
struct Check {
    name: &'static str,
    found: Found,
}

impl Check {
    fn new(name: &'static str, found: impl Into<Found>) -> Self {
        let found = found.into();
        Self { name, found }
    }
}

/// How a part is.
#[derive(Debug)]
enum Found {
    /// What works.
    Well(String),
    /// What works, and is less safe than it could be.
    Warning(String),
    /// What is wrong and what to do about it.
    Problem(String),
}

impl From<Result<String, String>> for Found {
    fn from(found: Result<String, String>) -> Self {
        found.map_or_else(Self::Problem, Self::Well)
    }
}

/// What all checks found.
#[derive(Debug)]
pub struct Findings {
    checks: Vec<Check>,
    misconfigured: bool,
}

impl Findings {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.problems() == 0
    }

    fn problems(&self) -> usize {
        let is_problem = |check: &&Check| matches!(check.found, Found::Problem(_));
        self.checks.iter().filter(is_problem).count()
    }

    /// Whether the settings themselves are wrong.
    #[must_use]
    pub fn is_misconfigured(&self) -> bool {
        self.misconfigured
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            match &check.found {
                Found::Well(well) => writeln!(f, "ok       {:<10}{well}", check.name)?,
                Found::Warning(warning) => writeln!(f, "WARNING  {:<10}{warning}", check.name)?,
                Found::Problem(problem) => writeln!(f, "PROBLEM  {:<10}{problem}", check.name)?,
            }
        }
        let problems = self.problems();
        write!(
            f,
            "{problems} problem{}",
            if problems == 1 { "" } else { "s" }
        )
    }
}

/// Tries everything that a worker needs, each part as far as its settings go. Costs nothing at the provider.
pub async fn examine(source: &Source, program: PathBuf) -> Findings {
    let misconfigured = Config::load(source, program.clone()).err();
    let mut checks = match &misconfigured {
        None => vec![Check::new("settings", Found::Well("complete".to_owned()))],
        Some(problems) => {
            let each = problems.0.iter();
            each.map(|problem| Check::new("settings", Found::Problem(problem.clone())))
                .collect()
        }
    };
    if let Ok(settings) = config::Database::load(source) {
        checks.extend(examine_database(&settings).await);
    }
    if let Ok(settings) = config::load_sandbox(source, program) {
        checks.push(Check::new("extract", examine_sandbox(settings).await));
    }
    if let Ok(settings) = config::load_storage(source) {
        checks.push(Check::new("storage", examine_storage(settings).await));
    }
    if let Ok(settings) = config::load_embedding(source) {
        checks.push(Check::new("provider", examine_provider(&settings).await));
    }
    Findings {
        checks,
        misconfigured: misconfigured.is_some(),
    }
}

async fn examine_database(settings: &config::Database) -> Vec<Check> {
    let db = match Db::connect(&database(&settings.url, 0)).await {
        Ok(db) => db,
        Err(error) => {
            return vec![Check::new(
                "database",
                Found::Problem(connection("DATABASE_URL", &error)),
            )];
        }
    };
    let mut checks = vec![
        Check::new("database", Found::Well("answers".to_owned())),
        Check::new("schema", examine_schema(&db).await),
        Check::new("rights", examine_rights(&db).await),
        Check::new("listen", examine_listening(settings).await),
    ];
    // The owner is not needed to work; whoever sets it means to use it.
    if settings.admin_url.expose_secret() != settings.url.expose_secret() {
        let found = match db::connect_admin(&settings.admin_url).await {
            Ok(_) => Ok("answers; used by migrate".to_owned()),
            Err(error) => Err(connection("DATABASE_ADMIN_URL", &error)),
        };
        checks.push(Check::new("owner", found));
    }
    db.close().await;
    checks
}

fn connection(name: &str, error: &DbError) -> String {
    format!("{}; check {name}", Chain(error))
}

async fn examine_schema(db: &Db) -> Result<String, String> {
    let problem = |error: DbError| Chain(&error).to_string();
    let types = db.file_types().await.map_err(problem)?;
    let enabled = types.iter().filter(|row| row.enabled).count();
    if enabled == 0 {
        return Err("no file type is enabled; run `orion-ingest migrate --seed`".to_owned());
    }
    let model = db.active_model().await.map_err(problem)?;
    Ok(format!(
        "{enabled} file types enabled; {} ({} dimensions) is the active model",
        model.name, model.dimensions
    ))
}

async fn examine_rights(db: &Db) -> Found {
    match db.is_powerful().await {
        Ok(false) => Found::Well("the connection has the worker's rights and no more".to_owned()),
        Ok(true) => Found::Warning("the connection may do more than the worker needs; give a login the role orion_ingest and use that in DATABASE_URL".to_owned()),
        Err(error) => Found::Problem(Chain(&error).to_string()),
    }
}

async fn examine_listening(settings: &config::Database) -> Result<String, String> {
    let listener = Listener::connect(&settings.url, settings.direct_url.as_ref()).await;
    match (listener, &settings.direct_url) {
        (Some(_), _) => Ok("new files are heard of at once".to_owned()),
        (None, None) => Ok("not through this pooler: new files are found by polling; set DATABASE_DIRECT_URL to a direct connection to hear of them at once".to_owned()),
        (None, Some(_)) => Err("cannot LISTEN; check DATABASE_DIRECT_URL, or take it away to poll".to_owned()),
    }
}

/// Sends a small file through a child process, as the worker will.
async fn examine_sandbox(settings: sandbox::Settings) -> Found {
    let sandbox = match Spawner::new() {
        Ok(spawner) => Sandbox::new(settings, spawner),
        Err(error) => return Found::Problem(format!("cannot start a thread: {error}")),
    };
    let hints = Hints {
        name: "doctor.txt".to_owned(),
        mime_type: "text/plain".to_owned(),
    };
    let document = sandbox
        .extract(
            UserId::NOBODY,
            &hints,
            &extract::Settings::new(&FileTypes::seeded()),
            "well".into(),
        )
        .await;
    let freedom = match document {
        Ok(_) => sandbox.freedom().await,
        Err(error) => Err(error),
    };
    match freedom {
        Ok(freedom) if freedom.is_none() => Found::Well(format!(
            "child processes work within {}; no files, network or programs",
            sandbox.limits()
        )),
        Ok(freedom) => Found::Warning(format!(
            "child processes work within {}, but this system lets them reach {}: it has no seccomp, or the container forbids it",
            sandbox.limits(),
            freedom.reach()
        )),
        Err(error) => Found::Problem(format!(
            "{}; check EXTRACT_MEMORY_BYTES and the container's memory limit",
            Chain(&error)
        )),
    }
}

async fn examine_storage(settings: objects::Settings) -> Result<String, String> {
    let bucket = settings.bucket.clone();
    match Objects::new(settings).check().await {
        Ok(()) => Ok(format!("bucket {bucket} can be read")),
        Err(error) => Err(storage_problem(&error)),
    }
}

/// Where nothing is billed, a word finds out what the server understands. Elsewhere an empty text is refused, or embedded
/// for nothing, by whoever takes the key and has the model.
async fn examine_provider(settings: &embedding::Settings) -> Result<String, String> {
    let provider = &settings.provider;
    let client = openai::Client::new(provider).map_err(|error| Chain(&error).to_string())?;
    let offers = format!("offers {}", provider.model.name);
    if settings.price_per_mtok > 0.0 {
        return match client
            .embed(&["".into()], 0, Dialect::default())
            .await
            .outcome
        {
            Err(EmbedError::Rejected { .. }) => Ok(format!("takes the key and {offers}")),
            outcome => examine_answer(&outcome).map(|()| format!("takes the key and {offers}")),
        };
    }
    let mut found = Ok(String::new());
    for dialect in Dialect::ALL {
        let outcome = client.embed(&[PROBE.into()], 1, dialect).await.outcome;
        found = examine_answer(&outcome).map(|()| format!("{offers}; accepts {dialect}"));
        if !matches!(outcome, Err(EmbedError::Rejected { .. })) {
            break;
        }
    }
    found
}

fn examine_answer(outcome: &Result<Answer, EmbedError>) -> Result<(), String> {
    match outcome {
        Ok(_) | Err(EmbedError::Malformed { .. } | EmbedError::Throttled { .. }) => Ok(()),
        Err(error @ EmbedError::WrongLength { .. }) => Err(error.to_string()),
        Err(error) => Err(format!(
            "{}; check OPENAI_API_KEY, OPENAI_BASE_URL and EMBEDDING_MODEL",
            Chain(error)
        )),
    }
}
