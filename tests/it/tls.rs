//! TLS to Postgres: certificates are checked as the URL asks, against an authority of one's own too.
//!
//! PgBouncer ends the TLS, since the embedded Postgres is built without it; the client's side is the same.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use secrecy::ExposeSecret as _;
use url::Url;

use crate::{pooler::Pooler, program::Place};

/// An authority and the certificate of a server of these names.
struct Certificates {
    authority: String,
    server: String,
    key: String,
}

fn certificates(names: &[&str]) -> Certificates {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let server = CertificateParams::new(names).unwrap();
    let server = server.signed_by(&key, &ca).unwrap();
    Certificates {
        authority: ca.pem(),
        server: server.pem(),
        key: key.serialize_pem(),
    }
}

impl Certificates {
    /// A server that shows them, at an address that is in them or not.
    async fn serve(&self, place: &Place) -> Option<Pooler> {
        let files = [("server.pem", &self.server), ("server.key", &self.key)];
        let settings = "client_tls_sslmode = require\n\
                        client_tls_cert_file = FOLDER/server.pem\n\
                        client_tls_key_file = FOLDER/server.key\n";
        Pooler::start_with(&place.stack, settings, &files).await
    }
}

/// `status` through the pooler, with these parameters in its URL.
async fn status(
    place: &Place,
    pooler: &Pooler,
    parameters: &[(&str, &str)],
) -> crate::program::Said {
    let mut url = Url::parse(pooler.url.expose_secret()).unwrap();
    url.query_pairs_mut().clear().extend_pairs(parameters);
    let said = place
        .run_with("DATABASE_URL", url.as_str(), &["status"])
        .await;
    let password = url.password().unwrap();
    assert!(!said.err.contains(password), "{said:?}");
    said
}

#[tokio::test]
async fn a_certificate_is_checked_against_the_authority_that_the_url_names() {
    let place = Place::new().await;
    let (ours, others) = (certificates(&["127.0.0.1"]), certificates(&["127.0.0.1"]));
    let Some(pooler) = ours.serve(&place).await else {
        return;
    };
    place.write("ours.pem", &ours.authority);
    place.write("others.pem", &others.authority);
    for mode in ["verify-full", "verify-ca", "require"] {
        let named = [("sslmode", mode), ("sslrootcert", "ours.pem")];
        status(&place, &pooler, &named).await.exits(0);
    }
    for mode in ["verify-full", "verify-ca"] {
        for authority in [Some("others.pem"), None] {
            let mut named = vec![("sslmode", mode)];
            named.extend(authority.map(|file| ("sslrootcert", file)));
            let said = status(&place, &pooler, &named).await.exits(1);
            said.complains_of(&["certificate"]);
        }
    }
    // A file that is not there is not the same as none.
    let named = [("sslmode", "verify-full"), ("sslrootcert", "nowhere.pem")];
    let said = status(&place, &pooler, &named).await;
    assert_ne!(said.code, Some(0), "{said:?}");
    // Nothing goes in the clear where the server wants TLS.
    status(&place, &pooler, &[("sslmode", "disable")])
        .await
        .exits(1);
}

#[tokio::test]
async fn a_certificate_of_another_server_is_refused_where_the_name_is_checked() {
    let place = Place::new().await;
    let elsewhere = certificates(&["elsewhere.example"]);
    let Some(pooler) = elsewhere.serve(&place).await else {
        return;
    };
    place.write("ours.pem", &elsewhere.authority);
    let named = |mode| [("sslmode", mode), ("sslrootcert", "ours.pem")];
    let said = status(&place, &pooler, &named("verify-full"))
        .await
        .exits(1);
    said.complains_of(&["certificate"]);
    status(&place, &pooler, &named("verify-ca")).await.exits(0);
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let place = Place::new().await;
    let Some(pooler) = Pooler::start(&place.stack).await else {
        return;
    };
    for mode in ["require", "verify-ca", "verify-full"] {
        status(&place, &pooler, &[("sslmode", mode)]).await.exits(1);
    }
    status(&place, &pooler, &[("sslmode", "prefer")])
        .await
        .exits(0);
}
