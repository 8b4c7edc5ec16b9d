//! Tries each permission that the store needs, one by one, on a probe parameter.

use strongroom_domain::{CheckStep, NamedSecret, SecretsError};

use super::AwsParameterStore;
use crate::aws::error::Failure;
use crate::aws::identity;
use crate::probe;

const OPERATION: &str = "check";

impl AwsParameterStore {
    /// What was tried, in order. A step that fails stops none that can do without it, so that every missing permission
    /// is named.
    pub(super) async fn check_each(&self) -> Vec<CheckStep> {
        let mut steps = vec![identity::step(Self::KIND, &self.access).await];
        let probe = probe::secret_below(&self.root);
        let created = self.try_create(&probe).await;
        let is_there = created.is_ok();
        steps.push(CheckStep { step: "create", outcome: created });
        if is_there {
            self.try_each(&probe.name, &mut steps).await;
        }
        let listed = self.calls.list(self.marks.cluster(), None);
        steps.push(self.step("list", "the names of this cluster are listed", listed).await);
        if is_there {
            let deleted = self.calls.delete(&probe.name);
            steps.push(self.step("delete", "it was deleted", deleted).await);
        }
        steps
    }

    async fn try_create(&self, probe: &NamedSecret) -> Result<String, SecretsError> {
        let value = probe::random_value(Self::KIND)?;
        let new = self.new_value(&probe.name, &value, "Strongroom: a probe of `strongroom check`");
        let created = self.calls.create(&new, &self.marks.tags_of(&probe::put_of(probe, &value))).await;
        created.map(|_| format!("{} was made", probe.name)).map_err(|failure| self.failed(failure, OPERATION))
    }

    async fn try_each(&self, name: &str, steps: &mut Vec<CheckStep>) {
        let calls = &self.calls;
        let tags = [("strongroom:probe".to_owned(), "true".to_owned())];
        steps.push(self.step("read", "it was read", calls.get(name)).await);
        steps.push(self.step("batch read", "it was read with others", calls.get_batch(&[name])).await);
        steps.push(self.step("read history", "its versions were listed", calls.history(name)).await);
        steps.push(self.step("tag", "it was tagged", calls.tag(name, &tags)).await);
        steps.push(self.step("read tags", "its tags were read", calls.cluster_of(name)).await);
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
