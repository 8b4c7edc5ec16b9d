//! The calls of Secrets Manager that we make, one function each, with the IAM action that allows it.

use std::collections::HashMap;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, Tag};
use strongroom_domain::{SecretPage, SecretValue};

use crate::aws::error::Failure;
use crate::aws::marks::CLUSTER_TAG;

/// The label of the version that those get who ask by name.
pub(super) const CURRENT: &str = "AWSCURRENT";

/// How many secrets one page of a list has, at most:
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html>
const PAGE: i32 = 100;

/// The calls, each one round trip.
pub(super) struct Calls {
    pub(super) client: Client,
}

/// A secret that is to be made.
pub(super) struct NewSecret<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a SecretValue,
    pub(super) token: &'a str,
    pub(super) description: &'a str,
    pub(super) tags: &'a [(String, String)],
    pub(super) kms_key_id: Option<&'a str>,
}

/// What AWS knows of a secret beside its value.
pub(super) struct Described {
    pub(super) is_scheduled_for_deletion: bool,
    pub(super) cluster: Option<String>,
    /// The labels of each version that has some.
    pub(super) stages: HashMap<String, Vec<String>>,
}

impl Described {
    /// Says whether a version has a label.
    pub(super) fn has(&self, version: &str, stage: &str) -> bool {
        self.stages.get(version).is_some_and(|stages| stages.iter().any(|other| other == stage))
    }

    /// The version that has a label.
    pub(super) fn holder(&self, stage: &str) -> Option<&str> {
        self.stages.keys().find(|version| self.has(version, stage)).map(String::as_str)
    }
}

/// A version of a secret as AWS answers it.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) is_current: bool,
    /// None: it is binary.
    pub(super) value: Option<SecretValue>,
}

/// Which version is asked for.
pub(super) enum Which<'a> {
    Current,
    Version(&'a str),
    Stage(&'a str),
}

impl Calls {
    pub(super) async fn create(&self, new: &NewSecret<'_>) -> Result<(), Failure> {
        let call = self.client.create_secret().name(new.name).client_request_token(new.token);
        // REVEAL: the SDK takes the value as a plain string, and redacts it in `Debug`.
        let call = call.secret_string(new.value.reveal());
        let call = call.description(new.description).set_kms_key_id(new.kms_key_id.map(ToOwned::to_owned));
        let answer = call.set_tags(Some(new.tags.iter().map(tag).collect())).send().await;
        answer.map(|_| ()).map_err(|error| Failure::of(&error, "secretsmanager:CreateSecret"))
    }

    /// Adds a version; none of these stages: it becomes current.
    pub(super) async fn put_value(
        &self,
        name: &str,
        value: &SecretValue,
        token: &str,
        stage: Option<String>,
    ) -> Result<(), Failure> {
        let call = self.client.put_secret_value().secret_id(name).client_request_token(token);
        // REVEAL: the SDK takes the value as a plain string, and redacts it in `Debug`.
        let call = call.secret_string(value.reveal()).set_version_stages(stage.map(|stage| vec![stage]));
        call.send().await.map(|_| ()).map_err(|error| Failure::of(&error, "secretsmanager:PutSecretValue"))
    }

    pub(super) async fn describe(&self, name: &str) -> Result<Described, Failure> {
        let answer = self.client.describe_secret().secret_id(name).send().await;
        let answer = answer.map_err(|error| Failure::of(&error, "secretsmanager:DescribeSecret"))?;
        Ok(Described {
            is_scheduled_for_deletion: answer.deleted_date().is_some(),
            cluster: cluster_of(answer.tags()),
            stages: answer.version_ids_to_stages.unwrap_or_default(),
        })
    }

    /// Every version there is, those without a label too.
    pub(super) async fn has_version(&self, name: &str, version: &str) -> Result<bool, Failure> {
        let mut next = None;
        loop {
            let call = self.client.list_secret_version_ids().secret_id(name).include_deprecated(true);
            let answer = call.set_next_token(next).send().await;
            let answer = answer.map_err(|error| Failure::of(&error, "secretsmanager:ListSecretVersionIds"))?;
            if answer.versions().iter().any(|known| known.version_id() == Some(version)) {
                return Ok(true);
            }
            next = answer.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(false);
            }
        }
    }

    /// Moves a label; where none of the two versions has it, AWS refuses.
    pub(super) async fn move_stage(
        &self,
        name: &str,
        stage: &str,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<(), Failure> {
        let call = self.client.update_secret_version_stage().secret_id(name).version_stage(stage);
        let call = call.set_remove_from_version_id(from.map(ToOwned::to_owned));
        let answer = call.set_move_to_version_id(to.map(ToOwned::to_owned)).send().await;
        answer.map(|_| ()).map_err(|error| Failure::of(&error, "secretsmanager:UpdateSecretVersionStage"))
    }

    pub(super) async fn tag(&self, name: &str, tags: &[(String, String)]) -> Result<(), Failure> {
        let call = self.client.tag_resource().secret_id(name).set_tags(Some(tags.iter().map(tag).collect()));
        call.send().await.map(|_| ()).map_err(|error| Failure::of(&error, "secretsmanager:TagResource"))
    }

    pub(super) async fn get(&self, name: &str, which: Which<'_>) -> Result<Found, Failure> {
        let call = self.client.get_secret_value().secret_id(name);
        let call = match which {
            Which::Current => call.version_stage(CURRENT),
            Which::Version(version) => call.version_id(version),
            Which::Stage(stage) => call.version_stage(stage),
        };
        let answer = call.send().await.map_err(|error| Failure::of(&error, "secretsmanager:GetSecretValue"))?;
        Ok(Found {
            is_current: is_current(answer.version_stages()),
            name: name.to_owned(),
            version: answer.version_id.unwrap_or_default(),
            value: answer.secret_string.map(SecretValue::new),
        })
    }

    /// The current versions of up to 20 secrets, and what went wrong with each of the others, by name. One that is in
    /// neither has to be asked for alone.
    pub(super) async fn get_batch(&self, names: &[&str]) -> Result<Batch, Failure> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let answer = self.client.batch_get_secret_value().set_secret_id_list(Some(names)).send().await;
        let answer = answer.map_err(|error| Failure::of(&error, "secretsmanager:BatchGetSecretValue"))?;
        let mut batch = Batch::default();
        for entry in answer.secret_values.unwrap_or_default() {
            let found = Found {
                is_current: is_current(entry.version_stages()),
                name: entry.name.unwrap_or_default(),
                version: entry.version_id.unwrap_or_default(),
                value: entry.secret_string.map(SecretValue::new),
            };
            batch.found.insert(found.name.clone(), found);
        }
        for error in answer.errors.unwrap_or_default() {
            let code = error.error_code.unwrap_or_default();
            batch.failed.insert(error.secret_id.unwrap_or_default(), code);
        }
        Ok(batch)
    }

    /// Schedules a secret for deletion after so many days; none: at once.
    pub(super) async fn delete(&self, name: &str, days: Option<i64>) -> Result<(), Failure> {
        let call = self.client.delete_secret().secret_id(name).set_recovery_window_in_days(days);
        let call = call.set_force_delete_without_recovery(days.is_none().then_some(true));
        call.send().await.map(|_| ()).map_err(|error| Failure::of(&error, "secretsmanager:DeleteSecret"))
    }

    pub(super) async fn restore(&self, name: &str) -> Result<(), Failure> {
        let answer = self.client.restore_secret().secret_id(name).send().await;
        answer.map(|_| ()).map_err(|error| Failure::of(&error, "secretsmanager:RestoreSecret"))
    }

    /// A page of the names that this cluster keeps.
    pub(super) async fn list(&self, cluster: &str, from: Option<&str>) -> Result<SecretPage, Failure> {
        let filter = |key, value: &str| Filter::builder().key(key).values(value).build();
        let call = self.client.list_secrets().max_results(PAGE);
        let call = call.filters(filter(FilterNameStringType::TagKey, CLUSTER_TAG));
        let call = call.filters(filter(FilterNameStringType::TagValue, cluster));
        let answer = call.set_next_token(from.map(ToOwned::to_owned)).send().await;
        let answer = answer.map_err(|error| Failure::of(&error, "secretsmanager:ListSecrets"))?;
        // The filters match beginnings, and any tag's value.
        let ours = answer.secret_list.unwrap_or_default().into_iter();
        let ours = ours.filter(|entry| cluster_of(entry.tags()).as_deref() == Some(cluster));
        Ok(SecretPage {
            names: ours.filter_map(|entry| entry.name).collect(),
            next: answer.next_token.filter(|token| !token.is_empty()),
        })
    }
}

/// What one batched read answered.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) found: HashMap<String, Found>,
    /// The codes of errors.
    pub(super) failed: HashMap<String, String>,
}

fn is_current(stages: &[String]) -> bool {
    stages.iter().any(|stage| stage == CURRENT)
}

fn cluster_of(tags: &[Tag]) -> Option<String> {
    tags.iter().find(|tag| tag.key() == Some(CLUSTER_TAG)).and_then(|tag| tag.value.clone())
}

fn tag((key, value): &(String, String)) -> Tag {
    Tag::builder().key(key).value(value).build()
}
