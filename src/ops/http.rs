//! `/healthz`, `/readyz`, `/metrics`. No document data, no secrets.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;

use crate::{app::App, db::Scope, embedding};

/// How long readiness waits for the database.
const DATABASE_WITHIN: Duration = Duration::from_secs(3);

/// Binds the address, so that one in use is an error at the start.
///
/// # Errors
///
/// As the system says.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until dropped.
///
/// # Errors
///
/// As the system says.
pub async fn serve(listener: TcpListener, app: Arc<App>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(app);
    axum::serve(listener, router).await
}

/// 200 when the database answers and the provider takes requests, else 503 and why.
async fn ready(State(app): State<Arc<App>>) -> (StatusCode, String) {
    let provider = *app.embedder().state().borrow();
    let mut problems = Vec::new();
    if !matches!(
        tokio::time::timeout(DATABASE_WITHIN, app.db.ping()).await,
        Ok(Ok(()))
    ) {
        problems.push("database: no answer".to_owned());
    }
    if provider != embedding::State::Ready {
        problems.push(format!("provider: {}", provider.as_str()));
    }
    if problems.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, problems.join("\n") + "\n")
    }
}

/// The text format of `OpenMetrics`, which Prometheus reads; the queue's gauges are left as they were when the database
/// does not answer.
async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    if let Ok(Ok(backlog)) =
        tokio::time::timeout(DATABASE_WITHIN, app.db.backlog(&Scope::All)).await
    {
        app.metrics.queue_files.set(backlog.files);
        app.metrics
            .oldest_due_seconds
            .set(backlog.oldest_due_for.unwrap_or_default().as_secs_f64());
    }
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(header::CONTENT_TYPE, format)],
        app.metrics.encode(&app.embedder().totals()),
    )
}
