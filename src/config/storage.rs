//! Where objects are, and with which credentials: given, or made from what OrionChat has set anyway.

use secrecy::SecretString;

use super::{Reader, is_http};
use crate::objects;

pub(super) fn storage(reader: &mut Reader<'_>) -> objects::Settings {
    let project = project(reader);
    let endpoint = match (reader.text("STORAGE_S3_ENDPOINT"), &project) {
        (Some(endpoint), _) => {
            if !is_http(&endpoint) {
                let what = format_args!("\"{endpoint}\" is not an http(s) URL");
                reader.problem("STORAGE_S3_ENDPOINT", what);
            }
            endpoint
        }
        (None, Some(project)) => format!("{}/storage/v1/s3", project.trim_end_matches('/')),
        (None, None) => {
            reader.problem(
                "STORAGE_S3_ENDPOINT",
                "not set; set it, or SUPABASE_URL (https://<project>.supabase.co)",
            );
            String::new()
        }
    };
    let (access_key_id, secret_access_key, session_token) = credentials(reader, project.as_deref());
    let region = reader.text("STORAGE_S3_REGION").unwrap_or_default();
    let bucket = reader.text("STORAGE_BUCKET").unwrap_or_default();
    objects::Settings {
        session_token,
        ..objects::Settings::new(endpoint, region, access_key_id, secret_access_key, bucket)
    }
}

/// The Supabase project's URL, if one is set.
fn project(reader: &mut Reader<'_>) -> Option<String> {
    let name = "SUPABASE_URL";
    let url = reader.first(&[name, "NEXT_PUBLIC_SUPABASE_URL"])?;
    if !is_http(&url) {
        let what =
            format_args!("\"{url}\" is not an http(s) URL such as https://<project>.supabase.co");
        reader.problem(name, what);
    }
    Some(url)
}

/// S3 credentials: given for storage, else AWS's own, else made from OrionChat's three variables.
///
/// The halves of a pair come from one place, since two places mean two keys. The last are the session-token form of
/// Supabase Storage: project ref, anon key, and the service-role key as token.
fn credentials(
    reader: &mut Reader<'_>,
    project: Option<&str>,
) -> (String, SecretString, Option<SecretString>) {
    for prefix in ["STORAGE_S3", "AWS"] {
        let names = ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY"].map(|half| format!("{prefix}_{half}"));
        match names.each_ref().map(|name| reader.first(&[name])) {
            [None, None] => {}
            [Some(id), Some(secret)] => {
                let token = reader.first(&[&format!("{prefix}_SESSION_TOKEN")]);
                return (id, secret.into(), token.map(SecretString::from));
            }
            [id, _] => {
                let missing = usize::from(id.is_some());
                reader.problem(
                    &names[missing],
                    format_args!("not set, but {} is; set both", names[1 - missing]),
                );
                return no_credentials();
            }
        }
    }
    let anon = reader.first(&["NEXT_PUBLIC_SUPABASE_ANON_KEY"]);
    let service = reader.first(&["STORAGE_S3_SESSION_TOKEN", "SUPABASE_SERVICE_ROLE_KEY"]);
    if let (Some(project), Some(anon), Some(service)) =
        (project.and_then(project_ref), anon, service)
    {
        return (project, anon.into(), Some(SecretString::from(service)));
    }
    reader.problem(
        "STORAGE_S3_ACCESS_KEY_ID",
        "no S3 credentials; set it and STORAGE_S3_SECRET_ACCESS_KEY, or SUPABASE_URL, NEXT_PUBLIC_SUPABASE_ANON_KEY and SUPABASE_SERVICE_ROLE_KEY",
    );
    no_credentials()
}

fn no_credentials() -> (String, SecretString, Option<SecretString>) {
    (String::new(), SecretString::from(""), None)
}

/// The name by which storage knows the project: `abcdefgh` of `https://abcdefgh.supabase.co`.
///
/// A local stack, at an address or under a name without a dot, calls its only project `stub`.
pub(super) fn project_ref(url: &str) -> Option<String> {
    match url::Url::parse(url).ok()?.host()? {
        url::Host::Domain(host) => Some(
            host.split_once('.')
                .map_or("stub", |(first, _)| first)
                .to_owned(),
        ),
        url::Host::Ipv4(_) | url::Host::Ipv6(_) => Some("stub".to_owned()),
    }
}
