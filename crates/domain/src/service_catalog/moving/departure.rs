//! The first half of a move: secrets are read where they are, and put where they shall be.

use std::collections::BTreeSet;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};
use uuid::Uuid;

use super::super::connection::{Names, Owner};
use super::super::loaded::LoadedService;
use super::super::{CatalogError, ServiceCatalog};
use super::{Departing, IN_FLIGHT, INTENDED_FOR, MoveOrder, MoveProgress, SetAside, Travelling, aside, explained};
use super::{refusal, set_aside, to_move};
use crate::secret::{NamedSecret, OwnerKind, SecretId, SecretVersion};
use crate::secret_intents::{Intent, IntentError, IntentState};
use crate::secret_swap::KeptSecret;
use crate::secrets_manager::{PutMode, SecretPut, SecretsErrorKind, SecretsManager};
use crate::service_store::StoredService;
use std::sync::Arc;

impl ServiceCatalog {
    /// Reads the secrets of a page of services, and notes the intents.
    pub(super) async fn depart(
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
    pub(super) async fn put_page(
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
                Err(CatalogError::Conflict(reason)) => {
                    let at = it.secrets.get(secret).map_or(0, |travelling| travelling.at);
                    refused.push(aside(&it.loaded, at, reason.to_owned()));
                }
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
}

struct Put {
    intent: Intent,
    version: SecretVersion,
    claimed: Option<String>,
}

fn new_intent(order: MoveOrder<'_>, loaded: &LoadedService, kept: &KeptSecret) -> Intent {
    let id = SecretId::of_service(loaded.row.id, kept.pointer.clone());
    Intent {
        token: Uuid::new_v4(),
        place: order.target.place().to_owned(),
        secret: NamedSecret { id, name: kept.name.clone() },
        state: IntentState::Moving,
    }
}

fn is_of(intent: &Intent, kept: &KeptSecret, target: &Arc<dyn SecretsManager>) -> bool {
    let is_same = intent.secret.id.path == kept.pointer && intent.place == target.place();
    is_same && intent.state == IntentState::Moving
}
