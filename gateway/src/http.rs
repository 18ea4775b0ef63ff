//! HTTP for those who look after the exchange: is it well, how much does it do, and what has it signed
//! for.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use gavel_sequencer::Status;
use gavel_sequencer::audit::LatestHead;
use prometheus_client::registry::Registry;

use crate::fan_out::FanOut;
use crate::limits::JOURNAL_WAIT_MAX;
use crate::metrics::render;

#[derive(Clone)]
struct Sources {
    fan_out: Arc<FanOut>,
    registry: Arc<Registry>,
    status: Arc<Status>,
    audit: Option<LatestHead>,
}

/// Returns the routes.
pub(crate) fn router(
    fan_out: Arc<FanOut>,
    registry: Registry,
    status: Arc<Status>,
    audit: Option<LatestHead>,
) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics))
        .route("/audit/head", get(audit_head))
        .with_state(Sources { fan_out, registry: Arc::new(registry), status, audit })
}

async fn healthz(State(sources): State<Sources>) -> Response {
    let (status, body) = if sources.fan_out.has_journal_failed() {
        (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"journal_failed"}"#)
    } else if sources.status.journal_waiting() > JOURNAL_WAIT_MAX {
        (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"journal_waiting"}"#)
    } else {
        (StatusCode::OK, r#"{"status":"ok"}"#)
    };
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn metrics(State(sources): State<Sources>) -> Response {
    const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let waiting = sources.status.journal_waiting().as_secs();
    sources.fan_out.metrics.journal_waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    match render(&sources.registry) {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn audit_head(State(sources): State<Sources>) -> Response {
    let Some(audit) = sources.audit else {
        let why = "this exchange keeps no audit log: it was not started with `gavel up --audit`\n";
        return (StatusCode::NOT_FOUND, why).into_response();
    };
    match audit.json() {
        Some(head) => {
            ([(header::CONTENT_TYPE, "application/json")], String::from(&*head)).into_response()
        }
        None => (StatusCode::NOT_FOUND, "no head has been signed yet\n").into_response(),
    }
}
