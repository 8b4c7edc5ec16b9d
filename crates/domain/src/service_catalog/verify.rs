//! What stores have, compared with what documents name: changed, missing, left over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::loaded::{LoadedService, sign_row};
use super::opened::{is_writing, named_version};
use super::{CatalogError, ServiceCatalog};
use crate::audit::{AuditAction, Origin};
use crate::json_pointer::shown;
use crate::secret::{NamedSecret, OwnerKind, SecretId, SecretVersion};
use crate::secret_intents::{Intent, IntentChanges, IntentError, IntentState};
use crate::secret_names::normal_name;
use crate::secret_swap::KeptSecret;
use crate::secrets_manager::{SecretsErrorKind, SecretsManager};
use crate::service::Family;
use crate::service_store::{NameChanges, ServiceWrite, ServiceWriteError};

/// How many services are looked at in one read.
const BATCH: usize = 200;

/// For how long the name of a left-over secret is kept from everyone else while it is deleted.
const REMOVAL: Duration = Duration::from_mins(2);

/// What is not as documents say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    /// Secrets that were looked at.
    pub secrets: u64,
    /// What was found, in the order of the services.
    pub differences: Vec<Difference>,
    /// Names of secrets of this cluster in the store that no document names.
    pub left_over: Vec<String>,
}

/// One secret that is not as its document says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The family of its service.
    pub family: Family,
    /// The service.
    pub service: String,
    /// The field.
    pub path: String,
    /// The name in the store.
    pub name: String,
    /// What is the matter.
    pub state: DifferenceState,
    /// Whether it was repaired.
    pub repaired: bool,
}

/// What is the matter with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DifferenceState {
    /// The store has another version now than the document names: somebody else changed it, or an older database was
    /// restored. What the store has is what is served; a repair notes it in the document.
    Changed,
    /// The store has none of this name: a repair brings it back where the store still has it in its bin; else an admin
    /// sends the connection again.
    Missing,
    /// The store does not let us read it.
    Unreadable,
    /// It is not in the active store yet.
    NotMoved,
}

impl ServiceCatalog {
    /// Compares every secret in stores outside of the database with the document that names it; repairs what can be where
    /// `repairs` says who does so.
    pub async fn verify_secrets(&self, repairs: Option<(&str, &Origin)>) -> Result<VerifyReport, CatalogError> {
        let mut report = VerifyReport::default();
        let mut after = None;
        loop {
            let page = self.services.scan(after, BATCH).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.row.id);
            for stored in page {
                // Rows that are not believed are what the health check tells of.
                if let Ok(loaded) = LoadedService::from_row(stored, &*self.signer) {
                    self.verify_one(&loaded, repairs, &mut report).await?;
                }
            }
        }
        if let Ok(active) = self.stores.active()
            && active.sealer().is_none()
        {
            report.left_over = self.left_over(&active).await?;
        }
        Ok(report)
    }

    async fn verify_one(
        &self,
        loaded: &LoadedService,
        repairs: Option<(&str, &Origin)>,
        report: &mut VerifyReport,
    ) -> Result<(), CatalogError> {
        let outside: BTreeSet<usize> =
            loaded.index.kept.iter().enumerate().filter(|(_, kept)| kept.store.is_some()).map(|(at, _)| at).collect();
        report.secrets += loaded.index.kept.len() as u64;
        let active = self.active_store()?;
        let wanted = active.sealer().is_none().then(|| active.place());
        for kept in loaded.index.kept.iter().filter(|kept| kept.store.as_deref() != wanted) {
            report.differences.push(difference(loaded, kept, DifferenceState::NotMoved));
        }
        let mut newer = BTreeMap::new();
        let intents = self.intents.intents_of((OwnerKind::Service, loaded.row.id)).await?;
        for (at, found) in self.read_some(loaded, &outside).await? {
            let Some(kept) = loaded.index.kept.get(at) else { continue };
            let is_underway = intents.iter().any(|intent| is_writing(intent, kept));
            let state = match found {
                Ok(found) if found.is_current || is_underway => continue,
                Ok(_) => DifferenceState::Changed,
                Err(error) if error.is_retryable() => return Err(error.into()),
                Err(error) if error.kind != SecretsErrorKind::NotFound => DifferenceState::Unreadable,
                Err(_) => DifferenceState::Missing,
            };
            let mut difference = difference(loaded, kept, state);
            match self.current_version(loaded, kept, repairs.is_some()).await? {
                Some(version) if state != DifferenceState::Unreadable => {
                    difference.state = DifferenceState::Changed;
                    newer.insert(at, (version, report.differences.len()));
                }
                _ => {}
            }
            report.differences.push(difference);
        }
        let Some(actor) = repairs.filter(|_| !newer.is_empty()) else { return Ok(()) };
        if self.adopt(loaded, &newer, actor).await? {
            for (_, position) in newer.values() {
                if let Some(difference) = report.differences.get_mut(*position) {
                    difference.repaired = true;
                }
            }
        }
        Ok(())
    }

    /// The version that the store has now; brought back from its bin where it is to be repaired.
    async fn current_version(
        &self,
        loaded: &LoadedService,
        kept: &KeptSecret,
        is_repaired: bool,
    ) -> Result<Option<SecretVersion>, CatalogError> {
        let Some(store) = kept.store.as_deref().and_then(|place| self.stores.at(place)) else { return Ok(None) };
        let secret = named_version(loaded.row.id, kept).secret;
        let mut current = store.get_current(&secret).await;
        if is_repaired && current.as_ref().is_err_and(|error| error.kind == SecretsErrorKind::NotFound) {
            store.bring_back(&secret).await?;
            current = store.get_current(&secret).await;
        }
        match current {
            Ok((version, _)) => Ok(Some(version)),
            Err(error) if error.is_retryable() => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    /// Notes in a document what the store has; says no where the service was changed meanwhile.
    async fn adopt(
        &self,
        loaded: &LoadedService,
        newer: &BTreeMap<usize, (SecretVersion, usize)>,
        actor: (&str, &Origin),
    ) -> Result<bool, CatalogError> {
        let mut row = loaded.row.clone();
        let mut index = loaded.index.clone();
        let mut paths = Vec::new();
        for (at, (version, _)) in newer {
            if let Some(kept) = index.kept.get_mut(*at) {
                kept.version = version.clone();
                paths.push(kept.pointer.clone());
            }
        }
        row.revision = row.revision.wrapping_add(1);
        row.secrets = serde_json::to_string(&index).unwrap_or_default();
        row.mac = sign_row(&*self.signer, &row);
        let subject = (row.family, row.id, loaded.name().into());
        let audit = self.audit_entry(actor, AuditAction::AdoptSecrets, subject, paths.into());
        let write = ServiceWrite {
            row,
            expected_revision: Some(loaded.row.revision),
            sealed: Vec::new(),
            superseded: Vec::new(),
            names: NameChanges::default(),
            intents: IntentChanges::default(),
            history: None,
            audit,
        };
        match self.services.write(write).await {
            Ok(()) => Ok(true),
            Err(ServiceWriteError::Store(error)) => Err(error.into()),
            Err(_) => Ok(false),
        }
    }

    /// Names of this cluster's secrets in a store that neither a document nor an intent has. Asked in this order, so that
    /// a secret that is just being put is never among them: its intent came first.
    async fn left_over(&self, store: &Arc<dyn SecretsManager>) -> Result<Vec<String>, CatalogError> {
        let (mut left_over, mut from) = (Vec::new(), None);
        loop {
            let mut page = store.list(from.as_deref()).await?;
            // Another installation may have the same cluster name under another prefix.
            page.names.retain(|name| name.starts_with(&self.names.root()));
            let normal_names: Vec<_> = page.names.iter().map(|name| normal_name(name)).collect();
            let unknown: BTreeSet<String> = self.intents.unknown_names(&normal_names).await?.into_iter().collect();
            left_over.extend(page.names.into_iter().filter(|name| unknown.contains(&normal_name(name))));
            from = page.next;
            if from.is_none() {
                return Ok(left_over);
            }
        }
    }

    /// Removes what this cluster left in the active store: what [`ServiceCatalog::sweep`] knows of, and what is there without
    /// anybody knowing. Gives the names; with `is_dry_run` nothing is removed.
    pub async fn collect_garbage(&self, is_dry_run: bool) -> Result<Vec<String>, CatalogError> {
        let mut removed = if is_dry_run { Vec::new() } else { self.sweep_all().await? };
        let active = self.active_store()?;
        if active.sealer().is_some() {
            return Ok(removed);
        }
        for name in self.left_over(&active).await? {
            if is_dry_run || self.remove_left_over(&active, &name).await? {
                removed.push(name);
            }
        }
        Ok(removed)
    }

    async fn sweep_all(&self) -> Result<Vec<String>, CatalogError> {
        let mut removed = Vec::new();
        loop {
            let report = self.sweep().await?;
            if report.removed.is_empty() {
                return Ok(removed);
            }
            removed.extend(report.removed.into_iter().map(|secret| secret.name));
        }
    }

    /// Its name is taken first, so that nobody gets it meanwhile.
    async fn remove_left_over(&self, store: &Arc<dyn SecretsManager>, name: &str) -> Result<bool, CatalogError> {
        let id = SecretId { owner_kind: OwnerKind::Probe, owner_id: Uuid::new_v4(), path: "/left-over".to_owned() };
        let secret = NamedSecret { id, name: name.to_owned() };
        let (token, place) = (Uuid::new_v4(), store.place().to_owned());
        let intent = Intent { token, place, secret, state: IntentState::Removing };
        match self.intents.intend(std::slice::from_ref(&intent), REMOVAL).await {
            Ok(()) => {}
            Err(IntentError::NameTaken(_)) => return Ok(false),
            Err(IntentError::Store(error)) => return Err(error.into()),
        }
        let deleted = store.delete(&intent.secret).await;
        self.intents.forget_intents(&[token]).await?;
        deleted?;
        Ok(true)
    }
}

fn difference(loaded: &LoadedService, kept: &KeptSecret, state: DifferenceState) -> Difference {
    Difference {
        family: loaded.row.family,
        service: loaded.name().to_owned(),
        path: format!("connection.{}", shown(&kept.pointer)),
        name: kept.name.clone(),
        state,
        repaired: false,
    }
}
