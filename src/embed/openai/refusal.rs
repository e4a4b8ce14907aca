//! What a refusal means: money, speed, credentials, settings or the text.

use std::time::Duration;

use reqwest::{Response, StatusCode, header::HeaderMap};
use serde::Deserialize;
use serde_json::Value;

use super::super::EmbedError;

/// The fields of an error body that say what to do; its message may quote the input and is not read.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Cause {
    code: Option<Value>,
    r#type: Option<String>,
    param: Option<String>,
}

impl Cause {
    /// Of a body with an `error`, or, as TEI and vLLM up to 0.9 have it, of one that is the error.
    fn of(body: &[u8]) -> Self {
        let body = serde_json::from_slice(body).unwrap_or(Value::Null);
        // A cause that is a bare sentence, as LM Studio's, says nothing to a program.
        Self::deserialize(body.get("error").unwrap_or(&body)).unwrap_or_default()
    }

    /// The status that it should have come with.
    fn status(&self) -> Option<StatusCode> {
        let code = self.code.as_ref()?.as_u64()?;
        let status = StatusCode::from_u16(u16::try_from(code).ok()?).ok()?;
        (status.is_client_error() || status.is_server_error()).then_some(status)
    }

    /// Whether code or type is one of these.
    fn is(&self, names: &[&str]) -> bool {
        let code = self.code.as_ref().and_then(Value::as_str);
        [code, self.r#type.as_deref()]
            .into_iter()
            .flatten()
            .any(|name| names.contains(&name))
    }

    /// Whether it concerns neither the texts nor the parameters that can be left out.
    fn is_about_the_model(&self) -> bool {
        self.is(&["model_not_found"]) || self.param.as_deref() == Some("model")
    }
}

/// Codes that mean money and not speed.
const SPENT: [&str; 3] = [
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
];

pub(super) async fn refusal(response: Response) -> EmbedError {
    let status = response.status();
    let after = retry_after(response.headers());
    // A body that is cut or is no JSON leaves only the status to go by.
    let body = response.bytes().await.unwrap_or_default();
    judge(status, &Cause::of(&body), after)
}

/// An error that came with status 200, as those of `OpenRouter` do; LM Studio answers so where it has no endpoint.
pub(super) fn disguised(error: &Value) -> EmbedError {
    let cause = Cause::deserialize(error).unwrap_or_default();
    let misplaced = EmbedError::Misconfigured { status: 200 };
    cause
        .status()
        .map_or(misplaced, |status| judge(status, &cause, None))
}

pub(super) fn judge(status: StatusCode, cause: &Cause, after: Option<Duration>) -> EmbedError {
    let code = status.as_u16();
    match code {
        _ if cause.is(&SPENT) => EmbedError::QuotaSpent,
        402 => EmbedError::QuotaSpent,
        429 => EmbedError::Throttled { after },
        401 | 403 => EmbedError::CredentialsRefused { status: code },
        400 | 422 if cause.is_about_the_model() => EmbedError::Misconfigured { status: code },
        400 | 413 | 422 => EmbedError::Rejected { status: code },
        // 424: TEI's word for a failure behind its HTTP server.
        408 | 409 | 424 | 425 | 499..=599 => EmbedError::Failing {
            status: code,
            after,
        },
        _ => EmbedError::Misconfigured { status: code },
    }
}

/// `retry-after-ms`, or `retry-after` as seconds or as a date measured by the server's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(millis / 1e3).ok();
    }
    let wish = text("retry-after")?;
    if let Ok(seconds) = wish.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date =
        |text| time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc2822);
    let wait = date(wish).ok()? - date(text("date")?).ok()?;
    // A date that has passed asks for nothing.
    Some(Duration::try_from(wait).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .collect()
    }

    #[test]
    fn a_wish_to_wait_is_read_in_each_of_its_forms() {
        let date = "Wed, 21 Oct 2026 07:28:00 GMT";
        for (pairs, seconds) in [
            (&[("retry-after", "2")][..], Some(2.0)),
            (&[("retry-after", "0.25")], Some(0.25)),
            (
                &[("retry-after-ms", "1500"), ("retry-after", "2")],
                Some(1.5),
            ),
            (
                &[
                    ("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT"),
                    ("date", date),
                ],
                Some(30.0),
            ),
            (
                &[
                    ("retry-after", "Wed, 21 Oct 2026 07:27:00 GMT"),
                    ("date", date),
                ],
                Some(0.0),
            ),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "-1")], None),
            (&[], None),
        ] {
            assert_eq!(
                retry_after(&headers(pairs)),
                seconds.map(Duration::from_secs_f64),
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn money_speed_settings_and_text_are_told_apart() {
        let judged = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).expect("a status");
            judge(status, &Cause::of(body.as_bytes()), None).to_string()
        };
        let spent = EmbedError::QuotaSpent.to_string();
        assert_eq!(
            judged(429, r#"{"error":{"code":"insufficient_quota"}}"#),
            spent
        );
        assert_eq!(
            judged(
                429,
                r#"{"error":{"type":"insufficient_quota","code":null}}"#
            ),
            spent
        );
        assert!(judged(429, r#"{"error":{"code":"rate_limit_exceeded"}}"#).contains("slow down"));
        assert!(judged(429, "<html>").contains("slow down"));
        assert!(judged(401, "{}").contains("credentials"));
        assert!(judged(404, r#"{"error":{"code":"model_not_found"}}"#).contains("model"));
        assert!(judged(400, r#"{"error":{"param":"model","code":null}}"#).contains("model"));
        assert!(judged(400, r#"{"param":"model","code":400}"#).contains("model"));
        assert!(judged(400, r#"{"error":{"param":"dimensions","code":null}}"#).contains("input"));
        assert!(judged(413, r#"{"message":"…","code":413,"type":"Validation"}"#).contains("input"));
        assert!(judged(424, r#"{"message":"…","code":424,"type":"Backend"}"#).contains("fails"));
        assert!(judged(400, r#"{"error":{"param":"input","code":400}}"#).contains("input"));
        assert!(judged(503, "").contains("fails"));
    }
}
