//! Moving secrets from the store they are in to another: each once, and none lost, wherever it stops.
//!
//! A secret is created there under an intent, read back and compared; then one transaction of its service notes the new
//! place and erases what our own database had. Whoever goes on after a crash finds the intent, and takes for done only
//! what was put under it. A service that an admin changes meanwhile is read again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join};
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::connection::{Names, Owner};
use super::loaded::{LoadedService, UnbelievedRow, sign_row, stored_secret};
use super::placed::planned_deletion;
use super::{CatalogError, ServiceCatalog};
use crate::audit::{AuditAction, Origin};
use crate::json_pointer::{replace, shown};
use crate::secret::{NamedSecret, NamedVersion, OwnerKind, SecretId, SecretReference, SecretValue, SecretVersion};
use crate::secret_intents::{Intent, IntentChanges, IntentError, IntentState};
use crate::secret_names::normal_name;
use crate::secret_swap::KeptSecret;
use crate::secrets_manager::{PutMode, SealedSecret, SecretPut, SecretsError, SecretsErrorKind, SecretsManager};
use crate::service::Family;
use crate::service_store::{NameChanges, ServiceWrite, ServiceWriteError, StoredService};

/// How many services are moved together: few, so that a slow store keeps none of them waiting for long.
const PAGE: usize = 25;

/// How many secrets are on their way at once: the pace of the store decides how fast they go.
const IN_FLIGHT: usize = 64;

/// How long the intents of a move are nobody else's: a store that takes three secrets a second is slow.
const INTENDED_FOR: Duration = Duration::from_hours(1);

/// How many secrets that could not be moved are named.
const NAMED: usize = 1_000;

/// So many secrets refused for the same reason in a row, and none moved: the rest would be refused too.
const HOPELESS: usize = 50;

/// How far a move has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MoveProgress {
    /// Secrets that had to be moved when it began.
    pub total: u64,
    /// Secrets that lie in the new store now.
    pub moved: u64,
    /// Secrets that could not be moved; the next try looks at them again.
    pub set_aside: u64,
    /// The first of them, with reasons.
    pub reasons: Vec<SetAside>,
    /// Whether it stopped since the store refuses everything for the same reason.
    pub gave_up: bool,
}

/// A secret that could not be moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetAside {
    /// The family of its service.
    pub family: Family,
    /// The service.
    pub service: String,
    /// The id of the service.
    pub service_id: Uuid,
    /// The field.
    pub path: String,
    /// Why, and what to do.
    pub reason: String,
}

impl SetAside {
    /// A service whose row is not believed: none of its secrets is moved.
    pub(super) fn of_unbelieved((row, reason): UnbelievedRow) -> Self {
        Self {
            family: row.family,
            service: row.fqn,
            service_id: row.id,
            path: "connection".to_owned(),
            reason: format!("{reason}; an admin can repair it by sending the whole service again (PUT)"),
        }
    }
}

/// Secrets of one service on their way.
struct Departing {
    loaded: LoadedService,
    names: Names,
    secrets: Vec<Travelling>,
}

struct Travelling {
    /// Its number in the index.
    at: usize,
    value: SecretValue,
    intent: Intent,
    is_repeated: bool,
    /// Where it came to.
    arrived: Option<SecretVersion>,
}

/// How a move goes.
#[derive(Clone, Copy)]
pub struct MoveOrder<'a> {
    /// Where to: one of the stores of the catalog.
    pub target: &'a Arc<dyn SecretsManager>,
    /// How long workers may still need the old copies in another store.
    pub grace: Duration,
    /// Who moves, for the audit.
    pub actor: (&'a str, &'a Origin),
}

impl ServiceCatalog {
    /// How many secrets are not at this place.
    pub async fn count_elsewhere(&self, target: &Arc<dyn SecretsManager>) -> Result<u64, CatalogError> {
        let (mut after, mut count) = (None, 0);
        loop {
            let page = self.services.scan(after, 500).await?;
            let Some(last) = page.last() else { return Ok(count) };
            after = Some(last.row.id);
            for stored in page {
                if let Ok(loaded) = LoadedService::from_row(stored, &*self.signer) {
                    count += to_move(&loaded, target).len() as u64;
                }
            }
        }
    }

    /// Moves every secret that is elsewhere, once; `told` hears of the progress. Run again until nothing was moved, since
    /// services are written meanwhile.
    pub async fn move_secrets(
        &self,
        order: MoveOrder<'_>,
        progress: &mut MoveProgress,
        mut told: impl FnMut(&MoveProgress),
    ) -> Result<u64, CatalogError> {
        let moved_before = progress.moved;
        let mut after = None;
        let mut underway: Vec<Departing> = Vec::new();
        loop {
            let page = self.services.scan(after, PAGE).await?;
            let is_last = page.last().is_none();
            after = page.last().map(|stored| stored.row.id);
            let departing = self.depart(order, page, progress).await?;
            let (put, arrived) = join(self.put_page(order, departing), self.arrive(order, underway)).await;
            let (moved, refused) = arrived?;
            progress.moved += moved;
            set_aside(progress, refused);
            let (departed, refused) = put?;
            set_aside(progress, refused);
            told(progress);
            underway = departed;
            if progress.moved == 0 && is_hopeless(progress) {
                self.give_up(&underway).await;
                progress.gave_up = true;
                return Ok(0);
            }
            if is_last {
                let (moved, refused) = self.arrive(order, underway).await?;
                progress.moved += moved;
                set_aside(progress, refused);
                told(progress);
                return Ok(progress.moved - moved_before);
            }
        }
    }

    /// Reads the secrets of a page of services, and notes the intents.
    async fn depart(
        &self,
        order: MoveOrder<'_>,
        page: Vec<StoredService>,
        progress: &mut MoveProgress,
    ) -> Result<Vec<Departing>, CatalogError> {
        let mut departing = Vec::new();
        for stored in page {
            let loaded = match LoadedService::from_row(stored, &*self.signer) {
                Ok(loaded) => loaded,
                Err(refused) => {
                    set_aside(progress, vec![SetAside::of_unbelieved(*refused)]);
                    continue;
                }
            };
            let wanted = to_move(&loaded, order.target);
            if wanted.is_empty() {
                continue;
            }
            let (service, refused) = self.depart_one(order, loaded, &wanted).await?;
            set_aside(progress, refused);
            departing.extend(service.filter(|service| !service.secrets.is_empty()));
        }
        Ok(departing)
    }

    async fn depart_one(
        &self,
        order: MoveOrder<'_>,
        loaded: LoadedService,
        wanted: &BTreeSet<usize>,
    ) -> Result<(Option<Departing>, Vec<SetAside>), CatalogError> {
        let mut refused = Vec::new();
        let (mut values, mut names) = (Vec::new(), Names::default());
        for (at, found) in self.read_some(&loaded, wanted).await? {
            let fault = match found {
                Ok(found) => match refusal(order.target, &found.value) {
                    None => {
                        values.push((at, found.value));
                        continue;
                    }
                    Some(reason) => reason,
                },
                Err(error) if error.is_retryable() => return Err(error.into()),
                Err(error) => error.detail.unwrap_or_else(|| error.kind.to_string()),
            };
            refused.push(aside(&loaded, at, fault));
        }
        let mut service = Departing { secrets: Vec::new(), names: Names::default(), loaded };
        let earlier = match order.target.sealer() {
            Some(_) => Vec::new(),
            None => self.intents.intents_of((OwnerKind::Service, service.loaded.row.id)).await?,
        };
        for (at, value) in values {
            let Some(kept) = service.loaded.index.kept.get(at) else { continue };
            names.keep(&kept.pointer, &kept.name);
            let travelling = match earlier.iter().find(|intent| is_of(intent, kept, order.target)) {
                Some(intent) => {
                    if intent.secret.name != kept.name {
                        names.claim(&kept.pointer, &intent.secret.name);
                    }
                    Travelling { at, value, intent: intent.clone(), is_repeated: true, arrived: None }
                }
                None => Travelling {
                    at,
                    value,
                    intent: new_intent(order, &service.loaded, kept),
                    is_repeated: false,
                    arrived: None,
                },
            };
            service.secrets.push(travelling);
        }
        service.names = names;
        if order.target.sealer().is_none() {
            let intents: Vec<_> =
                service.secrets.iter().filter(|it| !it.is_repeated).map(|it| it.intent.clone()).collect();
            match self.intents.intend(&intents, INTENDED_FOR).await {
                Ok(()) => {}
                Err(IntentError::Store(error)) => return Err(error.into()),
                // Whoever is writing this very service comes first; it is met again.
                Err(IntentError::NameTaken(_)) => return Ok((None, refused)),
            }
        }
        Ok((Some(service), refused))
    }

    /// Puts the secrets of a page.
    async fn put_page(
        &self,
        order: MoveOrder<'_>,
        departing: Vec<Departing>,
    ) -> Result<(Vec<Departing>, Vec<SetAside>), CatalogError> {
        if order.target.sealer().is_some() {
            return Ok((departing, Vec::new()));
        }
        let mut refused = Vec::new();
        let mut departing = departing;
        let all: Vec<(usize, usize)> = departing
            .iter()
            .enumerate()
            .flat_map(|(service, it)| (0..it.secrets.len()).map(move |secret| (service, secret)))
            .collect();
        let services = &departing;
        let puts: Vec<BoxFuture<'_, _>> = all
            .into_iter()
            .map(|(service, secret)| {
                let put = self.put_moved(order, services, service, secret);
                put.map(move |outcome| (service, secret, outcome)).boxed()
            })
            .collect();
        let outcomes: Vec<_> = stream::iter(puts).buffer_unordered(IN_FLIGHT).collect().await;
        let mut failed = None;
        for (service, secret, outcome) in outcomes {
            let Some(it) = departing.get_mut(service) else { continue };
            match outcome {
                Ok(Put { intent, version, claimed }) => {
                    if let Some(name) = claimed {
                        it.names.claim(&intent.secret.id.path, &name);
                    }
                    if let Some(travelling) = it.secrets.get_mut(secret) {
                        travelling.intent = intent;
                        travelling.arrived = Some(version);
                    }
                }
                Err(CatalogError::Secrets(error)) if !error.is_retryable() => {
                    let at = it.secrets.get(secret).map_or(0, |travelling| travelling.at);
                    refused.push(aside(&it.loaded, at, explained(error)));
                }
                // Whoever is writing this very service comes first; it is met again.
                Err(CatalogError::Raced) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok((departing, refused)),
        }
    }

    /// Puts one secret; where somebody else's secret has its name, under the next one.
    async fn put_moved(
        &self,
        order: MoveOrder<'_>,
        services: &[Departing],
        service: usize,
        secret: usize,
    ) -> Result<Put, CatalogError> {
        let found = services.get(service).and_then(|it| Some((it, it.secrets.get(secret)?)));
        let (service, travelling) = found.ok_or(CatalogError::Raced)?;
        let (mut intent, mut is_repeated) = (travelling.intent.clone(), travelling.is_repeated);
        let mut names = service.names.clone();
        let pointer = intent.secret.id.path.clone();
        let mut claimed = None;
        loop {
            let put = SecretPut {
                secret: &intent.secret,
                label: service.loaded.name(),
                value: &travelling.value,
                token: intent.token,
                mode: PutMode::Move,
                is_repeated,
            };
            match order.target.put(put).await {
                Ok(version) => return Ok(Put { intent, version, claimed }),
                Err(error) if error.kind == SecretsErrorKind::NameTaken => {}
                Err(error) => return Err(error.into()),
            }
            let loaded = &service.loaded;
            let owner = Owner {
                id: loaded.row.id,
                family: loaded.row.family,
                name: loaded.name(),
                service_type: loaded.service_type(),
            };
            self.intents.forget_intents(&[intent.token]).await?;
            self.rename(owner, &pointer, &mut names).await?;
            let name = names.of(&pointer);
            intent = Intent {
                token: Uuid::new_v4(),
                secret: NamedSecret { id: intent.secret.id.clone(), name: name.clone() },
                ..intent
            };
            is_repeated = false;
            claimed = Some(name);
            match self.intents.intend(std::slice::from_ref(&intent), INTENDED_FOR).await {
                Ok(()) => {}
                Err(IntentError::NameTaken(_)) => return Err(CatalogError::Raced),
                Err(IntentError::Store(error)) => return Err(error.into()),
            }
        }
    }

    /// Reads back what was put, compares, and notes the new place; says how many secrets now lie there.
    async fn arrive(
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
                    Some(Ok(found)) if found.value.is_same_as(&travelling.value) && found.is_current => continue,
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

    async fn withdraw_moved(&self, secrets: &[Travelling]) {
        for travelling in secrets.iter().filter(|it| it.arrived.is_some()) {
            self.take_back_one(&travelling.intent).await;
        }
    }

    async fn give_up(&self, underway: &[Departing]) {
        for service in underway {
            self.withdraw_moved(&service.secrets).await;
        }
    }
}

struct Put {
    intent: Intent,
    version: SecretVersion,
    claimed: Option<String>,
}

/// What the write of a moved service carries.
#[derive(Default)]
struct MovedParts {
    sealed: Vec<SealedSecret>,
    superseded: Vec<crate::secret::StoredSecret>,
    released: Vec<String>,
    ended: Vec<Uuid>,
    deletions: Vec<crate::secret_intents::PlannedDeletion>,
}

impl MovedParts {
    /// The old copy: erased at once from our own database, after the time of grace from another store.
    fn leave_behind(&mut self, owner: Uuid, old: &KeptSecret, grace: Duration) {
        match planned_deletion(owner, old) {
            Some(deletion) => self.deletions.push(crate::secret_intents::PlannedDeletion { grace, ..deletion }),
            None => self.superseded.push(stored_secret(owner, old)),
        }
    }
}

fn new_intent(order: MoveOrder<'_>, loaded: &LoadedService, kept: &KeptSecret) -> Intent {
    let id = SecretId::of_service(loaded.row.id, kept.pointer.clone());
    Intent {
        token: Uuid::new_v4(),
        place: order.target.place().to_owned(),
        secret: NamedSecret { id, name: kept.name.clone() },
        state: IntentState::Putting,
    }
}

/// The secrets of a service that are not where they should be, by their number.
pub(super) fn to_move(loaded: &LoadedService, target: &Arc<dyn SecretsManager>) -> BTreeSet<usize> {
    let place = target.sealer().is_none().then(|| target.place());
    let elsewhere = loaded.index.kept.iter().enumerate().filter(|(_, kept)| kept.store.as_deref() != place);
    elsewhere.map(|(at, _)| at).collect()
}

fn is_of(intent: &Intent, kept: &KeptSecret, target: &Arc<dyn SecretsManager>) -> bool {
    let is_same = intent.secret.id.path == kept.pointer && intent.place == target.place();
    is_same && intent.state == IntentState::Putting
}

pub(super) fn refusal(target: &Arc<dyn SecretsManager>, value: &SecretValue) -> Option<String> {
    let limit = target.limits().value_bytes;
    if value.len() > limit {
        return Some(format!("has {} bytes; {} holds at most {limit}", value.len(), target.kind()));
    }
    target.refusal(value).map(str::to_owned)
}

fn explained(error: SecretsError) -> String {
    match error.detail {
        Some(detail) => format!("{}: {detail}", error.kind),
        None => error.kind.to_string(),
    }
}

pub(super) fn aside(loaded: &LoadedService, at: usize, reason: String) -> SetAside {
    SetAside {
        family: loaded.row.family,
        service: loaded.name().to_owned(),
        service_id: loaded.row.id,
        path: format!("connection.{}", shown(&loaded.pointer(at))),
        reason,
    }
}

/// One that was set aside in an earlier round is not counted twice.
fn set_aside(progress: &mut MoveProgress, refused: Vec<SetAside>) {
    for aside in refused {
        let is_same = |it: &&mut SetAside| (it.service_id, &it.path) == (aside.service_id, &aside.path);
        if let Some(known) = progress.reasons.iter_mut().find(is_same) {
            known.reason = aside.reason;
            continue;
        }
        tracing::warn!(
            service.name = aside.service,
            secret.path = aside.path,
            reason = aside.reason,
            "a secret cannot be moved and stays where it is"
        );
        progress.set_aside += 1;
        if progress.reasons.len() < NAMED {
            progress.reasons.push(aside);
        }
    }
}

fn is_hopeless(progress: &MoveProgress) -> bool {
    let reasons: BTreeMap<&str, usize> = progress.reasons.iter().fold(BTreeMap::new(), |mut reasons, it| {
        *reasons.entry(it.reason.as_str()).or_default() += 1;
        reasons
    });
    reasons.values().any(|count| *count >= HOPELESS)
}
