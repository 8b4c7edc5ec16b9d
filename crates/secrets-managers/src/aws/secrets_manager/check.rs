//! Tries each permission that the store needs, one by one, on a probe secret.

use strongroom_domain::{CheckStep, NamedSecret, SecretsError, SecretsErrorKind};
use uuid::Uuid;

use super::calls::{CURRENT, NewSecret, Which};
use super::{AwsSecretsManager, our_stage, version_of};
use crate::aws::error::Failure;
use crate::aws::identity;
use crate::probe;

const OPERATION: &str = "check";

/// The shortest recovery window; the probe is deleted at once after it was restored.
const WINDOW_DAYS: i64 = 7;

impl AwsSecretsManager {
    /// What was tried, in order. A step that fails stops none that can do without it, so that every missing permission
    /// is named.
    pub(super) async fn check_each(&self) -> Vec<CheckStep> {
        let mut steps = vec![identity::step(Self::KIND, &self.access).await];
        let probe = probe::secret_below(&self.root);
        let (first, second) = (version_of(Uuid::new_v4()), version_of(Uuid::new_v4()));
        let created = self.try_create(&probe, &first).await;
        let is_there = created.is_ok();
        steps.push(CheckStep { step: "create", outcome: created });
        if is_there {
            self.try_each(&probe.name, &first, &second, &mut steps).await;
        }
        steps.push(
            self.step("list", "the names of this cluster are listed", self.calls.list(self.marks.cluster(), None))
                .await,
        );
        if is_there {
            self.try_delete(&probe.name, &mut steps).await;
        }
        steps
    }

    async fn try_create(&self, probe: &NamedSecret, token: &str) -> Result<String, SecretsError> {
        let value = probe::random_value(Self::KIND)?;
        let new = NewSecret {
            name: &probe.name,
            value: &value,
            token,
            description: "Strongroom: a probe of `strongroom check`",
            tags: &self.marks.tags_of(&probe::put_of(probe, &value)),
            kms_key_id: self.settings.kms_key_id.as_deref(),
        };
        let created = self.calls.create(&new).await;
        created.map_err(|failure| self.failed(failure, OPERATION))?;
        let found = self.calls.get(&probe.name, Which::Version(token)).await;
        // What cannot be read is said by the step that reads.
        match found.map(|found| found.value) {
            Ok(Some(read)) if !read.is_same_as(&value) => {
                Err(SecretsError::new(SecretsErrorKind::Corrupt, Self::KIND, OPERATION)
                    .because("the probe secret read back differs from what was put"))
            }
            _ => Ok(format!("{} was made", probe.name)),
        }
    }

    async fn try_each(&self, name: &str, first: &str, second: &str, steps: &mut Vec<CheckStep>) {
        let calls = &self.calls;
        let tags = [("strongroom:probe".to_owned(), "true".to_owned())];
        let Ok(value) = probe::random_value(Self::KIND) else { return };
        steps.push(self.step("read", "it was read", calls.get(name, Which::Current)).await);
        steps.push(self.step("batch read", "it was read with others", self.read_in_batch(name)).await);
        steps.push(self.step("describe", "its tags and versions were read", calls.describe(name)).await);
        steps.push(self.step("list versions", "its versions were listed", calls.has_version(name, first)).await);
        let stage = Some(our_stage(second));
        steps.push(self.step("update", "it got a second version", calls.put_value(name, &value, second, stage)).await);
        let is_updated = steps.last().is_some_and(|step| step.outcome.is_ok());
        if is_updated {
            let moved = calls.move_stage(name, CURRENT, Some(first), Some(second));
            steps.push(self.step("make current", "its second version was made current", moved).await);
        }
        steps.push(self.step("tag", "it was tagged", calls.tag(name, &tags)).await);
    }

    async fn read_in_batch(&self, name: &str) -> Result<(), Failure> {
        let batch = self.calls.get_batch(&[name]).await?;
        match batch.failed.get(name) {
            Some(code) => Err(Failure::of_one(code, "secretsmanager:GetSecretValue")),
            None => Ok(()),
        }
    }

    async fn try_delete(&self, name: &str, steps: &mut Vec<CheckStep>) {
        let deleted = self.calls.delete(name, Some(WINDOW_DAYS));
        steps.push(self.step("delete", "it was deleted", deleted).await);
        if steps.last().is_some_and(|step| step.outcome.is_err()) {
            return;
        }
        steps.push(self.step("restore", "it was restored", self.calls.restore(name)).await);
        let ended = self.calls.delete(name, None).await;
        if let (Err(failure), Some(last)) = (ended, steps.last_mut()) {
            last.outcome = Err(self.failed(failure, OPERATION));
        }
    }

    async fn step<T>(
        &self,
        step: &'static str,
        done: &str,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> CheckStep {
        let outcome = call.await.map(|_| done.to_owned());
        CheckStep { step, outcome: outcome.map_err(|failure| self.failed(failure, OPERATION)) }
    }
}
