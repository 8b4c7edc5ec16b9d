//! What a client asks of the whole catalog and Strongroom is not: enough for a workflow to end well.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use serde_json::{Value, json};

use crate::authentication::Authenticated;
use crate::body::read_past;
use crate::error::ApiError;
use crate::state::ApiState;

/// Answers the version handshake.
#[utoipa::path(get, path = "/api/v1/system/version", operation_id = "getVersion", tag = "system",
    responses((status = 200, description = "The version that clients compare with their own", body = Object),
        (status = 401, body = crate::openapi::ErrorBody)))]
pub(crate) async fn version(State(state): State<ApiState>) -> Json<Value> {
    Json(json!({
        "version": state.shared().settings.catalog_version,
        "revision": concat!("strongroom-", env!("CARGO_PKG_VERSION")),
        "timestamp": state.shared().settings.started_at,
    }))
}

/// Says who the caller is.
#[utoipa::path(get, path = "/api/v1/users/loggedInUser", operation_id = "getLoggedInUser", tag = "system",
    responses((status = 200, description = "The caller", body = Object), (status = 401, body = crate::openapi::ErrorBody)))]
pub(crate) async fn logged_in_user(Authenticated(caller): Authenticated) -> Json<Value> {
    Json(json!({
        "id": caller.principal_id(),
        "name": caller.name(),
        "fullyQualifiedName": strongroom_domain::fully_qualified_name(caller.name()),
        "email": format!("{}@strongroom.invalid", caller.principal_id().simple()),
        "isAdmin": caller.admin().is_some(),
        "isBot": caller.kind() == strongroom_domain::PrincipalKind::Bot,
    }))
}

/// Takes the catalog's own entities and keeps nothing of them: the body is read past.
#[utoipa::path(put, path = "/api/v1/{collection}/bulk", operation_id = "putBulk", tag = "catalog stubs",
    params(("collection" = String, Path, description = "Such as tables")),
    responses((status = 200, description = "As if it had been done", body = Object),
        (status = 401, body = crate::openapi::ErrorBody)))]
pub(crate) async fn bulk(body: Body) -> Result<Json<Value>, ApiError> {
    read_past(body).await?;
    Ok(success())
}

/// Deletes nothing, since the catalog's own entities are not kept here.
#[utoipa::path(delete, path = "/api/v1/{collection}/deleteStale", operation_id = "deleteStale", tag = "catalog stubs",
    params(("collection" = String, Path, description = "Such as tables")),
    responses((status = 200, description = "As if it had been done", body = Object),
        (status = 401, body = crate::openapi::ErrorBody)))]
pub(crate) async fn delete_stale(body: Body) -> Result<Json<Value>, ApiError> {
    read_past(body).await?;
    Ok(success())
}

fn success() -> Json<Value> {
    Json(json!({
        "dryRun": false,
        "status": "success",
        "numberOfRowsProcessed": 0,
        "numberOfRowsPassed": 0,
        "numberOfRowsFailed": 0,
        "successRequest": [],
        "failedRequest": [],
    }))
}
