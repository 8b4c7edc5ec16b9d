//! How a value gets into Secrets Manager, and which version those get who ask by name.

use strongroom_domain::{NamedVersion, PutMode, SecretPut, SecretVersion, SecretsError, SecretsErrorKind};

use super::calls::{CURRENT, Described, NewSecret, Which};
use super::{AwsSecretsManager, VALUE_BYTES, error, is_name, our_stage, version_of};
use crate::aws::error::Failure;
use crate::aws::marks;

/// The longest description:
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html>
const DESCRIPTION_LENGTH: usize = 2_048;

const OPERATION: &str = "put";

/// What came of making a secret.
enum Made {
    Created,
    /// There is one already, or one is scheduled for deletion.
    Exists,
}

impl AwsSecretsManager {
    pub(super) async fn put_checked(&self, put: &SecretPut<'_>) -> Result<SecretVersion, SecretsError> {
        check_possible(put)?;
        let token = version_of(put.token);
        match put.mode {
            PutMode::Replace => self.add_version(put, &token).await?,
            PutMode::New | PutMode::Move => match self.create(put, &token).await? {
                Made::Created => {}
                Made::Exists if put.mode == PutMode::New => self.take_over(put, &token).await?,
                Made::Exists => self.adopt(put, &token).await?,
            },
        }
        Ok(SecretVersion::new(token))
    }

    async fn create(&self, put: &SecretPut<'_>, token: &str) -> Result<Made, SecretsError> {
        let new = NewSecret {
            name: &put.secret.name,
            value: put.value,
            token,
            description: &marks::description(put.label, put.secret, DESCRIPTION_LENGTH),
            tags: &self.marks.tags_of(put),
            kms_key_id: self.settings.kms_key_id.as_deref(),
        };
        match self.calls.create(&new).await {
            Ok(()) => Ok(Made::Created),
            Err(failure) if may_exist(&failure) => Ok(Made::Exists),
            Err(failure) => Err(self.failed(failure, OPERATION)),
        }
    }

    /// Puts into a secret that is there, where this cluster left it behind.
    async fn take_over(&self, put: &SecretPut<'_>, token: &str) -> Result<(), SecretsError> {
        let name = &put.secret.name;
        let described = self.described_as_ours(name).await?;
        let done = async {
            if described.is_scheduled_for_deletion {
                self.calls.restore(name).await?;
            }
            self.calls.put_value(name, put.value, token, None).await?;
            // A repeated put is carried out once: it leaves the label where it is by now.
            if described.stages.contains_key(token) && !described.has(token, CURRENT) {
                self.move_current_to(name, token, described.holder(CURRENT)).await?;
            }
            // It may have had another owner.
            self.calls.tag(name, &self.marks.tags_of(put)).await
        };
        done.await.map_err(|failure| self.failed(failure, OPERATION))
    }

    /// Takes what is there for done, where it is the put of this token and no other.
    async fn adopt(&self, put: &SecretPut<'_>, token: &str) -> Result<(), SecretsError> {
        let found = match self.calls.get(&put.secret.name, Which::Current).await {
            Ok(found) => found,
            Err(failure) if failure.has_code("InvalidRequestException") => return Err(taken()),
            Err(failure) => return Err(self.failed(failure, OPERATION)),
        };
        let is_same = found.value.is_some_and(|value| value.is_same_as(put.value));
        if found.version == token && is_same { Ok(()) } else { Err(taken()) }
    }

    /// Adds a version under a label of ours, so that the current one stays current.
    async fn add_version(&self, put: &SecretPut<'_>, token: &str) -> Result<(), SecretsError> {
        let name = &put.secret.name;
        let stage = Some(our_stage(token));
        let Err(failure) = self.calls.put_value(name, put.value, token, stage.clone()).await else {
            // The configured tags may have changed since it was made.
            let tagged = self.calls.tag(name, &self.marks.tags_of(put)).await;
            return tagged.map_err(|failure| self.failed(failure, OPERATION));
        };
        if failure.is_absence() {
            return match self.create(put, token).await? {
                Made::Created => Ok(()),
                Made::Exists => Box::pin(self.take_over(put, token)).await,
            };
        }
        if !failure.has_code("InvalidRequestException") {
            return Err(self.failed(failure, OPERATION));
        }
        let described = self.described_as_ours(name).await?;
        if !described.is_scheduled_for_deletion {
            return Err(self.failed(failure, OPERATION));
        }
        let restored = async {
            self.calls.restore(name).await?;
            self.calls.put_value(name, put.value, token, stage).await
        };
        restored.await.map_err(|failure| self.failed(failure, OPERATION))
    }

    async fn described_as_ours(&self, name: &str) -> Result<Described, SecretsError> {
        let described = match self.calls.describe(name).await {
            // It was there a moment ago, or the put would not have been refused.
            Err(failure) if failure.is_absence() => {
                let gone = "it was deleted while it was written";
                return Err(error(SecretsErrorKind::Unavailable, OPERATION).because(gone));
            }
            other => other.map_err(|failure| self.failed(failure, OPERATION))?,
        };
        if self.marks.is_ours(described.cluster.as_deref()) { Ok(described) } else { Err(taken()) }
    }

    pub(super) async fn move_current(
        &self,
        secret: &NamedVersion,
        replaced: Option<&SecretVersion>,
    ) -> Result<(), SecretsError> {
        let (name, version) = (&secret.secret.name, secret.version.as_str());
        let moved = async {
            // Most often the label is on the version that the document named before.
            if let Some(replaced) = replaced.filter(|replaced| replaced.as_str() != version) {
                match self.calls.move_stage(name, CURRENT, Some(replaced.as_str()), Some(version)).await {
                    Ok(()) => return self.remove_label(name, version).await,
                    Err(failure) if failure.has_code("InvalidParameterException") => {}
                    Err(failure) => return Err(failure),
                }
            }
            let described = self.calls.describe(name).await?;
            if !described.has(version, CURRENT) {
                self.move_current_to(name, version, described.holder(CURRENT)).await?;
            }
            if described.has(version, &our_stage(version)) { self.remove_label(name, version).await } else { Ok(()) }
        };
        moved.await.map_err(|failure: Failure| self.failed(failure, "make current"))
    }

    async fn move_current_to(&self, name: &str, version: &str, holder: Option<&str>) -> Result<(), Failure> {
        self.calls.move_stage(name, CURRENT, holder, Some(version)).await
    }

    /// Removes our label, which a version has that was put to replace another.
    async fn remove_label(&self, name: &str, version: &str) -> Result<(), Failure> {
        match self.calls.move_stage(name, &our_stage(version), Some(version), None).await {
            // It has none, which is as good.
            Err(failure) if failure.has_code("InvalidParameterException") || failure.is_absence() => Ok(()),
            other => other,
        }
    }

    /// Removes our label without asking whether there is one; nothing to remove is fine.
    pub(super) async fn remove_our_label(&self, name: &str, version: &str) -> Result<(), Failure> {
        let described = match self.calls.describe(name).await {
            Err(failure) if failure.is_absence() => return Ok(()),
            other => other?,
        };
        let is_labelled = described.has(version, &our_stage(version));
        if is_labelled && !described.is_scheduled_for_deletion {
            self.remove_label(name, version).await
        } else {
            Ok(())
        }
    }

    /// Gives those who ask by name the committed version again, and lets AWS purge the other.
    pub(super) async fn give_back(&self, secret: &NamedVersion, committed: &SecretVersion) -> Result<(), SecretsError> {
        let (name, version) = (&secret.secret.name, secret.version.as_str());
        let given = async {
            let described = match self.calls.describe(name).await {
                Err(failure) if failure.is_absence() => return Ok(()),
                other => other?,
            };
            if described.is_scheduled_for_deletion {
                return Ok(());
            }
            if described.has(version, CURRENT) && version != committed.as_str() {
                self.move_current_to(name, committed.as_str(), Some(version)).await?;
            }
            if described.has(version, &our_stage(version)) { self.remove_label(name, version).await } else { Ok(()) }
        };
        given.await.map_err(|failure: Failure| self.failed(failure, "withdraw"))
    }

    pub(super) async fn find_version(&self, name: &str, version: &str) -> Result<bool, Failure> {
        let described = match self.calls.describe(name).await {
            Err(failure) if failure.is_absence() => return Ok(false),
            other => other?,
        };
        if described.is_scheduled_for_deletion || described.stages.contains_key(version) {
            return Ok(!described.is_scheduled_for_deletion);
        }
        self.calls.has_version(name, version).await
    }
}

fn check_possible(put: &SecretPut<'_>) -> Result<(), SecretsError> {
    if put.value.len() > VALUE_BYTES {
        return Err(error(SecretsErrorKind::TooLarge { limit: VALUE_BYTES }, OPERATION));
    }
    if !is_name(&put.secret.name) {
        let rule = "AWS takes names of 1 to 512 characters of A-Z a-z 0-9 / _ + = . @ -";
        return Err(error(SecretsErrorKind::Settings, OPERATION).because(rule));
    }
    Ok(())
}

/// AWS answers another code where a secret of the name is scheduled for deletion.
fn may_exist(failure: &Failure) -> bool {
    failure.has_code("ResourceExistsException") || failure.has_code("InvalidRequestException")
}

fn taken() -> SecretsError {
    error(SecretsErrorKind::NameTaken, OPERATION)
}
