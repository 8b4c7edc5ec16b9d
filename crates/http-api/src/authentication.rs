//! Who asks: every path under `/api` needs a token, and all reasons to refuse one look the same.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use strongroom_domain::{AccessError, Admin, Caller, Origin};

use crate::error::ApiError;
use crate::middleware::RequestId;
use crate::state::{ApiSettings, ApiState, PeerAddress};

/// Who asks. Only there behind [`authenticate`].
#[derive(Clone, Debug)]
pub(crate) struct Authenticated(pub(crate) Arc<Caller>);

impl Authenticated {
    /// The proof that the caller is an admin, or 403.
    pub(crate) fn admin(&self) -> Result<Admin<'_>, ApiError> {
        self.0.admin().ok_or_else(|| ApiError::forbidden("only an admin may do this"))
    }
}

/// Verifies the token of a request under `/api` before anything else is looked at.
pub(crate) async fn authenticate(state: &ApiState, request: &mut Request) -> Result<(), ApiError> {
    if request.uri().path().starts_with("/api") {
        let token = bearer_token(request.headers()).ok_or(AccessError::Unauthenticated)?;
        let caller = state.shared().tokens.authenticate(token).await?;
        request.extensions_mut().insert(Authenticated(caller));
    }
    Ok(())
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

impl<S: Sync> FromRequestParts<S> for Authenticated {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| AccessError::Unauthenticated.into())
    }
}

/// Where a request came from.
#[derive(Clone, Debug)]
pub(crate) struct RequestOrigin(pub(crate) Origin);

impl FromRequestParts<ApiState> for RequestOrigin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Infallible> {
        let address = client_address(&parts.headers, &parts.extensions, &state.shared().settings);
        let request_id = parts.extensions.get::<RequestId>().map(|id| Arc::clone(&id.0)).unwrap_or_default();
        Ok(Self(Origin { address, request_id }))
    }
}

/// The nearest address that is no trusted proxy: what lies behind it could be invented.
fn client_address(headers: &HeaderMap, extensions: &Extensions, settings: &ApiSettings) -> Option<IpAddr> {
    let mut address = extensions.get::<PeerAddress>()?.0.ip().to_canonical();
    if !settings.trusts(address) {
        return Some(address);
    }
    let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<_> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
    for hop in hops.iter().rev() {
        if !settings.trusts(address) {
            break;
        }
        let Ok(next) = hop.parse::<IpAddr>() else { break };
        address = next.to_canonical();
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn address(peer: &str, forwarded: &str) -> String {
        let settings = ApiSettings {
            catalog_version: String::new(),
            max_body_bytes: 0,
            request_timeout: Duration::ZERO,
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            public_url: None,
            started_at: 0,
        };
        let mut extensions = Extensions::new();
        extensions.insert(PeerAddress(format!("{peer}:1").parse().unwrap()));
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", forwarded.parse().unwrap());
        client_address(&headers, &extensions, &settings).unwrap().to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed_about_the_client() {
        assert_eq!(address("192.0.2.1", "198.51.100.7"), "192.0.2.1");
        assert_eq!(address("10.0.0.1", "198.51.100.7"), "198.51.100.7");
        assert_eq!(address("10.0.0.1", "198.51.100.7, 203.0.113.9, 10.0.0.2"), "203.0.113.9");
        assert_eq!(address("10.0.0.1", "nonsense"), "10.0.0.1");
    }
}
