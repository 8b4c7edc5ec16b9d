//! Whether the server lives, is ready, and can read what it keeps.

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::authentication::Authenticated;
use crate::error::ApiError;
use crate::state::ApiState;

/// Tells whether the server can answer.
#[async_trait]
pub trait Readiness: Send + Sync {
    /// What is wrong, a line each; nothing: ready.
    async fn faults(&self) -> Vec<String>;

    /// What an operator should look at though requests can be served, a line each.
    async fn warnings(&self) -> Vec<String>;
}

/// Answers as long as the process lives.
#[utoipa::path(get, path = "/healthz", operation_id = "getLiveness", tag = "health", responses((status = 200, description = "Alive", body = Object)))]
pub(crate) async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Answers whether requests can be served.
#[utoipa::path(get, path = "/readyz", operation_id = "getReadiness", tag = "health",
    responses((status = 200, description = "Ready; `degraded` where an operator should look at something", body = Object),
        (status = 503, description = "Not ready, and why", body = Object)))]
pub(crate) async fn readyz(State(state): State<ApiState>) -> (StatusCode, Json<Value>) {
    let faults = state.shared().readiness.faults().await;
    if faults.is_empty() {
        let warnings = state.shared().readiness.warnings().await;
        return (
            StatusCode::OK,
            Json(match warnings.as_slice() {
                [] => json!({ "status": "ok" }),
                _ => json!({ "status": "degraded", "warnings": warnings }),
            }),
        );
    }
    for fault in &faults {
        tracing::warn!(fault, "not ready");
    }
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "unavailable", "faults": faults })))
}

/// Tells whether the secrets manager works, and names every service whose secrets cannot be read.
#[utoipa::path(get, path = "/api/v1/secretsManager/health", operation_id = "getSecretsManagerHealth", tag = "health",
    responses((status = 200, description = "State of the store and of what it keeps", body = Object),
        (status = 401, body = crate::openapi::ErrorBody), (status = 403, body = crate::openapi::ErrorBody)))]
pub(crate) async fn secrets_manager(
    State(state): State<ApiState>,
    caller: Authenticated,
) -> Result<Json<Value>, ApiError> {
    let health = state.shared().catalog.secrets_health(caller.admin()?).await?;
    let is_healthy = health.fault.is_none() && health.unreadable.is_empty();
    let unreadable: Vec<_> = health
        .unreadable
        .into_iter()
        .map(|it| json!({ "family": it.family, "id": it.id, "name": it.name, "paths": it.paths, "reason": it.reason }))
        .collect();
    Ok(Json(json!({
        "status": if is_healthy { "ok" } else { "degraded" },
        "kind": health.kind,
        "fault": health.fault,
        "services": health.services,
        "unreadable": unreadable,
    })))
}
