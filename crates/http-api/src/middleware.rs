//! Around every request: its id, its deadline, who asks, a net for panics, and one log line.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tower::ServiceExt;
use uuid::Uuid;

use crate::authentication::authenticate;
use crate::error::ApiError;
use crate::state::ApiState;

/// The header that carries a request's id, in and out.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken over from a client.
const LONGEST_ID: usize = 64;

/// The id of a request: in the log, in error bodies, in the audit.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// The outermost layer: a function around the router instead of a layer in it, which would box each request twice.
pub(crate) async fn around(state: &ApiState, router: Router, mut request: Request) -> Response {
    let started = Instant::now();
    let id = request_id(&request);
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let handled = async {
        match authenticate(state, &mut request).await {
            Ok(()) => router.oneshot(request).await.into_response(),
            Err(error) => error.into_response(),
        }
    };
    let handled = AssertUnwindSafe(handled).catch_unwind();
    let outcome = tokio::time::timeout(state.shared().settings.request_timeout, handled).await;
    let mut response = match outcome {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => {
            let message = "something went wrong here; the log has the details under this request id";
            answer(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message), &id)
        }
        Err(_elapsed) => answer(ApiError::unavailable("the request took too long; try again"), &id),
    };
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        response = answer(error, &id);
    }
    finish(&mut response, &id);
    tracing::debug!(http.method = %method, http.path = %uri.path(), http.status = response.status().as_u16(),
        duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX), request.id = %id, "answered");
    response
}

fn answer(error: ApiError, id: &str) -> Response {
    let status = error.status.as_u16();
    if error.status.is_server_error() {
        let cause = error.cause.as_deref().unwrap_or_default();
        tracing::error!(http.status = status, request.id = %id, cause, "{}", error.message);
    }
    error.into_answer(id)
}

fn finish(response: &mut Response, id: &str) {
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
}

/// The client's own id, where it is one that cannot disturb a log; else a new one.
fn request_id(request: &Request) -> Arc<str> {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let is_plain = |id: &&str| {
        (1..=LONGEST_ID).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    match given.filter(is_plain) {
        Some(id) => id.into(),
        None => Uuid::new_v4().simple().to_string().into(),
    }
}
