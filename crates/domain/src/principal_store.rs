//! Where users, bots and tokens are kept.

use async_trait::async_trait;
use thiserror::Error;
use uuid::Uuid;

use crate::access_tokens::TokenHash;
use crate::audit::AuditEntry;
use crate::caller::Principal;
use crate::row_signer::{KeyId, RowMac};
use crate::store_error::StoreError;

/// A user or bot with the MAC of its row.
#[derive(Clone, Debug)]
pub struct PrincipalRow {
    /// The user or bot.
    pub principal: Principal,
    /// The MAC over id, kind, name, role and `disabled`.
    pub mac: RowMac,
}

/// A token as the database keeps it: never the token itself.
#[derive(Clone, Debug)]
pub struct TokenRow {
    /// Its id, by which it is listed and revoked.
    pub id: Uuid,
    /// SHA-256 of the token.
    pub hash: TokenHash,
    /// Whose it is.
    pub principal_id: Uuid,
    /// Whether it was made for the first admin at the first start.
    pub first_admin: bool,
    /// When it was made, in milliseconds since the epoch.
    pub created_at: i64,
    /// When it ends; none: never.
    pub expires_at: Option<i64>,
    /// When it was last used, to about a minute; not part of the MAC.
    pub last_used_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
    /// The MAC over all but the last use.
    pub mac: RowMac,
}

/// Why a user, bot or token was not written.
#[derive(Debug, Error)]
pub enum PrincipalWriteError {
    /// The name belongs to another user or bot.
    #[error("a user or bot of this name exists")]
    NameTaken,
    /// The row is gone, or changed since it was read.
    #[error("it does not exist, or was changed at the same time")]
    Conflict,
    /// The database could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where users, bots and tokens are kept. Each write commits with its audit entry.
#[async_trait]
pub trait PrincipalStore: Send + Sync {
    /// Adds a user or bot.
    async fn insert_principal(&self, row: PrincipalRow, audit: AuditEntry) -> Result<(), PrincipalWriteError>;

    /// Replaces a user or bot whose MAC is still `expected`.
    async fn update_principal(
        &self,
        row: PrincipalRow,
        expected: RowMac,
        audit: Option<AuditEntry>,
    ) -> Result<(), PrincipalWriteError>;

    /// All users and bots, by name.
    async fn principals(&self) -> Result<Vec<PrincipalRow>, StoreError>;

    /// Adds a token.
    async fn insert_token(&self, row: TokenRow, audit: AuditEntry) -> Result<(), PrincipalWriteError>;

    /// Replaces a token whose MAC is still `expected`.
    async fn update_token(
        &self,
        row: TokenRow,
        expected: RowMac,
        audit: Option<AuditEntry>,
    ) -> Result<(), PrincipalWriteError>;

    /// All tokens with their owners, newest first.
    async fn tokens(&self) -> Result<Vec<(TokenRow, PrincipalRow)>, StoreError>;

    /// A token and its owner.
    async fn find_token(&self, hash: &TokenHash) -> Result<Option<(TokenRow, PrincipalRow)>, StoreError>;

    /// Notes a use; lost on a power cut, which is fine.
    async fn touch_token(&self, id: Uuid, at: i64) -> Result<(), StoreError>;

    /// Up to `limit` users, bots and tokens whose MAC was made with this key, for rotation.
    async fn signed_with(&self, key_id: &KeyId, limit: usize)
    -> Result<(Vec<PrincipalRow>, Vec<TokenRow>), StoreError>;
}
