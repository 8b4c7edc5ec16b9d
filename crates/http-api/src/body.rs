//! Bodies: bounded, of the right media type, and strict JSON.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use strongroom_domain::parse_json;

use crate::error::ApiError;
use crate::state::ApiState;

/// How much of a body that is too long is read past, in bytes, so that its sender comes to read the answer.
const LONGEST_READ_PAST: usize = 16 * 1024 * 1024;

/// For how long: a sender that stalls gets its answer then.
const TIME_TO_READ_PAST: Duration = Duration::from_secs(1);

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
    let bytes = collect(request.into_body(), state.shared().settings.max_body_bytes).await?;
    if bytes.is_empty() {
        return Err(ApiError::invalid("body", "is empty; JSON is needed"));
    }
    Ok(parse_json(&bytes)?)
}

fn has_media_type(headers: &HeaderMap, media_type: &str) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    given.and_then(|given| given.split(';').next()).is_some_and(|given| given.trim().eq_ignore_ascii_case(media_type))
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, ApiError> {
    match Limited::new(&mut body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            // A client that still sends would find the connection closed instead of the answer.
            let rest = async {
                let mut rest = Limited::new(body, LONGEST_READ_PAST);
                while let Some(Ok(_)) = rest.frame().await {}
            };
            let _ = tokio::time::timeout(TIME_TO_READ_PAST, rest).await;
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
