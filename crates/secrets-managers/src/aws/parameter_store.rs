//! Secrets in AWS Systems Manager Parameter Store, as `SecureString`s.
//!
//! A version is the parameter's own version number. The newest is what those get who ask by name: a put is current at
//! once. Its token stands in the description, so that a put whose answer was lost is found again.

mod calls;
mod check;
mod puts;

use std::collections::HashMap;
use std::fmt;

use async_trait::async_trait;
use aws_sdk_ssm::Client;
use strongroom_domain::{
    CheckStep, ForeignName, ForeignSecret, FoundSecret, Limits, NamedSecret, NamedVersion, SecretPage, SecretPut,
    SecretValue, SecretVersion, SecretsError, SecretsErrorKind, SecretsManager, Tariff,
};
use uuid::Uuid;

use self::calls::{Calls, Found};
use super::access::Access;
use super::error::Failure;
use super::marks::Marks;
use super::settings::{AwsSettings, Tier};
use crate::layers::Quotas;
use crate::registry::StoreParts;

/// <https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html>
const STANDARD_BYTES: usize = 4_096;
const ADVANCED_BYTES: usize = 8_192;
/// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html>
const READ_BATCH: usize = 10;
/// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html>
const NAME_LENGTH: usize = 1_011;
const NAME_LEVELS: usize = 15;

/// Keeps each secret as one parameter of AWS Systems Manager, which workers with an identity of their own can read.
pub struct AwsParameterStore {
    calls: Calls,
    access: Access,
    settings: AwsSettings,
    marks: Marks,
    /// What the names of our secrets begin with.
    root: String,
    place: String,
}

impl AwsParameterStore {
    /// The name of the kind, as in the configuration.
    pub const KIND: &'static str = "managed-aws-ssm";

    /// A client with these settings; calls nobody yet. Fails where settings or the region are missing or wrong.
    pub async fn open(parts: &StoreParts) -> Result<Self, SecretsError> {
        let settings = AwsSettings::read(Self::KIND, &parts.parameters)?;
        let access = Access::open(Self::KIND, &settings).await?;
        let root = parts.root();
        if root.starts_with("/aws") || root.starts_with("/ssm") {
            return Err(SecretsError::new(SecretsErrorKind::Settings, Self::KIND, "build").because(
                "secretsManagerConfiguration.prefix (or clusterName, without a prefix) must not begin with aws or ssm: \
                 Parameter Store keeps such names for itself",
            ));
        }
        Ok(Self {
            calls: Calls { client: Client::new(&access.config) },
            place: format!("{}:{}", Self::KIND, access.region),
            marks: Marks::new(&parts.tags, &parts.cluster),
            root,
            settings,
            access,
        })
    }

    /// How many calls a second are made at first, where the settings say nothing else; all reads share one quota:
    /// <https://docs.aws.amazon.com/general/latest/gr/ssm.html>
    pub fn quotas(&self) -> Quotas {
        Quotas {
            writes: self.settings.writes_per_second.unwrap_or(3.0),
            reads: self.settings.reads_per_second.unwrap_or(40.0),
            batch_reads: self.settings.batch_reads_per_second,
        }
    }

    fn value_bytes(&self) -> usize {
        if self.settings.tier == Some(Tier::Standard) { STANDARD_BYTES } else { ADVANCED_BYTES }
    }

    fn failed(&self, failure: Failure, operation: &'static str) -> SecretsError {
        let resource = self.access.arn("ssm", &format!("parameter{}/*", self.root));
        failure.into_error(Self::KIND, operation, &resource)
    }

    async fn get_batch(&self, secrets: &[NamedVersion]) -> Vec<Result<FoundSecret, SecretsError>> {
        let mut names: Vec<&str> = secrets.iter().map(|secret| secret.secret.name.as_str()).collect();
        names.retain(|name| fault_of_name(name).is_none());
        names.sort_unstable();
        names.dedup();
        let newest = if names.is_empty() { Ok(Vec::new()) } else { self.calls.get_batch(&names).await };
        let newest = newest.map(by_name);
        let mut answers = Vec::with_capacity(secrets.len());
        for secret in secrets {
            let answer = match &newest {
                Ok(newest) => self.version_beside(newest.get(&secret.secret.name), secret).await,
                Err(failure) => Err(self.failed(failure.clone(), "get")),
            };
            answers.push(answer.map_err(|error| error.on(&secret.secret.id)));
        }
        answers
    }

    /// The version asked for, which is the newest most often; any other costs one more call.
    async fn version_beside(&self, newest: Option<&Found>, asked: &NamedVersion) -> Result<FoundSecret, SecretsError> {
        let missing = || error(SecretsErrorKind::NotFound, "get");
        let newest = newest.ok_or_else(missing)?;
        let newest_value = newest.value.as_ref().ok_or_else(missing)?;
        let version: i64 = asked.version.as_str().parse().map_err(|_| missing())?;
        if newest.version == version {
            return Ok(FoundSecret::now(newest_value.clone(), true));
        }
        let older = self.calls.get(&format!("{}:{version}", asked.secret.name)).await;
        let older = older.map_err(|failure| self.failed(failure, "get"))?;
        let value = older.value.ok_or_else(missing)?;
        // A withdrawn put leaves the committed value as a newer version.
        let is_current = value.is_same_as(newest_value);
        Ok(FoundSecret::now(value, is_current))
    }

    async fn newest(&self, name: &str, operation: &'static str) -> Result<Found, SecretsError> {
        if fault_of_name(name).is_some() {
            return Err(error(SecretsErrorKind::NotFound, operation));
        }
        self.calls.get(name).await.map_err(|failure| self.failed(failure, operation))
    }

    /// What another cluster, or nobody of ours, keeps under the name stays: of ours there is nothing to delete.
    async fn delete_named(&self, name: &str) -> Result<(), SecretsError> {
        match self.calls.cluster_of(name).await {
            Err(failure) if failure.is_absence() => return Ok(()),
            Err(failure) => return Err(self.failed(failure, "delete")),
            Ok(cluster) if !self.marks.is_ours(cluster.as_deref()) => {
                tracing::warn!(secret.name = name, "a secret that is not of this cluster was not deleted");
                return Ok(());
            }
            Ok(_) => {}
        }
        match self.calls.delete(name).await {
            Err(failure) if !failure.is_absence() => Err(self.failed(failure, "delete")),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for AwsParameterStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AwsParameterStore({}, redacted)", self.place)
    }
}

#[async_trait]
impl SecretsManager for AwsParameterStore {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn place(&self) -> &str {
        &self.place
    }

    /// Versions are kept, but only the newest hundred.
    fn limits(&self) -> Limits {
        Limits {
            value_bytes: self.value_bytes(),
            read_batch: READ_BATCH,
            keeps_versions: true,
            reachable_by_workers: true,
        }
    }

    fn refusal(&self, value: &SecretValue) -> Option<&'static str> {
        // REVEAL: the value is looked at, and goes nowhere.
        let text = value.reveal();
        let is_taken_for_reference = text.split_once("{{").is_some_and(|(_, rest)| rest.contains("}}"));
        is_taken_for_reference
            .then_some("Parameter Store takes `{{…}}` in a value for a reference to another parameter")
    }

    async fn put(&self, put: SecretPut<'_>) -> Result<SecretVersion, SecretsError> {
        self.put_checked(&put).await.map_err(|error| error.on(&put.secret.id))
    }

    async fn get(&self, secret: &NamedVersion) -> Result<FoundSecret, SecretsError> {
        let mut answers = self.get_batch(std::slice::from_ref(secret)).await;
        answers.pop().unwrap_or_else(|| Err(error(SecretsErrorKind::Unexpected, "get")))
    }

    async fn get_many(&self, secrets: &[NamedVersion]) -> Vec<Result<FoundSecret, SecretsError>> {
        let mut answers = Vec::with_capacity(secrets.len());
        for batch in secrets.chunks(READ_BATCH) {
            answers.extend(self.get_batch(batch).await);
        }
        answers
    }

    async fn get_current(&self, secret: &NamedSecret) -> Result<(SecretVersion, SecretValue), SecretsError> {
        let newest = self.newest(&secret.name, "get").await.map_err(|error| error.on(&secret.id))?;
        let version = SecretVersion::new(newest.version.to_string());
        let missing = || error(SecretsErrorKind::NotFound, "get").on(&secret.id);
        Ok((version, newest.value.ok_or_else(missing)?))
    }

    async fn find_put(&self, secret: &NamedSecret, token: Uuid) -> Result<Option<SecretVersion>, SecretsError> {
        let found = self.find_version(&secret.name, token).await;
        let found = found.map_err(|failure| self.failed(failure, "find").on(&secret.id))?;
        Ok(found.map(|version| SecretVersion::new(version.to_string())))
    }

    async fn withdraw(&self, secret: &NamedVersion, committed: Option<&SecretVersion>) -> Result<(), SecretsError> {
        let withdrawn = match committed {
            Some(committed) => self.give_back(secret, committed).await,
            None => self.delete_named(&secret.secret.name).await,
        };
        withdrawn.map_err(|error| error.on(&secret.secret.id))
    }

    async fn delete(&self, secret: &NamedSecret) -> Result<(), SecretsError> {
        self.delete_named(&secret.name).await.map_err(|error| error.on(&secret.id))
    }

    /// Parameter Store keeps its own history and cannot delete one version of it.
    async fn delete_version(&self, _: &NamedVersion) -> Result<(), SecretsError> {
        Ok(())
    }

    async fn list(&self, from: Option<&str>) -> Result<SecretPage, SecretsError> {
        let page = self.calls.list(self.marks.cluster(), from).await;
        page.map_err(|failure| failure.into_error(Self::KIND, "list", "*"))
    }

    async fn get_foreign(&self, secret: &ForeignName) -> Result<ForeignSecret, SecretsError> {
        const OPERATION: &str = "resolve a reference";
        if fault_of_name(&secret.name).is_some() {
            return Err(error(SecretsErrorKind::NotFound, OPERATION).because("no parameter of AWS can have this name"));
        }
        let selector = match &secret.version {
            Some(version) => format!("{}:{version}", secret.name),
            None => secret.name.clone(),
        };
        let cluster = self.calls.cluster_of(&secret.name).await.map_err(|failure| self.failed(failure, OPERATION))?;
        let found = self.calls.get(&selector).await.map_err(|failure| self.failed(failure, OPERATION))?;
        let value = found.value.ok_or_else(|| error(SecretsErrorKind::NotFound, OPERATION))?;
        Ok(ForeignSecret { value, cluster })
    }

    fn tariff(&self) -> Option<Tariff> {
        Some(Tariff {
            secret_usd: 0.0,
            large_secret_usd: 0.05,
            small_bytes: 4_096,
            most_small: Some(10_000),
            calls_usd: 0.0,
            writes_per_second: self.quotas().writes,
            source: "list price, https://aws.amazon.com/systems-manager/pricing/, November 2026",
        })
    }

    async fn check(&self) -> Vec<CheckStep> {
        self.check_each().await
    }
}

fn by_name(found: Vec<Found>) -> HashMap<String, Found> {
    found.into_iter().map(|found| (found.name.clone(), found)).collect()
}

fn error(kind: SecretsErrorKind, operation: &'static str) -> SecretsError {
    SecretsError::new(kind, AwsParameterStore::KIND, operation)
}

/// The rule of AWS that a name breaks; ARNs and selectors break one too.
fn fault_of_name(name: &str) -> Option<&'static str> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/_.-".contains(character);
    let levels = name.strip_prefix('/').unwrap_or(name).split('/');
    let first = levels.clone().next().unwrap_or_default().to_ascii_lowercase();
    if !(1..=NAME_LENGTH).contains(&name.len()) {
        return Some("Parameter Store takes names of 1 to 1011 characters");
    }
    if !name.chars().all(is_plain) || (name.contains('/') && !name.starts_with('/')) {
        return Some("Parameter Store takes names of A-Z a-z 0-9 _ . - and /, with a leading / where there is any");
    }
    if levels.count() > NAME_LEVELS {
        return Some("Parameter Store takes names of at most 15 levels");
    }
    let is_reserved = first.starts_with("aws") || first.starts_with("ssm");
    is_reserved
        .then_some("Parameter Store takes no names that begin with aws or ssm: set another prefix or clusterName")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/om/database/shop/password", true)]
    #[case("om", true)]
    #[case("/AWS/x", false)]
    #[case("/ssmx", false)]
    #[case("om/x", false)]
    #[case("/om/x:3", false)]
    #[case("/om/x y", false)]
    #[case("/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15", true)]
    #[case("/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16", false)]
    fn names_are_those_that_aws_takes(#[case] name: &str, #[case] is_taken: bool) {
        assert_eq!(fault_of_name(name).is_none(), is_taken);
    }
}
