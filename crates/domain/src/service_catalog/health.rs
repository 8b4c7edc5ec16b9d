//! Which stored secrets cannot be read.

use uuid::Uuid;

use super::{CatalogError, ServiceCatalog};
use crate::caller::Admin;
use crate::service::Family;

/// How many services are looked at in one read.
const BATCH: usize = 200;

/// The state of the secrets manager and of what it keeps.
#[derive(Clone, Debug)]
pub struct SecretsHealth {
    /// The kind of the store.
    pub kind: &'static str,
    /// Why the store cannot be used; none: it can.
    pub fault: Option<String>,
    /// How many services were looked at.
    pub services: u64,
    /// Those whose connection cannot be read.
    pub unreadable: Vec<UnreadableService>,
}

/// A service whose connection cannot be read.
#[derive(Clone, Debug)]
pub struct UnreadableService {
    /// Its family.
    pub family: Family,
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The secret fields.
    pub paths: Vec<String>,
    /// Why, and what to do.
    pub reason: String,
}

impl ServiceCatalog {
    /// Checks the store, and every service's own rows.
    pub async fn secrets_health(&self, _proof: Admin<'_>) -> Result<SecretsHealth, CatalogError> {
        let active = self.active_store()?;
        let fault = active.check().await.into_iter().find_map(|step| step.outcome.err()).map(|error| error.to_string());
        let mut health = SecretsHealth { kind: active.kind(), fault, services: 0, unreadable: Vec::new() };
        let mut after = None;
        loop {
            let batch = self.services.scan(after, BATCH).await?;
            let Some(last) = batch.last() else { return Ok(health) };
            after = Some(last.row.id);
            health.services += batch.len() as u64;
            for stored in batch {
                let ready = self.make_ready(stored);
                if let Some((paths, reason)) = &ready.broken {
                    health.unreadable.push(UnreadableService {
                        family: ready.family,
                        id: ready.id,
                        name: ready.name.to_string(),
                        paths: paths.clone(),
                        reason: reason.clone(),
                    });
                }
            }
        }
    }
}
