//! MACs on rows that decide who gets what, so that whoever can write to the database but has no key is not believed.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Names a key of the ring; derived from the key itself, not secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    /// Wraps the id of a key.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Which table a MAC is for, so that a row of one is never valid in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// A service document with its index of secrets.
    Service,
    /// A user or bot with its role.
    Principal,
    /// A token.
    Token,
}

impl RowKind {
    /// The word for this kind in the MAC's input. Never changed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Principal => "principal",
            Self::Token => "token",
        }
    }
}

/// A MAC and the key that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowMac {
    /// The key.
    pub key_id: KeyId,
    /// HMAC-SHA-256, 32 bytes.
    pub tag: Vec<u8>,
}

/// Makes and checks MACs under keys derived from the ring.
pub trait RowSigner: Send + Sync {
    /// The MAC of a row's fields under the newest key. Fields are length-prefixed, so that no two lists collide.
    fn sign(&self, kind: RowKind, fields: &[&[u8]]) -> RowMac;

    /// Checks a MAC, in constant time.
    fn verify(&self, kind: RowKind, fields: &[&[u8]], mac: &RowMac) -> Result<(), SignatureError>;
}

/// Why a row is not believed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// The ring has no such key.
    #[error("the key ring has no key {0}; put it back to read this row")]
    UnknownKey(KeyId),
    /// The row was changed by someone who has no key.
    #[error("the row was changed outside Strongroom")]
    Mismatch,
}
