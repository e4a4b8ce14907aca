//! Where requests go, and with which key.

use async_openai::config::Config;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Position, Url};

/// Azure's header for keys.
const API_KEY: HeaderName = HeaderName::from_static("api-key");

/// Azure's own addresses of models; its virtual machines are below azure.com, too.
const AZURE: [&str; 3] = [
    "openai.azure.com",
    "cognitiveservices.azure.com",
    "services.ai.azure.com",
];

/// async-openai's own configuration reads the environment; this one holds what it is given.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// Without the query and a slash at its end.
    base: String,
    /// `?api-version=…`, or nothing.
    query: String,
    /// Empty if there is none.
    api_key: SecretString,
}

impl Endpoint {
    /// A base URL may be the whole address of the embeddings, as Azure's portal shows it.
    pub(super) fn new(base_url: &str, api_key: Option<SecretString>) -> Self {
        let (base, query) = match base_url.split_once('?') {
            Some((base, query)) => (base, format!("?{query}")),
            None => (base_url, String::new()),
        };
        let base = base.trim_end_matches('/');
        Self {
            base: base.strip_suffix("/embeddings").unwrap_or(base).to_owned(),
            query,
            api_key: api_key.unwrap_or_default(),
        }
    }

    /// Below `deployments`, Azure takes a bearer for an Entra token and refuses a key in its place; its newer `/openai/v1`
    /// takes keys either way.
    fn has_key_of_its_own_header(&self) -> bool {
        self.base.contains("/openai/deployments/") || is_azure(&self.base)
    }
}

impl Config for Endpoint {
    fn headers(&self) -> HeaderMap {
        let key = self.api_key.expose_secret();
        let (name, value) = if self.has_key_of_its_own_header() {
            (API_KEY, key.to_owned())
        } else {
            (AUTHORIZATION, format!("Bearer {key}"))
        };
        let mut headers = HeaderMap::new();
        if let Ok(mut value) = HeaderValue::try_from(value)
            && !key.is_empty()
        {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        headers
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}{}", self.base, self.query)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        Vec::new()
    }

    fn api_base(&self) -> &str {
        &self.base
    }

    fn api_key(&self) -> &SecretString {
        &self.api_key
    }
}

/// Whether nothing can be had there without a key; a server of one's own may be open to all.
#[must_use]
pub fn needs_key(base_url: &str) -> bool {
    is_below(base_url, "openai.com") || is_azure(base_url)
}

/// Host and port: whose limits these are.
pub(super) fn authority(base_url: &str) -> String {
    Url::parse(base_url).map_or_else(
        |_| String::new(),
        |url| url[Position::BeforeHost..Position::AfterPort].to_owned(),
    )
}

pub(super) fn is_loopback(base_url: &str) -> bool {
    let url = Url::parse(base_url);
    match url.as_ref().map(Url::host) {
        Ok(Some(Host::Domain(name))) => name == "localhost",
        Ok(Some(Host::Ipv4(address))) => address.is_loopback(),
        Ok(Some(Host::Ipv6(address))) => address.is_loopback(),
        Ok(None) | Err(_) => false,
    }
}

fn is_azure(base_url: &str) -> bool {
    AZURE.iter().any(|domain| is_below(base_url, domain))
}

fn is_below(base_url: &str, domain: &str) -> bool {
    let url = Url::parse(base_url);
    let host = url.as_ref().ok().and_then(Url::host_str);
    host.and_then(|host| host.strip_suffix(domain))
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_keeps_its_query_and_the_key_has_the_header_that_is_read() {
        let azure = "https://me.openai.azure.com/openai";
        let old = format!("{azure}/deployments/mine/embeddings?api-version=2024-10-21");
        for (base, address, header) in [
            (
                "https://api.openai.com/v1/",
                "https://api.openai.com/v1/embeddings",
                "authorization",
            ),
            (
                &format!("{azure}/v1/"),
                &format!("{azure}/v1/embeddings"),
                "api-key",
            ),
            (
                &format!("{azure}/deployments/mine/?api-version=2024-10-21"),
                &old,
                "api-key",
            ),
            (&old, &old, "api-key"),
            (
                "https://gateway/openai/deployments/mine",
                "https://gateway/openai/deployments/mine/embeddings",
                "api-key",
            ),
            (
                "http://mine.westeurope.cloudapp.azure.com:8000/v1",
                "http://mine.westeurope.cloudapp.azure.com:8000/v1/embeddings",
                "authorization",
            ),
            (
                "https://notazure.com/v1",
                "https://notazure.com/v1/embeddings",
                "authorization",
            ),
        ] {
            let endpoint = Endpoint::new(base, Some("sk-key".into()));
            assert_eq!(endpoint.url("/embeddings"), address, "{base}");
            let headers = endpoint.headers();
            assert_eq!(headers.keys().collect::<Vec<_>>(), [header], "{base}");
            assert!(headers[header].is_sensitive());
            assert!(Endpoint::new(base, None).headers().is_empty());
        }
    }
}
