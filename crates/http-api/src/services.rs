//! Services by family and id.

use axum::extract::{FromRequestParts, State};
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::Value;
use strongroom_domain::{
    DeleteOptions, EntityVersion, Family, ListRequest, PageRequest, ReadRequest, WriteAnswer, WriteRequest,
};

use crate::authentication::{Authenticated, RequestOrigin};
use crate::base_url::BaseUrl;
use crate::body::{JsonBody, PatchBody};
use crate::error::ApiError;
use crate::query::Parameters;
use crate::service_answers::{cursor, deleted_async, page, restored_async, service, versions, written};
use crate::state::ApiState;
use crate::target::{TargetFamily, TargetService, parsed_id};
use crate::to_the_end::to_the_end;

/// How many services a list has when the client does not say.
const DEFAULT_LIMIT: usize = 10;

/// What every write needs of its request.
#[derive(Clone, Debug)]
pub(crate) struct WriteContext {
    caller: Authenticated,
    origin: RequestOrigin,
    base_url: BaseUrl,
    if_match: Option<String>,
    validates_references: bool,
}

impl FromRequestParts<ApiState> for WriteContext {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let caller = Authenticated::from_request_parts(parts, state).await?;
        let Ok(origin) = RequestOrigin::from_request_parts(parts, state).await;
        let Ok(base_url) = BaseUrl::from_request_parts(parts, state).await;
        let if_match = parts.headers.get(IF_MATCH).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let parameters = Parameters::from_request_parts(parts, state).await?;
        let validates_references = parameters.flag_or("validate", true)?;
        Ok(Self { caller, origin, base_url, if_match, validates_references })
    }
}

impl WriteContext {
    fn request(&self, family: Family) -> WriteRequest<'_> {
        WriteRequest {
            caller: &self.caller.0,
            origin: &self.origin.0,
            family,
            if_match: self.if_match.clone(),
            validates_references: self.validates_references,
            base_url: &self.base_url.0,
        }
    }
}

/// Lists the services of a family, ordered by name.
#[utoipa::path(get, path = "/api/v1/services/{family}", operation_id = "listServices", tag = "services",
    params(("family" = String, Path, description = "Route of the family, such as databaseServices"),
        ("limit" = Option<u32>, Query, description = "0 to 1,000,000, default 10; a page holds 1,000 at most"),
        ("before" = Option<String>, Query, description = "Cursor of an earlier answer"),
        ("after" = Option<String>, Query, description = "Cursor of an earlier answer"),
        ("include" = Option<String>, Query, description = "all, deleted or non-deleted (default)"),
        ("fields" = Option<String>, Query, description = "Accepted; everything that is there is sent"),
        ("view" = Option<String>, Query, description = "masked (default for admins), hidden, references, plaintext")),
    responses((status = 200, description = "A page", body = Object), (status = 400, body = crate::openapi::ErrorBody),
        (status = 401, body = crate::openapi::ErrorBody), (status = 403, body = crate::openapi::ErrorBody)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Authenticated(caller): Authenticated,
    RequestOrigin(origin): RequestOrigin,
    BaseUrl(base_url): BaseUrl,
    TargetFamily(family): TargetFamily,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    parameters.check_fields()?;
    let limit = parameters.limit(DEFAULT_LIMIT)?;
    let page_request = PageRequest { cursor: cursor(&parameters)?, limit };
    let (include, view) = (parameters.include()?, parameters.view()?);
    let request = ListRequest { family, include, view, page: page_request };
    Ok(page(state.shared().catalog.list(&caller, &origin, &base_url, request).await?))
}

/// Creates a service.
#[utoipa::path(post, path = "/api/v1/services/{family}", operation_id = "createService", tag = "services",
    params(("family" = String, Path, description = "Route of the family"),
        ("validate" = Option<bool>, Query, description = "false: references to secrets elsewhere are not looked up")),
    request_body = Object,
    responses((status = 201, description = "Created; Location names it", body = Object),
        (status = 400, body = crate::openapi::ErrorBody), (status = 401, body = crate::openapi::ErrorBody),
        (status = 403, body = crate::openapi::ErrorBody),
        (status = 409, description = "A service of this name exists", body = crate::openapi::ErrorBody)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    TargetFamily(family): TargetFamily,
    context: WriteContext,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let base_url = context.base_url.clone();
    let answer =
        to_the_end(async move { state.shared().catalog.create(&context.request(family), &body).await }).await?;
    Ok(written(answer, family, &base_url))
}

/// Creates a service, or updates the one of this name.
#[utoipa::path(put, path = "/api/v1/services/{family}", operation_id = "createOrUpdateService", tag = "services",
    params(("family" = String, Path, description = "Route of the family"),
        ("validate" = Option<bool>, Query, description = "false: references to secrets elsewhere are not looked up")),
    request_body = Object,
    responses((status = 200, description = "Updated, or as it was", body = Object),
        (status = 201, description = "Created", body = Object), (status = 400, body = crate::openapi::ErrorBody),
        (status = 401, body = crate::openapi::ErrorBody), (status = 403, body = crate::openapi::ErrorBody),
        (status = 409, description = "Soft-deleted, for a worker", body = crate::openapi::ErrorBody),
        (status = 412, description = "If-Match names another version", body = crate::openapi::ErrorBody)))]
pub(crate) async fn put(
    State(state): State<ApiState>,
    TargetFamily(family): TargetFamily,
    context: WriteContext,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let base_url = context.base_url.clone();
    let answer = to_the_end(async move { state.shared().catalog.put(&context.request(family), &body).await }).await?;
    Ok(written(answer, family, &base_url))
}

/// Gets a service by id, or by name.
#[utoipa::path(get, path = "/api/v1/services/{family}/{id}", operation_id = "getService", tag = "services",
    params(("family" = String, Path, description = "Route of the family"),
        ("id" = String, Path, description = "UUID"), ("include" = Option<String>, Query),
        ("fields" = Option<String>, Query),
        ("view" = Option<String>, Query, description = "plaintext (default for admins), references, masked, hidden"),
        ("refresh" = Option<bool>, Query, description = "true: secrets are read from their store, not from memory")),
    responses((status = 200, description = "The service", body = Object),
        (status = 400, body = crate::openapi::ErrorBody), (status = 401, body = crate::openapi::ErrorBody),
        (status = 403, description = "The view shows more than one may see", body = crate::openapi::ErrorBody),
        (status = 404, body = crate::openapi::ErrorBody),
        (status = 424, description = "A stored secret cannot be read", body = crate::openapi::ErrorBody),
        (status = 503, description = "No audit, no answer", body = crate::openapi::ErrorBody)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    Authenticated(caller): Authenticated,
    RequestOrigin(origin): RequestOrigin,
    BaseUrl(base_url): BaseUrl,
    TargetService { family, key }: TargetService,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    parameters.check_fields()?;
    let (include, view) = (parameters.include()?, parameters.view()?);
    let request = ReadRequest { family, key, include, view, refresh: parameters.flag("refresh")? };
    Ok(service(state.shared().catalog.get(&caller, &origin, &base_url, request).await?))
}

/// Patches a service.
#[utoipa::path(patch, path = "/api/v1/services/{family}/{id}", operation_id = "patchService", tag = "services",
    params(("family" = String, Path, description = "Route of the family"), ("id" = String, Path, description = "UUID")),
    request_body(content = Object, content_type = "application/json-patch+json"),
    responses((status = 200, description = "Patched, or as it was", body = Object),
        (status = 400, body = crate::openapi::ErrorBody), (status = 401, body = crate::openapi::ErrorBody),
        (status = 403, body = crate::openapi::ErrorBody), (status = 404, body = crate::openapi::ErrorBody),
        (status = 412, body = crate::openapi::ErrorBody)))]
pub(crate) async fn patch(
    State(state): State<ApiState>,
    TargetService { family, key }: TargetService,
    context: WriteContext,
    PatchBody(body): PatchBody,
) -> Result<Response, ApiError> {
    let base_url = context.base_url.clone();
    let answer =
        to_the_end(async move { state.shared().catalog.patch(&context.request(family), &key, &body).await }).await?;
    Ok(written(answer, family, &base_url))
}

/// Deletes a service: marks it, or with `hardDelete=true` removes it with its secrets.
#[utoipa::path(delete, path = "/api/v1/services/{family}/{id}", operation_id = "deleteService", tag = "services",
    params(("family" = String, Path, description = "Route of the family"), ("id" = String, Path, description = "UUID"),
        ("hardDelete" = Option<bool>, Query, description = "With its secrets and history; default false"),
        ("recursive" = Option<bool>, Query, description = "Accepted; a service has nothing below it here")),
    responses((status = 200, description = "The service as it was", body = Object),
        (status = 400, body = crate::openapi::ErrorBody), (status = 401, body = crate::openapi::ErrorBody),
        (status = 403, body = crate::openapi::ErrorBody), (status = 404, body = crate::openapi::ErrorBody)))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    TargetService { family, key }: TargetService,
    context: WriteContext,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let base_url = context.base_url.clone();
    let answer = delete_service(state, context, TargetService { family, key }, &parameters).await?;
    Ok(written(answer, family, &base_url))
}

/// Deletes a service like its plain form, and answers as for a job.
#[utoipa::path(delete, path = "/api/v1/services/{family}/async/{id}", operation_id = "deleteServiceAsync", tag = "services",
    params(("family" = String, Path, description = "Route of the family"), ("id" = String, Path, description = "UUID"),
        ("hardDelete" = Option<bool>, Query), ("recursive" = Option<bool>, Query)),
    responses((status = 202, description = "Done", body = Object), (status = 401, body = crate::openapi::ErrorBody),
        (status = 403, body = crate::openapi::ErrorBody), (status = 404, body = crate::openapi::ErrorBody)))]
pub(crate) async fn delete_async(
    State(state): State<ApiState>,
    target: TargetService,
    context: WriteContext,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let answer = delete_service(state, context, target, &parameters).await?;
    Ok(deleted_async(&answer, parameters.flag("hardDelete")?, parameters.flag("recursive")?))
}

async fn delete_service(
    state: ApiState,
    context: WriteContext,
    TargetService { family, key }: TargetService,
    parameters: &Parameters,
) -> Result<WriteAnswer, ApiError> {
    parameters.flag("recursive")?;
    let options = DeleteOptions { hard: parameters.flag("hardDelete")? };
    to_the_end(async move { state.shared().catalog.delete(&context.request(family), &key, options).await }).await
}

/// Brings a soft-deleted service back.
#[utoipa::path(put, path = "/api/v1/services/{family}/restore", operation_id = "restoreService", tag = "services",
    params(("family" = String, Path, description = "Route of the family"),
        ("async" = Option<bool>, Query, description = "Answer as for a job")), request_body = Object,
    responses((status = 200, description = "Restored", body = Object),
        (status = 202, description = "Restored; the answer is that of a job", body = Object),
        (status = 400, description = "It is not deleted", body = crate::openapi::ErrorBody),
        (status = 401, body = crate::openapi::ErrorBody), (status = 403, body = crate::openapi::ErrorBody),
        (status = 404, body = crate::openapi::ErrorBody)))]
pub(crate) async fn restore(
    State(state): State<ApiState>,
    TargetFamily(family): TargetFamily,
    context: WriteContext,
    parameters: Parameters,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let as_job = parameters.flag("async")?;
    let id = body.get("id").and_then(Value::as_str).ok_or_else(|| ApiError::invalid("id", "is required: a UUID"))?;
    let id = parsed_id(id)?;
    let base_url = context.base_url.clone();
    let answer = to_the_end(async move { state.shared().catalog.restore(&context.request(family), id).await }).await?;
    Ok(if as_job { restored_async(&answer) } else { written(answer, family, &base_url) })
}

/// Lists the versions of a service, newest first, never with a secret.
#[utoipa::path(get, path = "/api/v1/services/{family}/{id}/versions", operation_id = "listServiceVersions", tag = "services",
    params(("family" = String, Path, description = "Route of the family"), ("id" = String, Path, description = "UUID"),
        ("view" = Option<String>, Query, description = "hidden; any other shows an admin masks")),
    responses((status = 200, description = "Each version as a JSON text", body = Object),
        (status = 400, body = crate::openapi::ErrorBody), (status = 401, body = crate::openapi::ErrorBody),
        (status = 403, body = crate::openapi::ErrorBody), (status = 404, body = crate::openapi::ErrorBody)))]
pub(crate) async fn list_versions(
    State(state): State<ApiState>,
    Authenticated(caller): Authenticated,
    BaseUrl(base_url): BaseUrl,
    target: TargetService,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let view = parameters.view()?;
    let answer = state.shared().catalog.versions(&caller, &base_url, target.family, target.id()?, view).await?;
    Ok(versions(&answer, target.family))
}

/// Gets one version of a service.
#[utoipa::path(get, path = "/api/v1/services/{family}/{id}/versions/{version}", operation_id = "getServiceVersion", tag = "services",
    params(("family" = String, Path, description = "Route of the family"), ("id" = String, Path, description = "UUID"),
        ("version" = String, Path, description = "Such as 0.1"),
        ("view" = Option<String>, Query, description = "hidden; any other shows an admin masks")),
    responses((status = 200, description = "The service as it was, masked or hidden", body = Object),
        (status = 400, body = crate::openapi::ErrorBody), (status = 401, body = crate::openapi::ErrorBody),
        (status = 404, body = crate::openapi::ErrorBody)))]
pub(crate) async fn get_version(
    State(state): State<ApiState>,
    Authenticated(caller): Authenticated,
    BaseUrl(base_url): BaseUrl,
    target: TargetService,
    uri: axum::http::Uri,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let last = uri.path().rsplit('/').next().unwrap_or_default();
    let version = EntityVersion::parse(last);
    let version = version.ok_or_else(|| ApiError::invalid("version", "must be a version such as 0.1"))?;
    let subject = (target.family, target.id()?);
    Ok(service(state.shared().catalog.version(&caller, &base_url, subject, version, parameters.view()?).await?))
}

/// Stores the result of a test connection; secrets in its messages are masked.
#[utoipa::path(put, path = "/api/v1/services/{family}/{id}/testConnectionResult", operation_id = "putTestConnectionResult", tag = "services",
    params(("family" = String, Path, description = "Route of the family"), ("id" = String, Path, description = "UUID")),
    request_body = Object,
    responses((status = 200, description = "Stored", body = Object), (status = 400, body = crate::openapi::ErrorBody),
        (status = 401, body = crate::openapi::ErrorBody), (status = 403, body = crate::openapi::ErrorBody),
        (status = 404, body = crate::openapi::ErrorBody)))]
pub(crate) async fn put_test_result(
    State(state): State<ApiState>,
    target: TargetService,
    context: WriteContext,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let (family, id) = (target.family, target.id()?);
    let base_url = context.base_url.clone();
    let write = async move { state.shared().catalog.put_test_result(&context.request(family), id, body).await };
    Ok(written(to_the_end(write).await?, family, &base_url))
}
