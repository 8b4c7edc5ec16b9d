//! What handlers share.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use strongroom_domain::{
    AccessTokens, ActiveStoreRecord, AuditLog, ServiceCatalog, SystemTimestamp, TestConnectionDefinitions,
};

use crate::health::Readiness;

/// What the API is told at its start.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// The version that the handshake answers: three parts, major and minor as the clients have them.
    pub catalog_version: String,
    /// The longest body, in bytes.
    pub max_body_bytes: usize,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The base of `href`; none: from the request.
    pub public_url: Option<String>,
    /// When the server started, in milliseconds since the epoch.
    pub started_at: SystemTimestamp,
}

/// What handlers share. Cloned for each request, so that it is one pointer.
#[derive(Clone)]
pub struct ApiState(Arc<Shared>);

/// See [`ApiState`].
pub(crate) struct Shared {
    pub(crate) catalog: Arc<ServiceCatalog>,
    pub(crate) tokens: Arc<AccessTokens>,
    pub(crate) audit: Arc<dyn AuditLog>,
    pub(crate) stores: Arc<dyn ActiveStoreRecord>,
    pub(crate) readiness: Arc<dyn Readiness>,
    pub(crate) definitions: TestConnectionDefinitions,
    pub(crate) settings: ApiSettings,
}

impl ApiState {
    /// The state over these parts.
    pub fn new(
        catalog: Arc<ServiceCatalog>,
        tokens: Arc<AccessTokens>,
        (audit, stores): (Arc<dyn AuditLog>, Arc<dyn ActiveStoreRecord>),
        readiness: Arc<dyn Readiness>,
        settings: ApiSettings,
    ) -> Self {
        let definitions = TestConnectionDefinitions::load();
        Self(Arc::new(Shared { catalog, tokens, audit, stores, readiness, definitions, settings }))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }
}

impl ApiSettings {
    /// Says whether what this address says of others is believed.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

/// The address of the other end of the connection; the accept loop puts it into each request.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub SocketAddr);
