//! Who got or changed what, when, and from where. No entry, no answer.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::service::Family;
use crate::store_error::StoreError;

/// Where a request came from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The client's address, as far as trusted proxies tell it; none for the command line.
    pub address: Option<IpAddr>,
    /// The id of the request, which the log and error bodies carry too.
    pub request_id: Arc<str>,
}

impl Origin {
    /// The client's address as an entry has it: empty for the command line.
    pub fn address_text(&self) -> String {
        self.address.map(|address| address.to_string()).unwrap_or_default()
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuditAction {
    /// Plaintext was read.
    Read,
    /// A service was created.
    Create,
    /// A service was changed.
    Update,
    /// A service was marked as deleted.
    SoftDelete,
    /// A service was deleted with its secrets.
    HardDelete,
    /// A soft-deleted service was brought back.
    Restore,
    /// A test-connection result was stored.
    TestResult,
    /// A user or bot was made.
    CreatePrincipal,
    /// A user was disabled.
    DisablePrincipal,
    /// A token was made.
    CreateToken,
    /// A token was revoked.
    RevokeToken,
    /// Secrets were moved to another store.
    MoveSecrets,
    /// What a store had of a service's secrets was noted as right.
    AdoptSecrets,
    /// A key was added to the ring and secrets were re-encrypted.
    RotateKeys,
}

impl AuditAction {
    const ALL: [Self; 14] = [
        Self::Read,
        Self::Create,
        Self::Update,
        Self::SoftDelete,
        Self::HardDelete,
        Self::Restore,
        Self::TestResult,
        Self::CreatePrincipal,
        Self::DisablePrincipal,
        Self::CreateToken,
        Self::RevokeToken,
        Self::MoveSecrets,
        Self::AdoptSecrets,
        Self::RotateKeys,
    ];

    /// The word for this action in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "create",
            Self::Update => "update",
            Self::SoftDelete => "softDelete",
            Self::HardDelete => "hardDelete",
            Self::Restore => "restore",
            Self::TestResult => "testResult",
            Self::CreatePrincipal => "createPrincipal",
            Self::DisablePrincipal => "disablePrincipal",
            Self::CreateToken => "createToken",
            Self::RevokeToken => "revokeToken",
            Self::MoveSecrets => "moveSecrets",
            Self::AdoptSecrets => "adoptSecrets",
            Self::RotateKeys => "rotateKeys",
        }
    }

    /// Reads an action as [`AuditAction::as_str`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

/// One line of the audit.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Where it stands in the log; the store numbers entries, so it is 0 before.
    pub sequence: i64,
    /// When, in milliseconds since the epoch.
    pub at: i64,
    /// Who: the name of a user or bot, or `command line`.
    pub actor: String,
    /// What was done.
    pub action: AuditAction,
    /// The family of the service, where it was about one.
    pub family: Option<Family>,
    /// The id of the service, user, bot or token.
    pub subject_id: Option<Uuid>,
    /// Its name.
    pub subject: Arc<str>,
    /// Which secret fields were read or written, as JSON Pointers into the connection.
    pub secret_paths: Arc<[String]>,
    /// The client's address.
    pub address: String,
    /// The id of the request.
    pub request_id: Arc<str>,
}

/// What to show of the audit: newest first.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Only this actor.
    pub actor: Option<String>,
    /// Only this service, by name or id.
    pub service: Option<String>,
    /// From this time on, in milliseconds since the epoch.
    pub since: Option<i64>,
    /// Before this time.
    pub until: Option<i64>,
    /// Only entries with a smaller sequence than this: the cursor of the next page.
    pub before_sequence: Option<i64>,
    /// How many at most.
    pub limit: usize,
}

/// A page of the audit.
#[derive(Clone, Debug)]
pub struct AuditPage {
    /// The entries, newest first.
    pub entries: Vec<AuditEntry>,
    /// The cursor of the next page, where there is one.
    pub next: Option<i64>,
}

/// The audit itself.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Keeps an entry; when it returns, the entry survives the end of the process.
    async fn record(&self, entry: AuditEntry) -> Result<(), StoreError>;

    /// Reads a page.
    async fn page(&self, query: AuditQuery) -> Result<AuditPage, StoreError>;
}
