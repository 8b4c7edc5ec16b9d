//! All routes.

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::ApiError;
use crate::state::ApiState;
use crate::{
    audit, catalog_stubs, connection_types, health, middleware, openapi, secrets_migration, services, services_by_name,
    tokens,
};

/// Every route with its documentation.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(openapi::get))
        .routes(routes!(catalog_stubs::version))
        .routes(routes!(catalog_stubs::logged_in_user))
        .routes(routes!(catalog_stubs::bulk))
        .routes(routes!(catalog_stubs::delete_stale))
        .routes(routes!(connection_types::list))
        .routes(routes!(connection_types::list_family))
        .routes(routes!(connection_types::get))
        .routes(routes!(connection_types::test_connection_definition))
        .routes(routes!(services::list, services::create, services::put))
        .routes(routes!(services::get, services::patch, services::delete))
        .routes(routes!(services::delete_async))
        .routes(routes!(services::restore))
        .routes(routes!(services::list_versions))
        .routes(routes!(services::get_version))
        .routes(routes!(services::put_test_result))
        .routes(routes!(services_by_name::get, services_by_name::patch, services_by_name::delete))
        .routes(routes!(services_by_name::delete_async))
        .routes(routes!(audit::list))
        .routes(routes!(tokens::list))
        .routes(routes!(tokens::revoke))
        .routes(routes!(health::secrets_manager))
        .routes(routes!(secrets_migration::get))
}

/// The whole API, with everything around it.
#[derive(Clone)]
pub struct Api {
    state: ApiState,
    router: Router,
}

impl Api {
    /// The API over this state.
    pub fn new(state: ApiState) -> Self {
        let (router, _) = routes().split_for_parts();
        let router = router.fallback(nothing_here).method_not_allowed_fallback(wrong_method).with_state(state.clone());
        Self { state, router }
    }

    /// Answers a request; whatever goes wrong is an answer too.
    pub async fn answer(&self, request: Request) -> Response {
        middleware::around(&self.state, self.router.clone(), request).await
    }
}

async fn nothing_here() -> ApiError {
    ApiError::not_found("there is nothing here")
}

/// Clients take a 404 to a GET for "does not exist", and anything else for a fault.
async fn wrong_method(method: Method) -> ApiError {
    if method == Method::GET || method == Method::HEAD {
        return ApiError::not_found("there is nothing here");
    }
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "methodNotAllowed", "this path does not take this method")
}
