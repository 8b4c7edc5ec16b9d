//! The base of `href`: configured, or as the request says where the server is.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::HOST;
use axum::http::request::Parts;

use crate::state::{ApiState, PeerAddress};

/// Scheme and authority, without a slash at the end.
#[derive(Clone, Debug)]
pub(crate) struct BaseUrl(pub(crate) String);

impl FromRequestParts<ApiState> for BaseUrl {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Infallible> {
        if let Some(url) = &state.shared().settings.public_url {
            return Ok(Self(url.clone()));
        }
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let is_authority = |text: &&str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte))
        };
        let host = header(HOST.as_str()).filter(is_authority).unwrap_or("localhost");
        let peer = parts.extensions.get::<PeerAddress>();
        let is_trusted = peer.is_some_and(|peer| state.shared().settings.trusts(peer.0.ip()));
        let is_https = is_trusted && header("x-forwarded-proto") == Some("https");
        let scheme = if is_https { "https" } else { "http" };
        Ok(Self([scheme, "://", host].concat()))
    }
}
