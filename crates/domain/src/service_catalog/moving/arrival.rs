//! The second half of a move: what was put is read back and compared, and the document notes where its secrets are.

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::super::loaded::{sign_row, stored_secret};
use super::super::placed::planned_deletion;
use super::super::{CatalogError, ServiceCatalog};
use super::{Departing, MoveOrder, SetAside, Travelling, aside, explained};
use crate::audit::AuditAction;
use crate::json_pointer::replace;
use crate::secret::{NamedVersion, SecretId, SecretReference, StoredSecret};
use crate::secret_intents::{IntentChanges, PlannedDeletion};
use crate::secret_names::normal_name;
use crate::secret_swap::KeptSecret;
use crate::secrets_manager::SealedSecret;
use crate::service_store::{NameChanges, ServiceWrite, ServiceWriteError};

impl ServiceCatalog {
    /// Reads back what was put, compares, and notes the new place; says how many secrets now lie there.
    pub(super) async fn arrive(
        &self,
        order: MoveOrder<'_>,
        underway: Vec<Departing>,
    ) -> Result<(u64, Vec<SetAside>), CatalogError> {
        let mut refused = Vec::new();
        let mut moved = 0;
        let mut underway = underway;
        if order.target.sealer().is_none() {
            self.compare(order, &mut underway, &mut refused).await?;
        }
        for service in underway {
            moved += self.note_arrival(order, service).await?;
        }
        Ok((moved, refused))
    }

    async fn compare(
        &self,
        order: MoveOrder<'_>,
        underway: &mut [Departing],
        refused: &mut Vec<SetAside>,
    ) -> Result<(), CatalogError> {
        let arrived =
            |it: &Travelling| Some(NamedVersion { secret: it.intent.secret.clone(), version: it.arrived.clone()? });
        let all: Vec<_> = underway.iter().flat_map(|it| it.secrets.iter().filter_map(arrived)).collect();
        let mut read = order.target.get_many(&all).await.into_iter();
        for service in underway {
            for travelling in service.secrets.iter_mut().filter(|it| it.arrived.is_some()) {
                let fault = match read.next() {
                    Some(Ok(found)) if found.value.is_same_as(&travelling.value) => {
                        // An admin is just writing another value there; the service is met again.
                        if !found.is_current {
                            travelling.arrived = None;
                        }
                        continue;
                    }
                    Some(Ok(_)) | None => "what was read back is not what was put".to_owned(),
                    Some(Err(error)) if error.is_retryable() => return Err(error.into()),
                    Some(Err(error)) => explained(error),
                };
                travelling.arrived = None;
                refused.push(aside(&service.loaded, travelling.at, fault));
            }
        }
        Ok(())
    }

    async fn note_arrival(&self, order: MoveOrder<'_>, service: Departing) -> Result<u64, CatalogError> {
        let Departing { loaded, names, secrets } = service;
        let (place, sealer) = (order.target.place(), order.target.sealer());
        let mut row = loaded.row.clone();
        let (mut index, mut entity) = (loaded.index.clone(), loaded.entity.clone());
        let mut write = MovedParts::default();
        let mut paths = Vec::new();
        for travelling in &secrets {
            let Some(kept) = index.kept.get_mut(travelling.at) else { continue };
            let old = kept.clone();
            match (&sealer, &travelling.arrived) {
                (Some(sealer), _) => {
                    let id = SecretId::of_service(row.id, kept.pointer.clone());
                    let envelope = sealer.seal(&id, &travelling.value)?;
                    (kept.version, kept.store) = (envelope.secret.version.clone(), None);
                    write.sealed.push(envelope);
                }
                (None, Some(version)) => {
                    (kept.version, kept.store) = (version.clone(), Some(place.to_owned()));
                    kept.name.clone_from(&travelling.intent.secret.name);
                    write.ended.push(travelling.intent.token);
                    if kept.name != old.name {
                        let reference = SecretReference::to_name(kept.name.clone()).to_string();
                        if let Some(connection) = entity.get_mut("connection") {
                            replace(connection, &kept.pointer, reference.into());
                        }
                        write.released.push(normal_name(&old.name));
                    }
                }
                (None, None) => continue,
            }
            paths.push(kept.pointer.clone());
            write.leave_behind(row.id, &old, order.grace);
        }
        if paths.is_empty() {
            return Ok(0);
        }
        let count = paths.len() as u64;
        row.revision = row.revision.wrapping_add(1);
        row.document = Value::Object(entity).to_string();
        row.secrets = serde_json::to_string(&index).unwrap_or_default();
        row.mac = sign_row(&*self.signer, &row);
        let (family, id) = (row.family, row.id);
        let subject = (family, id, loaded.name().into());
        let audit = self.audit_entry(order.actor, AuditAction::MoveSecrets, subject, paths.into());
        let written = self
            .services
            .write(ServiceWrite {
                row,
                expected_revision: Some(loaded.row.revision),
                sealed: write.sealed,
                superseded: write.superseded,
                names: NameChanges { claimed: names.claimed, released: write.released, typed: None },
                intents: IntentChanges { ended: write.ended, committed: Vec::new(), deletions: write.deletions },
                history: None,
                audit,
            })
            .await;
        match written {
            Ok(()) => Ok(count),
            Err(ServiceWriteError::Store(error)) => Err(error.into()),
            // An admin changed it meanwhile: his values win, and the service is met again.
            Err(_) => {
                self.withdraw_moved(&secrets).await;
                Ok(0)
            }
        }
    }
}

/// What the write of a moved service carries.
#[derive(Default)]
struct MovedParts {
    sealed: Vec<SealedSecret>,
    superseded: Vec<StoredSecret>,
    released: Vec<String>,
    ended: Vec<Uuid>,
    deletions: Vec<PlannedDeletion>,
}

impl MovedParts {
    /// The old copy: erased at once from our own database, after the time of grace from another store.
    fn leave_behind(&mut self, owner: Uuid, old: &KeptSecret, grace: Duration) {
        match planned_deletion(owner, old) {
            Some(deletion) => self.deletions.push(PlannedDeletion { grace, ..deletion }),
            None => self.superseded.push(stored_secret(owner, old)),
        }
    }
}
