//! An open database of any engine, by what it does.

use std::sync::Arc;

use async_trait::async_trait;
use strongroom_domain::{
    AuditLog, ChangeFeed, CiphertextStore, KeyUsageStore, PrincipalStore, ServiceStore, StoreError,
};

use crate::{ServerDatabase, SqliteDatabase};

/// Whether a database answers.
#[async_trait]
pub trait DatabaseHealth: Send + Sync {
    /// Fails unless it can be read.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Fails unless it can be written. Changes nothing.
    async fn check_writable(&self) -> Result<(), StoreError>;
}

/// An open database. Clones share it.
#[derive(Clone)]
pub struct Database {
    /// Services.
    pub services: Arc<dyn ServiceStore>,
    /// Users, bots and tokens.
    pub principals: Arc<dyn PrincipalStore>,
    /// Envelopes of secrets.
    pub ciphertexts: Arc<dyn CiphertextStore>,
    /// The audit.
    pub audit: Arc<dyn AuditLog>,
    /// Which keys the rows need.
    pub keys: Arc<dyn KeyUsageStore>,
    /// What others change.
    pub changes: Arc<dyn ChangeFeed>,
    /// Whether it answers.
    pub health: Arc<dyn DatabaseHealth>,
}

impl Database {
    fn of<T>(engine: Arc<T>) -> Self
    where
        T: ServiceStore + PrincipalStore + CiphertextStore + AuditLog + KeyUsageStore + ChangeFeed + DatabaseHealth,
        T: 'static,
    {
        Self {
            services: engine.clone(),
            principals: engine.clone(),
            ciphertexts: engine.clone(),
            audit: engine.clone(),
            keys: engine.clone(),
            changes: engine.clone(),
            health: engine,
        }
    }
}

impl From<SqliteDatabase> for Database {
    fn from(database: SqliteDatabase) -> Self {
        Self::of(Arc::new(database))
    }
}

impl From<ServerDatabase> for Database {
    fn from(database: ServerDatabase) -> Self {
        Self::of(Arc::new(database))
    }
}
