//! Bodies: bounded, of the right media type, and strict JSON.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use strongroom_domain::parse_json;

use crate::error::ApiError;
use crate::state::ApiState;

/// The body of a request as JSON (`application/json`).
#[derive(Debug)]
pub(crate) struct JsonBody(pub(crate) Value);

/// The body of a request as a JSON Patch (`application/json-patch+json`).
#[derive(Debug)]
pub(crate) struct PatchBody(pub(crate) Value);

impl FromRequest<ApiState> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        read(request, state, "application/json").await.map(Self)
    }
}

impl FromRequest<ApiState> for PatchBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        read(request, state, "application/json-patch+json").await.map(Self)
    }
}

async fn read(request: Request, state: &ApiState, media_type: &'static str) -> Result<Value, ApiError> {
    if !has_media_type(request.headers(), media_type) {
        let message = format!("the body must be sent with the header `Content-Type: {media_type}`");
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupportedMediaType", message));
    }
    let bytes = collect(request.into_body(), state.settings.max_body_bytes).await?;
    if bytes.is_empty() {
        return Err(ApiError::invalid("body", "is empty; JSON is needed"));
    }
    Ok(parse_json(&bytes)?)
}

fn has_media_type(headers: &HeaderMap, media_type: &str) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    given.and_then(|given| given.split(';').next()).is_some_and(|given| given.trim().eq_ignore_ascii_case(media_type))
}

async fn collect(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("the body is longer than {limit} bytes (server.maxBodyBytes)");
            Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "tooLarge", message))
        }
        Err(_) => Err(ApiError::invalid("body", "ended before it was whole")),
    }
}

/// Reads a body past without keeping any of it.
pub(crate) async fn read_past(mut body: Body) -> Result<(), ApiError> {
    while let Some(frame) = body.frame().await {
        frame.map_err(|_| ApiError::invalid("body", "ended before it was whole"))?;
    }
    Ok(())
}
