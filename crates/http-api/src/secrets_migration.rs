//! How far the move of secrets to another store has come.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::authentication::Authenticated;
use crate::error::ApiError;
use crate::state::ApiState;

/// Tells in which store secrets are, and how far a move there has come: the same on every replica.
#[utoipa::path(get, path = "/api/v1/secretsManager/migration", operation_id = "getSecretsMigration", tag = "health",
    responses((status = 200, description = "Where secrets go, and what is moved, left, and set aside with reasons", body = Object),
        (status = 401, body = crate::openapi::ErrorBody), (status = 403, body = crate::openapi::ErrorBody)))]
pub(crate) async fn get(State(state): State<ApiState>, caller: Authenticated) -> Result<Json<Value>, ApiError> {
    caller.admin()?;
    let Some(active) = state.shared().stores.active_store().await? else {
        return Ok(Json(json!({ "status": "none", "store": "db" })));
    };
    let progress: Value = active.progress.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let status = match (&active.moving_from, progress.get("finished")) {
        (None, _) => "done",
        (Some(_), None) => "moving",
        (Some(_), Some(_)) => "stopped",
    };
    let mut answer = json!({ "status": status, "store": active.place, "movingFrom": active.moving_from });
    if let (Value::Object(members), Value::Object(progress)) = (&mut answer, progress) {
        members.extend(progress);
    }
    Ok(Json(answer))
}
