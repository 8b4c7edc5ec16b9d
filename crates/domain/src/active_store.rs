//! Which store secrets go into: a fact in the database, not in the configuration of one of several replicas.

use async_trait::async_trait;

use crate::store_error::StoreError;

/// Where secrets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveStore {
    /// [`SecretsManager::place`](crate::SecretsManager::place) of the store that new secrets go into.
    pub place: String,
    /// The place from which the others are moved, until all are.
    pub moving_from: Option<String>,
    /// What whoever moves them tells of it, as JSON.
    pub progress: Option<String>,
}

/// Keeps that fact.
#[async_trait]
pub trait ActiveStoreRecord: Send + Sync {
    /// What is noted; nothing was ever noted where secrets never left the encrypted database.
    async fn active_store(&self) -> Result<Option<ActiveStore>, StoreError>;

    /// From `from` (none: nothing was ever noted) to another place; `moving_from` is noted beside it, without progress.
    /// Says whether `from` still was what is noted; else nothing is changed. The other replicas see it among the changes.
    async fn activate(&self, from: Option<&str>, to: &str, moving_from: &str) -> Result<bool, StoreError>;

    /// Replaces the progress.
    async fn tell_progress(&self, progress: &str) -> Result<(), StoreError>;

    /// Notes that all secrets have been moved; the progress stays.
    async fn end_move(&self) -> Result<(), StoreError>;

    /// Removes what deleted rows leave in files, as far as that is in our hands: free pages and logs of the embedded
    /// database. A database server keeps them until its own clean-up, and in back-ups.
    async fn erase_remains(&self) -> Result<(), StoreError>;
}
