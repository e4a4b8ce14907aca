//! Where values come from: flags, then variables, then `.env`, then defaults; and the list of what is wrong with them.

use std::{collections::HashMap, fmt, str::FromStr, time::Duration};

use secrecy::SecretString;

use super::setting::{SETTINGS, setting};

/// Secrets of others that stand in for some of ours; a file may hold them too.
const STAND_IN_SECRETS: [&str; 5] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "NEXT_PUBLIC_SUPABASE_ANON_KEY",
    "SUPABASE_SERVICE_ROLE_KEY",
];

/// Values by the name of their variable, and what was wrong with reading them.
#[derive(Clone, Default)]
pub struct Source {
    values: HashMap<String, String>,
    /// Secrets whose file could not be read; a problem for whoever needs one of them.
    unreadable: HashMap<String, String>,
    /// What is wrong whichever settings are needed.
    problems: Vec<String>,
}

impl Source {
    /// Reads the process's environment and `.env` in the current folder; `flags` win over both.
    #[must_use]
    pub fn from_env(flags: HashMap<String, String>) -> Self {
        let (dot_env, problems) = read_dot_env();
        #[expect(clippy::disallowed_methods, reason = "this is the reader")]
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let mut source = Self::of(dot_env, environment.collect(), flags);
        source.problems.extend(problems);
        source
    }

    /// Flags over variables over `.env`, in each of which an empty value is none.
    fn of(
        dot_env: HashMap<String, String>,
        environment: HashMap<String, String>,
        flags: HashMap<String, String>,
    ) -> Self {
        let mut source = Self::default();
        source.lay(dot_env);
        source.lay(environment);
        for (name, value) in flags {
            source.set(&name, value);
        }
        source
    }

    /// Lays values over what is there, those of `<NAME>_FILE` read.
    fn lay(&mut self, layer: HashMap<String, String>) {
        let mut layer: HashMap<String, String> = layer
            .into_iter()
            .map(|(name, value)| (name, value.trim().to_owned()))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let own = SETTINGS.iter().filter(|setting| setting.secret);
        for name in own.map(|setting| setting.name).chain(STAND_IN_SECRETS) {
            let path = layer.get(&format!("{name}_FILE"));
            if let (None, Some(path)) = (layer.get(name), path) {
                match read_secret(path) {
                    Ok(value) => drop(layer.insert(name.to_owned(), value)),
                    Err(problem) => {
                        self.values.remove(name);
                        self.unreadable
                            .insert(name.to_owned(), format!("{name}_FILE: {problem}"));
                    }
                }
            }
            if layer.contains_key(name) {
                self.unreadable.remove(name);
            }
        }
        self.values.extend(layer);
    }

    /// Puts `value` over whatever was set; an empty one takes it away.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into().trim().to_owned();
        self.unreadable.remove(name);
        if value.is_empty() {
            self.values.remove(name);
        } else {
            self.values.insert(name.to_owned(), value);
        }
    }

    /// What was given for `name`, without its default.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Notes that something is wrong with `name`, to be reported with all else.
    pub fn problem(&mut self, name: &str, what: impl fmt::Display) {
        self.problems.push(format!("{name}: {what}"));
    }
}

/// The variables of `.env` in the current folder, and what is wrong with it.
fn read_dot_env() -> (HashMap<String, String>, Vec<String>) {
    let (mut values, mut problems) = (HashMap::new(), Vec::new());
    match dotenvy::from_path_iter(".env") {
        Ok(lines) => {
            for line in lines {
                match line {
                    Ok((name, value)) => drop(values.insert(name, value)),
                    // The parser's own message would quote the line, which may hold a secret.
                    Err(_) => problems.push(
                        ".env: a line is not NAME=value; put values with spaces, # or $ in single quotes".into(),
                    ),
                }
            }
        }
        Err(error) if error.not_found() => {}
        Err(_) => problems.push(".env: cannot be read; check its permissions".into()),
    }
    (values, problems)
}

fn read_secret(path: &str) -> Result<String, String> {
    let value = std::fs::read_to_string(path).map_err(|error| {
        format!("cannot read {path}: {error}; check the path and its permissions")
    })?;
    match value.trim() {
        "" => Err(format!("{path} is empty; put the secret into it")),
        value => Ok(value.to_owned()),
    }
}

/// Everything that is wrong with the settings, one line each: the variable's name and what to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        writeln!(
            f,
            "{count} problem{} with the settings:",
            if count == 1 { "" } else { "s" }
        )?;
        for problem in &self.0 {
            writeln!(f, "  {problem}")?;
        }
        write!(f, "see --help, or .env.example for a complete list")
    }
}

impl std::error::Error for Problems {}

/// Reads typed values and collects every problem on the way, so that all are reported at once.
pub struct Reader<'a> {
    source: &'a Source,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    /// A reader that has found nothing wrong but what was wrong before.
    #[must_use]
    pub fn new(source: &'a Source) -> Self {
        Self {
            problems: source.problems.clone(),
            ..Self::lenient(source)
        }
    }

    /// A reader for what must work wherever it is run, also beside another program's odd `.env`.
    #[must_use]
    pub fn lenient(source: &'a Source) -> Self {
        Self {
            source,
            problems: Vec::new(),
        }
    }

    /// `value`, unless something was wrong.
    ///
    /// # Errors
    ///
    /// All problems that were met.
    pub fn finish<T>(self, value: T) -> Result<T, Problems> {
        if self.problems.is_empty() {
            Ok(value)
        } else {
            Err(Problems(self.problems))
        }
    }

    /// Notes that something is wrong with `name`.
    pub fn problem(&mut self, name: &str, what: impl fmt::Display) {
        self.problems.push(format!("{name}: {what}"));
    }

    /// The value of `name` or its default, if it has either.
    pub fn text(&self, name: &str) -> Option<String> {
        let default = setting(name).default;
        self.source
            .given(name)
            .map(str::to_owned)
            .or_else(|| (!default.is_empty()).then(|| default.to_owned()))
    }

    /// The first of `names` that was given; the others need not be settings of ours.
    pub fn first(&mut self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.given(name))
    }

    /// A value as it was given. A file of a secret that cannot be read is a problem, and as good as given.
    fn given(&mut self, name: &str) -> Option<String> {
        if let Some(problem) = self.source.unreadable.get(name) {
            if !self.problems.contains(problem) {
                self.problems.push(problem.clone());
            }
            return Some(String::new());
        }
        self.source.given(name).map(str::to_owned)
    }

    /// A secret that must be there.
    pub fn secret(&mut self, name: &str) -> SecretString {
        self.optional_secret(name).unwrap_or_else(|| {
            self.problem(
                name,
                format_args!(
                    "not set; set it, or {name}_FILE to a file that holds it ({})",
                    setting(name).help
                ),
            );
            SecretString::from("")
        })
    }

    /// A secret that may be missing.
    pub fn optional_secret(&mut self, name: &str) -> Option<SecretString> {
        self.given(name).map(SecretString::from)
    }

    /// A number of any type that parses itself; `fallback` where the setting has no default.
    pub fn parsed<T: FromStr>(&mut self, name: &str, wanted: &str, fallback: T) -> T {
        let parse = |value: &str| value.parse().ok();
        self.optional(name, wanted, parse)
            .or_else(|| parse(setting(name).default))
            .unwrap_or(fallback)
    }

    /// A value that may be missing.
    pub fn optional<T>(
        &mut self,
        name: &str,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.text(name)?;
        let parsed = parse(&value);
        if parsed.is_none() {
            // Only plain settings come here, so that the value may be shown.
            self.problem(name, format_args!("\"{value}\" is not {wanted}"));
        }
        parsed
    }

    /// A duration above zero: `30s`, `5m`, `500ms`, or bare seconds.
    pub fn duration(&mut self, name: &str) -> Duration {
        self.optional(name, DURATION, parse_duration)
            .or_else(|| parse_duration(setting(name).default))
            .unwrap_or(MAX_DURATION)
    }
}

/// What a duration looks like, for messages.
pub const DURATION: &str = "a duration such as 30s, 5m or 500ms, above zero and at most a year";
/// Beyond it, sums with the clock could overflow.
const MAX_DURATION: Duration = Duration::from_hours(365 * 24);

/// `30s`, `5m`, `500ms`; a bare number is seconds. Zero is no duration, nor is more than a year.
#[must_use]
pub fn parse_duration(value: &str) -> Option<Duration> {
    let duration = match value.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
        Err(_) => humantime::parse_duration(value).ok()?,
    };
    (!duration.is_zero() && duration <= MAX_DURATION).then_some(duration)
}
