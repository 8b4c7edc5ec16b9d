//! What a move to another store would do, without doing it.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};
use serde::Serialize;

use super::loaded::LoadedService;
use super::moving::{SetAside, aside, refusal, to_move};
use super::{CatalogError, ServiceCatalog};
use crate::secret::{NamedSecret, SecretId};
use crate::secrets_manager::{SecretsErrorKind, SecretsManager};

/// How many services are looked at in one read.
const BATCH: usize = 100;

/// How many names are looked up at once.
const AT_ONCE: usize = 32;

/// How many secrets are named of each list.
const NAMED: usize = 1_000;

/// What would be moved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MoveSurvey {
    /// Services that have secrets to move.
    pub services: u64,
    /// Secrets to move.
    pub secrets: u64,
    /// Secrets that are at their place already.
    pub at_their_place: u64,
    /// How many bytes they have in all.
    pub bytes: u64,
    /// The longest, in bytes.
    pub longest: u64,
    /// How many are longer than 4,096 bytes, which some stores hold at a price.
    pub large: u64,
    /// How many could not be moved.
    pub refused: u64,
    /// The first of them, with reasons.
    pub reasons: Vec<SetAside>,
    /// Names that the store has already, of somebody else or of an earlier try: those secrets would get another name.
    pub clashes: Vec<String>,
}

impl ServiceCatalog {
    /// Looks at every secret that would be moved: opens it, measures it, asks the store whether its name is free.
    pub async fn survey_move(&self, target: &Arc<dyn SecretsManager>) -> Result<MoveSurvey, CatalogError> {
        let (mut survey, mut after) = (MoveSurvey::default(), None);
        loop {
            let page = self.services.scan(after, BATCH).await?;
            let Some(last) = page.last() else { return Ok(survey) };
            after = Some(last.row.id);
            let mut names = Vec::new();
            for stored in page {
                match LoadedService::from_row(stored, &*self.signer) {
                    Ok(loaded) => names.extend(self.survey_one(&loaded, target, &mut survey).await?),
                    Err(refused) => survey.refuse(SetAside::of_unbelieved(*refused)),
                }
            }
            survey.clashes.extend(taken_names(target, names).await?);
            survey.clashes.truncate(NAMED);
        }
    }

    async fn survey_one(
        &self,
        loaded: &LoadedService,
        target: &Arc<dyn SecretsManager>,
        survey: &mut MoveSurvey,
    ) -> Result<Vec<NamedSecret>, CatalogError> {
        let wanted = to_move(loaded, target);
        survey.at_their_place += (loaded.index.kept.len() - wanted.len()) as u64;
        survey.services += u64::from(!wanted.is_empty());
        let mut names = Vec::new();
        for (at, found) in self.read_some(loaded, &wanted).await? {
            let value = match found {
                Ok(found) => found.value,
                Err(error) if error.is_retryable() => return Err(error.into()),
                Err(error) => {
                    survey.refuse(aside(loaded, at, error.detail.unwrap_or_else(|| error.kind.to_string())));
                    continue;
                }
            };
            let bytes = value.len() as u64;
            match (refusal(target, &value), loaded.index.kept.get(at)) {
                (Some(reason), _) => survey.refuse(aside(loaded, at, reason)),
                (None, Some(kept)) => {
                    survey.secrets += 1;
                    survey.bytes += bytes;
                    survey.longest = survey.longest.max(bytes);
                    survey.large += u64::from(bytes > 4_096);
                    let id = SecretId::of_service(loaded.row.id, kept.pointer.clone());
                    names.push(NamedSecret { id, name: kept.name.clone() });
                }
                (None, None) => {}
            }
        }
        Ok(names)
    }
}

impl MoveSurvey {
    fn refuse(&mut self, aside: SetAside) {
        self.refused += 1;
        if self.reasons.len() < NAMED {
            self.reasons.push(aside);
        }
    }
}

/// The names that a store has already.
async fn taken_names(target: &Arc<dyn SecretsManager>, names: Vec<NamedSecret>) -> Result<Vec<String>, CatalogError> {
    if target.sealer().is_some() {
        return Ok(Vec::new());
    }
    let lookups: Vec<BoxFuture<'_, _>> = names
        .into_iter()
        .map(|secret| async move { (target.get_current(&secret).await, secret.name) }.boxed())
        .collect();
    let looked_up: Vec<_> = stream::iter(lookups).buffer_unordered(AT_ONCE).collect().await;
    let mut taken = Vec::new();
    for (found, name) in looked_up {
        match found {
            Ok(_) => taken.push(name),
            // A policy may hide from us what is not ours; the move itself will see.
            Err(error) if matches!(error.kind, SecretsErrorKind::NotFound | SecretsErrorKind::PermissionDenied) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(taken)
}
