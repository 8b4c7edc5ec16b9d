//! Tokens over the API, for admins: listed without what they are, and revoked.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde_json::{Value, json};
use strongroom_domain::ListedToken;

use crate::authentication::{Authenticated, RequestOrigin};
use crate::error::ApiError;
use crate::state::ApiState;
use crate::target::parsed_id;
use crate::to_the_end::to_the_end;

/// Lists tokens, newest first: whose they are and how long they are valid, never the token.
#[utoipa::path(get, path = "/api/v1/tokens", operation_id = "listTokens", tag = "tokens",
    responses((status = 200, description = "All tokens", body = Object), (status = 401, body = crate::openapi::ErrorBody),
        (status = 403, body = crate::openapi::ErrorBody)))]
pub(crate) async fn list(State(state): State<ApiState>, caller: Authenticated) -> Result<Json<Value>, ApiError> {
    caller.admin()?;
    let tokens = state.shared().tokens.tokens().await?;
    let data: Vec<_> = tokens
        .into_iter()
        .map(|ListedToken { token, owner, fault }| {
            json!({
                "id": token.id,
                "owner": owner.name,
                "kind": owner.kind,
                "role": owner.role,
                "createdAt": token.created_at,
                "expiresAt": token.expires_at,
                "lastUsedAt": token.last_used_at,
                "revokedAt": token.revoked_at,
                "fault": fault.map(|fault| fault.to_string()),
            })
        })
        .collect();
    Ok(Json(json!({ "data": data })))
}

/// Revokes a token: it is refused from the next request on.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", operation_id = "revokeToken", tag = "tokens",
    params(("id" = String, Path, description = "Id of the token")),
    responses((status = 204, description = "Revoked"), (status = 401, body = crate::openapi::ErrorBody),
        (status = 403, body = crate::openapi::ErrorBody), (status = 404, body = crate::openapi::ErrorBody)))]
pub(crate) async fn revoke(
    State(state): State<ApiState>,
    caller: Authenticated,
    RequestOrigin(origin): RequestOrigin,
    uri: Uri,
) -> Result<StatusCode, ApiError> {
    caller.admin()?;
    let id = parsed_id(uri.path().rsplit('/').next().unwrap_or_default())?;
    let admin = caller.0;
    to_the_end(async move { state.shared().tokens.revoke(id, (admin.name(), &origin)).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
