//! Where the database is, and whose connection which command needs.

use secrecy::{ExposeSecret, SecretString};

use super::{Problems, Reader, Source};

/// Where the database is.
#[derive(Clone, Debug)]
pub struct Database {
    /// The worker's connection, direct or through a transaction pooler.
    pub url: SecretString,
    /// The owner's direct connection.
    pub admin_url: SecretString,
    /// A direct connection for LISTEN, if there is one apart from `url`.
    pub direct_url: Option<SecretString>,
}

impl Database {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let url = reader.secret("DATABASE_URL");
        check_database(reader, "DATABASE_URL", &url);
        Self {
            admin_url: other_database(reader, "DATABASE_ADMIN_URL").unwrap_or_else(|| url.clone()),
            direct_url: other_database(reader, "DATABASE_DIRECT_URL"),
            url,
        }
    }

    /// Settings of the commands that need only the database.
    ///
    /// # Errors
    ///
    /// All problems with them.
    pub fn load(source: &Source) -> Result<Self, Problems> {
        let mut reader = Reader::new(source);
        let database = Self::read(&mut reader);
        reader.finish(database)
    }

    /// Settings of `migrate`, for which the owner's connection is enough.
    ///
    /// # Errors
    ///
    /// All problems with them.
    pub fn load_admin(source: &Source) -> Result<SecretString, Problems> {
        let mut reader = Reader::new(source);
        let url = if let Some(url) = other_database(&mut reader, "DATABASE_ADMIN_URL") {
            url
        } else {
            let url = reader.secret("DATABASE_URL");
            check_database(&mut reader, "DATABASE_URL", &url);
            url
        };
        reader.finish(url)
    }
}

fn other_database(reader: &mut Reader<'_>, name: &str) -> Option<SecretString> {
    let url = reader.optional_secret(name)?;
    check_database(reader, name, &url);
    Some(url)
}

/// An empty one has been complained about. Never shown: it holds a password.
fn check_database(reader: &mut Reader<'_>, name: &str, url: &SecretString) {
    let url = url.expose_secret();
    let is_postgres = |url: url::Url| matches!(url.scheme(), "postgres" | "postgresql");
    if !url.is_empty() && !url::Url::parse(url).is_ok_and(is_postgres) {
        reader.problem(
            name,
            "not a URL of the form postgres://user:password@host:5432/database; special characters in the password are written as %40 and the like",
        );
    }
}
