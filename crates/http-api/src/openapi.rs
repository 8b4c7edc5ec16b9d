//! The OpenAPI document, collected from the handlers.

use std::sync::OnceLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi, Paths, SecurityRequirement};
use utoipa::{OpenApi as _, ToSchema};

/// The name of the bearer scheme in the document.
const SCHEME: &str = "accessToken";

/// The body of every error.
#[derive(ToSchema)]
#[schema(as = Error)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct ErrorBody {
    /// The HTTP status.
    code: u16,
    /// What is wrong and what to do.
    message: String,
    /// The kind of error, such as `invalid` or `notFound`.
    #[schema(rename = "errorType")]
    error_type: String,
    /// The id of the request, which the log carries too.
    #[schema(rename = "requestId")]
    request_id: String,
    /// What is wrong, by path.
    faults: Option<Vec<FaultBody>>,
}

/// One fault of an input.
#[derive(ToSchema)]
#[schema(as = Fault)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct FaultBody {
    /// Where, such as `connection.config.authType.password`.
    path: String,
    /// What is wrong and what is allowed.
    message: String,
}

#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "Strongroom",
    license(name = "Apache-2.0"),
    description = "Keeps service connections: every secret swapped for a reference."
))]
struct Base;

/// What the document begins with.
pub(crate) fn base() -> OpenApi {
    let mut base = Base::openapi();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    base.components.get_or_insert_default().add_security_scheme(SCHEME, SecurityScheme::Http(bearer));
    base.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, [])]);
    base
}

/// The router's wildcards are plain parameters to a client.
pub(crate) fn with_plain_paths(mut document: OpenApi) -> OpenApi {
    let paths = std::mem::take(&mut document.paths);
    let renamed = paths.paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item));
    let mut paths = Paths::new();
    paths.paths = renamed.collect();
    document.paths = paths;
    document
}

/// The document as JSON.
pub(crate) fn document() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let (_, document) = crate::router::routes().split_for_parts();
        with_plain_paths(document).to_json().unwrap_or_default()
    })
}

/// Serves this document.
#[utoipa::path(get, path = "/api/v1/openapi.json", operation_id = "getOpenApi", tag = "system",
    responses((status = 200, description = "OpenAPI 3.1", body = Object), (status = 401, body = ErrorBody)))]
pub(crate) async fn get() -> Response {
    ([(CONTENT_TYPE, "application/json")], document()).into_response()
}
