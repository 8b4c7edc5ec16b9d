//! Moving secrets from the store they are in to another: each once, and none lost, wherever it stops.
//!
//! A secret is created there under an intent, read back and compared; then one transaction of its service notes the new
//! place and erases what our own database had. Whoever goes on after a crash finds the intent, and takes for done only
//! what was put under it. A service that an admin changes meanwhile is read again.

mod arrival;
mod departure;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::connection::Names;
use super::loaded::{LoadedService, UnbelievedRow};
use super::{CatalogError, ServiceCatalog};
use crate::audit::Origin;
use crate::json_pointer::shown;
use crate::secret::{SecretValue, SecretVersion};
use crate::secret_intents::Intent;
use crate::secrets_manager::{SecretsError, SecretsManager};
use crate::service::Family;

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

impl Departing {
    /// Whether none of its secrets got into the store.
    fn is_stranded(&self) -> bool {
        self.secrets.iter().all(|travelling| travelling.arrived.is_none())
    }
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
        // Each round looks at all that is left.
        (progress.set_aside, progress.reasons) = (0, Vec::new());
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
            if progress.moved == 0 && underway.iter().all(Departing::is_stranded) && is_hopeless(progress) {
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

    async fn withdraw_moved(&self, secrets: &[Travelling]) {
        for travelling in secrets.iter().filter(|it| it.arrived.is_some()) {
            self.take_back_one(&travelling.intent).await;
        }
    }
}

/// The secrets of a service that are not where they should be, by their number.
pub(super) fn to_move(loaded: &LoadedService, target: &Arc<dyn SecretsManager>) -> BTreeSet<usize> {
    let place = target.sealer().is_none().then(|| target.place());
    let elsewhere = loaded.index.kept.iter().enumerate().filter(|(_, kept)| kept.store.as_deref() != place);
    elsewhere.map(|(at, _)| at).collect()
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
        // The id of the request is another one each time.
        let reason = it.reason.split(", request id").next().unwrap_or_default();
        *reasons.entry(reason).or_default() += 1;
        reasons
    });
    reasons.values().any(|count| *count >= HOPELESS)
}
