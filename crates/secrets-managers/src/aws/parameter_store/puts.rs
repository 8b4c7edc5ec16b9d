//! How a value gets into Parameter Store.

use aws_sdk_ssm::types::ParameterTier;
use strongroom_domain::{NamedVersion, PutMode, SecretPut, SecretValue, SecretVersion, SecretsError, SecretsErrorKind};
use uuid::Uuid;

use super::calls::NewValue;
use super::{AwsParameterStore, STANDARD_BYTES, Tier, error, fault_of_name};
use crate::aws::error::Failure;
use crate::aws::marks;

/// The longest description:
/// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html>
const DESCRIPTION_LENGTH: usize = 1_024;

const OPERATION: &str = "put";

impl AwsParameterStore {
    pub(super) async fn put_checked(&self, put: &SecretPut<'_>) -> Result<SecretVersion, SecretsError> {
        self.check_possible(put)?;
        let version = match put.mode {
            PutMode::Replace => self.replace(put).await?,
            PutMode::New | PutMode::Move => self.make(put).await?,
        };
        Ok(SecretVersion::new(version.to_string()))
    }

    fn check_possible(&self, put: &SecretPut<'_>) -> Result<(), SecretsError> {
        let limit = self.value_bytes();
        if put.value.len() > limit {
            return Err(error(SecretsErrorKind::TooLarge { limit }, OPERATION));
        }
        let refusal = strongroom_domain::SecretsManager::refusal(self, put.value);
        match refusal.or_else(|| fault_of_name(&put.secret.name)) {
            Some(rule) => Err(error(SecretsErrorKind::Settings, OPERATION).because(rule)),
            None => Ok(()),
        }
    }

    async fn make(&self, put: &SecretPut<'_>) -> Result<i64, SecretsError> {
        let description = description_of(put);
        let new = self.new_value(&put.secret.name, put.value, &description);
        match self.calls.create(&new, &self.marks.tags_of(put)).await {
            Ok(version) => Ok(version),
            Err(failure) if !failure.has_code("ParameterAlreadyExists") => Err(self.failed(failure, OPERATION)),
            Err(_) if put.mode == PutMode::New => self.take_over(put).await,
            Err(_) => self.adopt(put).await,
        }
    }

    /// Adds a version to a parameter that this cluster left behind.
    async fn take_over(&self, put: &SecretPut<'_>) -> Result<i64, SecretsError> {
        let name = &put.secret.name;
        let cluster = self.calls.cluster_of(name).await.map_err(|failure| self.failed(failure, OPERATION))?;
        if !self.marks.is_ours(cluster.as_deref()) {
            return Err(error(SecretsErrorKind::NameTaken, OPERATION));
        }
        let added = async {
            let version = self.add_once(put).await?;
            // It may have had another owner.
            self.calls.tag(name, &self.marks.tags_of(put)).await?;
            Ok(version)
        };
        added.await.map_err(|failure| self.failed(failure, OPERATION))
    }

    /// Takes what is there for done, where it is the put of this token and no other.
    async fn adopt(&self, put: &SecretPut<'_>) -> Result<i64, SecretsError> {
        let name = &put.secret.name;
        let seen = async { Ok((self.calls.history(name).await?, self.calls.get(name).await?)) };
        let (history, newest) = seen.await.map_err(|failure| self.failed(failure, OPERATION))?;
        let is_our_put = history
            .last()
            .is_some_and(|entry| entry.version == newest.version && is_of_token(&entry.description, put.token));
        let is_same = newest.value.is_some_and(|value| value.is_same_as(put.value));
        if is_our_put && is_same { Ok(newest.version) } else { Err(error(SecretsErrorKind::NameTaken, OPERATION)) }
    }

    async fn replace(&self, put: &SecretPut<'_>) -> Result<i64, SecretsError> {
        let replaced = async {
            let version = self.add_once(put).await?;
            // It may have been missing, and made without tags; and the configured ones may have changed.
            self.calls.tag(&put.secret.name, &self.marks.tags_of(put)).await?;
            Ok(version)
        };
        replaced.await.map_err(|failure| self.failed(failure, OPERATION))
    }

    /// Adds a version, unless an earlier try has.
    async fn add_once(&self, put: &SecretPut<'_>) -> Result<i64, Failure> {
        let name = &put.secret.name;
        if put.is_repeated
            && let Some(version) = self.find_version(name, put.token).await?
        {
            return Ok(version);
        }
        self.add(name, put.value, &description_of(put)).await
    }

    async fn add(&self, name: &str, value: &SecretValue, description: &str) -> Result<i64, Failure> {
        let new = self.new_value(name, value, description);
        match self.calls.overwrite(&new).await {
            // A parameter that once was advanced stays so, and AWS refuses to make it standard.
            Err(failure) if failure.has_code("ValidationException") && self.may_be_advanced(&new) => {
                self.calls.overwrite(&NewValue { tier: ParameterTier::Advanced, ..new }).await
            }
            other => other,
        }
    }

    fn may_be_advanced(&self, new: &NewValue<'_>) -> bool {
        new.tier == ParameterTier::Standard && self.settings.tier.is_none()
    }

    pub(super) fn new_value<'a>(&'a self, name: &'a str, value: &'a SecretValue, description: &'a str) -> NewValue<'a> {
        let tier = match self.settings.tier {
            Some(Tier::Standard) => ParameterTier::Standard,
            Some(Tier::Intelligent) => ParameterTier::IntelligentTiering,
            None if value.len() <= STANDARD_BYTES => ParameterTier::Standard,
            Some(Tier::Advanced) | None => ParameterTier::Advanced,
        };
        NewValue { name, value, description, kms_key_id: self.settings.kms_key_id.as_deref(), tier }
    }

    /// Gives those who ask by name the committed value again, as a newer version: none can be deleted.
    pub(super) async fn give_back(&self, secret: &NamedVersion, committed: &SecretVersion) -> Result<(), SecretsError> {
        let name = &secret.secret.name;
        let given = async {
            let newest = match self.calls.get(name).await {
                Err(failure) if failure.is_absence() => return Ok(()),
                other => other?,
            };
            if newest.version.to_string() != secret.version.as_str() || secret.version == *committed {
                return Ok(());
            }
            let kept = self.calls.get(&format!("{name}:{}", committed.as_str())).await?;
            let Some(value) = kept.value else { return Ok(()) };
            let text = format!("Strongroom: version {} again", committed.as_str());
            self.add(name, &value, &text).await.map(|_| ())
        };
        given.await.map_err(|failure: Failure| self.failed(failure, "withdraw"))
    }

    pub(super) async fn find_version(&self, name: &str, token: Uuid) -> Result<Option<i64>, Failure> {
        let history = match self.calls.history(name).await {
            Err(failure) if failure.is_absence() => return Ok(None),
            other => other?,
        };
        let found = history.iter().rev().find(|entry| is_of_token(&entry.description, token));
        Ok(found.map(|entry| entry.version))
    }
}

fn ending(token: Uuid) -> String {
    format!(", put {}", token.hyphenated())
}

fn is_of_token(description: &str, token: Uuid) -> bool {
    description.ends_with(&ending(token))
}

/// What people read beside the parameter, and by which the put is found again.
fn description_of(put: &SecretPut<'_>) -> String {
    let ending = ending(put.token);
    marks::description(put.label, put.secret, DESCRIPTION_LENGTH - ending.len()) + &ending
}
