//! The schemas of connections, and the steps of test connections.

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::Uri;
use serde_json::{Value, json};
use strongroom_domain::{ConnectionTypeError, Family};

use crate::error::ApiError;
use crate::state::ApiState;
use crate::target::decoded;

/// Lists families with their service types.
#[utoipa::path(get, path = "/api/v1/connectionTypes", operation_id = "listConnectionTypes", tag = "connection types",
    responses((status = 200, description = "Service types by family", body = Object),
        (status = 401, body = crate::openapi::ErrorBody)))]
pub(crate) async fn list(State(state): State<ApiState>) -> Json<Value> {
    let families = Family::ALL.map(|family| family_value(&state, family));
    Json(json!({ "data": families }))
}

fn family_value(state: &ApiState, family: Family) -> Value {
    json!({ "family": family, "route": family.route(), "serviceTypes": state.shared().catalog.types().service_types(family) })
}

/// Lists the service types of a family.
#[utoipa::path(get, path = "/api/v1/connectionTypes/{family}", operation_id = "listConnectionTypesOfFamily", tag = "connection types",
    params(("family" = String, Path, description = "Such as database")),
    responses((status = 200, description = "Its service types", body = Object),
        (status = 401, body = crate::openapi::ErrorBody), (status = 404, body = crate::openapi::ErrorBody)))]
pub(crate) async fn list_family(State(state): State<ApiState>, uri: Uri) -> Result<Json<Value>, ApiError> {
    Ok(Json(family_value(&state, family_at(&uri)?.0)))
}

/// Gets the JSON Schema of a connection type; `"format": "password"` marks its secrets.
#[utoipa::path(get, path = "/api/v1/connectionTypes/{family}/{type}", operation_id = "getConnectionType", tag = "connection types",
    params(("family" = String, Path, description = "Such as database"), ("type" = String, Path, description = "Such as Mysql")),
    responses((status = 200, description = "JSON Schema", body = Object),
        (status = 401, body = crate::openapi::ErrorBody), (status = 404, body = crate::openapi::ErrorBody)))]
pub(crate) async fn get(State(state): State<ApiState>, uri: Uri) -> Result<Json<Value>, ApiError> {
    let (family, name) = family_at(&uri)?;
    match state.shared().catalog.types().find(family, &name) {
        Ok(connection_type) => Ok(Json(connection_type.schema().clone())),
        Err(ConnectionTypeError::WithoutConnection) => {
            Err(ApiError::not_found("services of this type have no connection"))
        }
        Err(error) => Err(ApiError::not_found(format!("the service type {error}"))),
    }
}

fn family_at(uri: &Uri) -> Result<(Family, String), ApiError> {
    let rest = uri.path().strip_prefix("/api/v1/connectionTypes/").unwrap_or_default();
    let (family, name) = rest.split_once('/').unwrap_or((rest, ""));
    let found = Family::parse(family).or_else(|| Family::of_route(family));
    let families = Family::ALL.map(Family::as_str).join(", ");
    let found = found.ok_or_else(|| ApiError::not_found(format!("there is no such family; there are: {families}")))?;
    Ok((found, decoded(name)?))
}

/// Gets the steps that a client runs when it tests a connection.
#[utoipa::path(get, path = "/api/v1/services/testConnectionDefinitions/name/{name}", operation_id = "getTestConnectionDefinition", tag = "connection types",
    params(("name" = String, Path, description = "Such as Mysql.testConnectionDefinition")),
    responses((status = 200, description = "The definition", body = Object),
        (status = 401, body = crate::openapi::ErrorBody), (status = 404, body = crate::openapi::ErrorBody)))]
pub(crate) async fn test_connection_definition(
    State(state): State<ApiState>,
    OriginalUri(uri): OriginalUri,
) -> Result<Json<Value>, ApiError> {
    let name = uri.path().strip_prefix("/api/v1/services/testConnectionDefinitions/name/").unwrap_or_default();
    let name = decoded(name.split_once("&include=").map_or(name, |(name, _)| name))?;
    let name = name.trim_matches('"');
    let types = state.shared().catalog.types();
    let is_type = |service_type: &str| {
        let exists = |family| !matches!(types.find(family, service_type), Err(ConnectionTypeError::Unknown { .. }));
        Family::ALL.into_iter().any(exists)
    };
    let definition = state.shared().definitions.find(name, is_type);
    definition.map(Json).ok_or_else(|| ApiError::not_found("there is no test-connection definition of this name"))
}
