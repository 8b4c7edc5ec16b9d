//! The same operations by name, for the documentation: the handlers of [`crate::services`] read both forms.

use axum::extract::State;
use axum::response::Response;

use crate::authentication::{Authenticated, RequestOrigin};
use crate::base_url::BaseUrl;
use crate::body::PatchBody;
use crate::error::ApiError;
use crate::query::Parameters;
use crate::services::{self, WriteContext};
use crate::state::ApiState;
use crate::target::TargetService;

/// Gets a service by its name or its fully qualified name.
#[utoipa::path(get, path = "/api/v1/services/{family}/name/{*fqn}", operation_id = "getServiceByName", tag = "services",
    params(("family" = String, Path, description = "Route of the family"),
        ("fqn" = String, Path, description = "Name or fully qualified name, percent-encoded; an exact fully qualified one wins"),
        ("include" = Option<String>, Query), ("fields" = Option<String>, Query), ("view" = Option<String>, Query)),
    responses((status = 200, description = "The service", body = Object),
        (status = 400, body = crate::openapi::ErrorBody), (status = 401, body = crate::openapi::ErrorBody),
        (status = 403, body = crate::openapi::ErrorBody), (status = 404, body = crate::openapi::ErrorBody),
        (status = 424, body = crate::openapi::ErrorBody), (status = 503, body = crate::openapi::ErrorBody)))]
pub(crate) async fn get(
    state: State<ApiState>,
    caller: Authenticated,
    origin: RequestOrigin,
    base_url: BaseUrl,
    target: TargetService,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    services::get(state, caller, origin, base_url, target, parameters).await
}

/// Patches a service by name.
#[utoipa::path(patch, path = "/api/v1/services/{family}/name/{*fqn}", operation_id = "patchServiceByName", tag = "services",
    params(("family" = String, Path, description = "Route of the family"), ("fqn" = String, Path)),
    request_body(content = Object, content_type = "application/json-patch+json"),
    responses((status = 200, description = "Patched, or as it was", body = Object),
        (status = 400, body = crate::openapi::ErrorBody), (status = 401, body = crate::openapi::ErrorBody),
        (status = 403, body = crate::openapi::ErrorBody), (status = 404, body = crate::openapi::ErrorBody)))]
pub(crate) async fn patch(
    state: State<ApiState>,
    target: TargetService,
    context: WriteContext,
    body: PatchBody,
) -> Result<Response, ApiError> {
    services::patch(state, target, context, body).await
}

/// Deletes a service by name.
#[utoipa::path(delete, path = "/api/v1/services/{family}/name/{*fqn}", operation_id = "deleteServiceByName", tag = "services",
    params(("family" = String, Path, description = "Route of the family"), ("fqn" = String, Path),
        ("hardDelete" = Option<bool>, Query), ("recursive" = Option<bool>, Query)),
    responses((status = 200, description = "The service as it was", body = Object),
        (status = 401, body = crate::openapi::ErrorBody), (status = 403, body = crate::openapi::ErrorBody),
        (status = 404, body = crate::openapi::ErrorBody)))]
pub(crate) async fn delete(
    state: State<ApiState>,
    target: TargetService,
    context: WriteContext,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    services::delete(state, target, context, parameters).await
}

/// Deletes a service by name, and answers as for a job.
#[utoipa::path(delete, path = "/api/v1/services/{family}/async/name/{*fqn}", operation_id = "deleteServiceByNameAsync", tag = "services",
    params(("family" = String, Path, description = "Route of the family"), ("fqn" = String, Path),
        ("hardDelete" = Option<bool>, Query), ("recursive" = Option<bool>, Query)),
    responses((status = 202, description = "Done", body = Object), (status = 401, body = crate::openapi::ErrorBody),
        (status = 403, body = crate::openapi::ErrorBody), (status = 404, body = crate::openapi::ErrorBody)))]
pub(crate) async fn delete_async(
    state: State<ApiState>,
    target: TargetService,
    context: WriteContext,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    services::delete_async(state, target, context, parameters).await
}
