//! Secrets in AWS Secrets Manager.
//!
//! A version is AWS's own `VersionId`, which is the token of its put. One that a document does not name yet stands under
//! a label of ours, since AWS purges versions without any; `AWSCURRENT` follows once the document names it.

mod calls;
mod check;
mod puts;

use std::fmt;

use async_trait::async_trait;
use aws_sdk_secretsmanager::Client;
use strongroom_domain::{
    CheckStep, ForeignName, ForeignSecret, FoundSecret, Limits, NamedSecret, NamedVersion, SecretPage, SecretPut,
    SecretValue, SecretVersion, SecretsError, SecretsErrorKind, SecretsManager, Tariff,
};
use uuid::Uuid;

use self::calls::{Batch, Calls, Found, Which};
use super::access::Access;
use super::error::Failure;
use super::marks::Marks;
use super::settings::AwsSettings;
use crate::layers::Quotas;
use crate::registry::StoreParts;

/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>
const VALUE_BYTES: usize = 65_536;
const READ_BATCH: usize = 20;
const NAME_LENGTH: usize = 512;

/// Keeps each secret as one secret of AWS Secrets Manager, which workers with an identity of their own can read.
pub struct AwsSecretsManager {
    calls: Calls,
    access: Access,
    settings: AwsSettings,
    marks: Marks,
    /// What the names of our secrets begin with.
    root: String,
    place: String,
}

impl AwsSecretsManager {
    /// The name of the kind, as in the configuration.
    pub const KIND: &'static str = "managed-aws";

    /// A client with these settings; calls nobody yet. Fails where settings or the region are missing or wrong.
    pub async fn open(parts: &StoreParts) -> Result<Self, SecretsError> {
        let settings = AwsSettings::read(Self::KIND, &parts.parameters)?;
        let access = Access::open(Self::KIND, &settings).await?;
        Ok(Self {
            calls: Calls { client: Client::new(&access.config) },
            place: format!("{}:{}", Self::KIND, access.region),
            marks: Marks::new(&parts.tags, &parts.cluster),
            root: parts.root(),
            settings,
            access,
        })
    }

    /// How many calls a second are made at first, where the settings say nothing else:
    /// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>
    pub fn quotas(&self) -> Quotas {
        Quotas {
            writes: self.settings.writes_per_second.unwrap_or(50.0),
            reads: self.settings.reads_per_second.unwrap_or(10_000.0),
            batch_reads: Some(self.settings.batch_reads_per_second.unwrap_or(100.0)),
        }
    }

    fn failed(&self, failure: Failure, operation: &'static str) -> SecretsError {
        let resource = self.access.arn("secretsmanager", &format!("secret:{}/*", self.root));
        failure.into_error(Self::KIND, operation, &resource)
    }

    /// The value of what was found; binary secrets have none that a field could hold.
    fn value_of(found: Found, operation: &'static str) -> Result<(String, bool, SecretValue), SecretsError> {
        match found.value {
            Some(value) => Ok((found.version, found.is_current, value)),
            None => Err(error(SecretsErrorKind::Corrupt, operation).because("the secret is binary, not text")),
        }
    }

    async fn get_version(&self, secret: &NamedVersion) -> Result<FoundSecret, SecretsError> {
        let (name, version) = (&secret.secret.name, secret.version.as_str());
        if !is_name(name) || !is_version(version) {
            return Err(error(SecretsErrorKind::NotFound, "get"));
        }
        let found = self.calls.get(name, Which::Version(version)).await;
        let found = match found {
            Err(failure) => return Err(self.not_read(failure, name).await),
            Ok(found) => found,
        };
        let (_, is_current, value) = Self::value_of(found, "get")?;
        Ok(FoundSecret::now(value, is_current))
    }

    /// The error of a read. A secret that is scheduled for deletion is missing, which AWS does not tell by the code.
    async fn not_read(&self, failure: Failure, name: &str) -> SecretsError {
        if failure.has_code("InvalidRequestException") && self.is_scheduled(name).await {
            return error(SecretsErrorKind::NotFound, "get")
                .because("it is scheduled for deletion in AWS; restore it there, or write it anew");
        }
        self.failed(failure, "get")
    }

    async fn is_scheduled(&self, name: &str) -> bool {
        self.calls.describe(name).await.is_ok_and(|described| described.is_scheduled_for_deletion)
    }

    async fn get_batch(&self, secrets: &[NamedVersion]) -> Vec<Result<FoundSecret, SecretsError>> {
        let mut names: Vec<&str> = secrets.iter().map(|secret| secret.secret.name.as_str()).collect();
        names.retain(|name| is_name(name));
        names.sort_unstable();
        names.dedup();
        let batch = if names.len() > 1 { self.calls.get_batch(&names).await } else { Ok(Batch::default()) };
        let mut answers = Vec::with_capacity(secrets.len());
        for secret in secrets {
            let answer = match &batch {
                Ok(batch) => self.beside_batch(batch, secret).await,
                Err(failure) => Err(self.failed(failure.clone(), "get")),
            };
            answers.push(answer.map_err(|error| error.on(&secret.secret.id)));
        }
        answers
    }

    /// What a batched read has of a secret; where it has another version of it, or nothing, it is asked for alone.
    async fn beside_batch(&self, batch: &Batch, secret: &NamedVersion) -> Result<FoundSecret, SecretsError> {
        let name = &secret.secret.name;
        if let Some(found) = batch.found.get(name)
            && found.version == secret.version.as_str()
            && let Some(value) = &found.value
        {
            return Ok(FoundSecret::now(value.clone(), found.is_current));
        }
        match batch.failed.get(name) {
            Some(code) => Err(self.not_read(Failure::of_one(code, "secretsmanager:GetSecretValue"), name).await),
            None => self.get_version(secret).await,
        }
    }

    /// What another cluster, or nobody of ours, keeps under the name stays: of ours there is nothing to delete.
    async fn delete_named(&self, name: &str) -> Result<(), SecretsError> {
        match self.calls.describe(name).await {
            Err(failure) if failure.is_absence() => return Ok(()),
            Err(failure) => return Err(self.failed(failure, "delete")),
            Ok(described) if !self.marks.is_ours(described.cluster.as_deref()) => {
                tracing::warn!(secret.name = name, "a secret that is not of this cluster was not deleted");
                return Ok(());
            }
            Ok(described) if described.is_scheduled_for_deletion => return Ok(()),
            Ok(_) => {}
        }
        let days = (!self.settings.force_delete).then_some(self.settings.recovery_window_days);
        match self.calls.delete(name, days).await {
            Err(failure) if failure.is_absence() => Ok(()),
            Err(failure) if failure.has_code("InvalidRequestException") && self.is_scheduled(name).await => Ok(()),
            Err(failure) => Err(self.failed(failure, "delete")),
            Ok(()) => Ok(()),
        }
    }

    async fn restore_named(&self, name: &str) -> Result<(), Failure> {
        let described = match self.calls.describe(name).await {
            Err(failure) if failure.is_absence() => return Ok(()),
            other => other?,
        };
        if described.is_scheduled_for_deletion && self.marks.is_ours(described.cluster.as_deref()) {
            return self.calls.restore(name).await;
        }
        Ok(())
    }
}

impl fmt::Debug for AwsSecretsManager {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AwsSecretsManager({}, redacted)", self.place)
    }
}

#[async_trait]
impl SecretsManager for AwsSecretsManager {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn place(&self) -> &str {
        &self.place
    }

    fn limits(&self) -> Limits {
        Limits { value_bytes: VALUE_BYTES, read_batch: READ_BATCH, keeps_versions: true, reachable_by_workers: true }
    }

    async fn put(&self, put: SecretPut<'_>) -> Result<SecretVersion, SecretsError> {
        self.put_checked(&put).await.map_err(|error| error.on(&put.secret.id))
    }

    async fn make_current(&self, secret: &NamedVersion, replaced: Option<&SecretVersion>) -> Result<(), SecretsError> {
        self.move_current(secret, replaced).await.map_err(|error| error.on(&secret.secret.id))
    }

    async fn get(&self, secret: &NamedVersion) -> Result<FoundSecret, SecretsError> {
        self.get_version(secret).await.map_err(|error| error.on(&secret.secret.id))
    }

    async fn get_many(&self, secrets: &[NamedVersion]) -> Vec<Result<FoundSecret, SecretsError>> {
        let mut answers = Vec::with_capacity(secrets.len());
        for batch in secrets.chunks(READ_BATCH) {
            answers.extend(self.get_batch(batch).await);
        }
        answers
    }

    async fn get_current(&self, secret: &NamedSecret) -> Result<(SecretVersion, SecretValue), SecretsError> {
        let found = match self.calls.get(&secret.name, Which::Current).await {
            Err(failure) => return Err(self.not_read(failure, &secret.name).await.on(&secret.id)),
            Ok(found) => found,
        };
        let (version, _, value) = Self::value_of(found, "get").map_err(|error| error.on(&secret.id))?;
        Ok((SecretVersion::new(version), value))
    }

    async fn find_put(&self, secret: &NamedSecret, token: Uuid) -> Result<Option<SecretVersion>, SecretsError> {
        let version = version_of(token);
        let found = self.find_version(&secret.name, &version).await;
        let is_there = found.map_err(|failure| self.failed(failure, "find").on(&secret.id))?;
        Ok(is_there.then(|| SecretVersion::new(version)))
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

    /// While the recovery window lasts.
    async fn bring_back(&self, secret: &NamedSecret) -> Result<(), SecretsError> {
        let restored = self.restore_named(&secret.name).await;
        restored.map_err(|failure| self.failed(failure, "bring back").on(&secret.id))
    }

    /// AWS deletes versions without a label by itself, and no other way is given.
    async fn delete_version(&self, secret: &NamedVersion) -> Result<(), SecretsError> {
        let unlabelled = self.remove_our_label(&secret.secret.name, secret.version.as_str()).await;
        unlabelled.map_err(|failure| self.failed(failure, "delete version").on(&secret.secret.id))
    }

    async fn list(&self, from: Option<&str>) -> Result<SecretPage, SecretsError> {
        let page = self.calls.list(self.marks.cluster(), from).await;
        page.map_err(|failure| failure.into_error(Self::KIND, "list", "*"))
    }

    async fn get_foreign(&self, secret: &ForeignName) -> Result<ForeignSecret, SecretsError> {
        const OPERATION: &str = "resolve a reference";
        if !is_name(&secret.name) {
            return Err(error(SecretsErrorKind::NotFound, OPERATION).because("no secret of AWS can have this name"));
        }
        let described = self.calls.describe(&secret.name).await;
        let described = described.map_err(|failure| self.failed(failure, OPERATION))?;
        let which = match secret.version.as_deref() {
            None => Which::Current,
            Some(version) if is_version(version) => Which::Version(version),
            Some(stage) => Which::Stage(stage),
        };
        let found = match self.calls.get(&secret.name, which).await {
            Err(failure) => return Err(self.not_read(failure, &secret.name).await),
            Ok(found) => found,
        };
        let (_, _, value) = Self::value_of(found, OPERATION)?;
        Ok(ForeignSecret { value, cluster: described.cluster })
    }

    fn tariff(&self) -> Option<Tariff> {
        Some(Tariff {
            secret_usd: 0.40,
            large_secret_usd: 0.40,
            small_bytes: VALUE_BYTES,
            most_small: None,
            calls_usd: 0.05,
            writes_per_second: self.quotas().writes,
            source: "list price, https://aws.amazon.com/secrets-manager/pricing/, November 2026",
        })
    }

    async fn check(&self) -> Vec<CheckStep> {
        self.check_each().await
    }
}

fn error(kind: SecretsErrorKind, operation: &'static str) -> SecretsError {
    SecretsError::new(kind, AwsSecretsManager::KIND, operation)
}

/// The `VersionId` that a put with this token makes.
fn version_of(token: Uuid) -> String {
    token.hyphenated().to_string()
}

/// The label of a version that may not be current yet.
fn our_stage(version: &str) -> String {
    format!("strongroom-{version}")
}

/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html>; ARNs are none.
fn is_name(name: &str) -> bool {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/_+=.@-".contains(character);
    (1..=NAME_LENGTH).contains(&name.len()) && name.chars().all(is_plain)
}

/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>
fn is_version(version: &str) -> bool {
    (32..=64).contains(&version.len()) && version.chars().all(|character| character.is_ascii_graphic())
}
