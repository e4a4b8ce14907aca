//! Refusals, in the words of the real API or of another server.

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{faults::Fault, shape::Wording};

/// An answer that is no vectors.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) headers: Box<HeaderMap>,
    pub(super) body: Value,
}

impl Refused {
    pub(super) fn new(
        status: StatusCode,
        kind: &str,
        code: &str,
        param: &str,
        message: &str,
    ) -> Self {
        let some = |text: &str| {
            if text.is_empty() {
                Value::Null
            } else {
                text.into()
            }
        };
        Self {
            status,
            headers: Box::default(),
            body: json!({ "error": {
                "message": message, "type": kind, "param": some(param), "code": some(code),
            }}),
        }
    }

    /// The same refusal as another server words it.
    pub(super) fn worded(mut self, wording: Wording) -> Self {
        let message = self.body["error"]["message"].take();
        match wording {
            Wording::Nested => self.body["error"]["message"] = message,
            Wording::Flat => {
                let code = self.status.as_u16();
                self.body = json!({
                    "object": "error", "message": message, "type": "BadRequestError", "param": null, "code": code,
                });
            }
            Wording::Sentence => self.body = json!({ "error": message }),
        }
        self
    }

    pub(super) fn input(message: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            "",
            "input",
            message,
        )
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, *self.headers, Json(self.body)).into_response()
    }
}

/// The faults that need no look at the request.
pub(super) fn ordered(fault: &Fault) -> Option<Refused> {
    match fault {
        Fault::Throttle {
            retry_after,
            retry_after_ms,
        } => {
            let mut refused = Refused::new(
                StatusCode::TOO_MANY_REQUESTS,
                "requests",
                "rate_limit_exceeded",
                "",
                "Slow down.",
            );
            let wishes = [
                ("retry-after", retry_after.clone()),
                (
                    "retry-after-ms",
                    retry_after_ms.map(|millis| millis.to_string()),
                ),
            ];
            for (name, wish) in wishes {
                if let Some(wish) = wish.and_then(|wish| HeaderValue::try_from(wish).ok()) {
                    refused.headers.insert(name, wish);
                }
            }
            Some(refused)
        }
        Fault::QuotaSpent => Some(Refused::new(
            StatusCode::TOO_MANY_REQUESTS,
            "insufficient_quota",
            "insufficient_quota",
            "",
            "You exceeded your current quota, please check your plan and billing details.",
        )),
        Fault::Status { status } => Some(Refused::new(
            StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            "server_error",
            "",
            "",
            "The stand-in was told to fail.",
        )),
        Fault::Hang
        | Fault::HangUp
        | Fault::CutBody
        | Fault::WrongCount
        | Fault::ShuffledIndexes
        | Fault::RepeatedIndex
        | Fault::NotFinite
        | Fault::ShortVectors
        | Fault::NoUsage
        | Fault::NoData => None,
    }
}
