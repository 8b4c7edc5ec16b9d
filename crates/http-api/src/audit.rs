//! The audit, for admins.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use strongroom_domain::AuditQuery;

use crate::authentication::Authenticated;
use crate::error::ApiError;
use crate::query::Parameters;
use crate::state::ApiState;

/// How many entries a page has when the client does not say, and at most.
const DEFAULT_LIMIT: usize = 100;
const LARGEST_LIMIT: usize = 1000;

/// Lists who got or changed what, newest first.
#[utoipa::path(get, path = "/api/v1/audit", operation_id = "listAudit", tag = "audit",
    params(("actor" = Option<String>, Query, description = "Name of a user or bot"),
        ("service" = Option<String>, Query, description = "Name or id of a service"),
        ("since" = Option<i64>, Query, description = "From this time on, in milliseconds since the epoch"),
        ("until" = Option<i64>, Query, description = "Before this time"),
        ("after" = Option<i64>, Query, description = "Cursor of an earlier answer"),
        ("limit" = Option<u32>, Query, description = "1 to 1,000, default 100")),
    responses((status = 200, description = "A page", body = Object), (status = 400, body = crate::openapi::ErrorBody),
        (status = 401, body = crate::openapi::ErrorBody), (status = 403, body = crate::openapi::ErrorBody)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Authenticated,
    parameters: Parameters,
) -> Result<Json<Value>, ApiError> {
    caller.admin()?;
    let limit = parameters.limit(DEFAULT_LIMIT)?;
    if !(1..=LARGEST_LIMIT).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("must be a whole number from 1 to {LARGEST_LIMIT}")));
    }
    let query = AuditQuery {
        actor: parameters.get("actor").map(str::to_owned),
        service: parameters.get("service").map(str::to_owned),
        since: parameters.time("since")?,
        until: parameters.time("until")?,
        before_sequence: parameters.time("after")?,
        limit,
    };
    let page = state.shared().audit.page(query).await?;
    let paging = page.next.map_or_else(|| json!({}), |next| json!({ "after": next.to_string() }));
    Ok(Json(json!({ "data": page.entries, "paging": paging })))
}
