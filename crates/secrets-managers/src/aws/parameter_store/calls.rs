//! The calls of Parameter Store that we make, one function each, with the IAM action that allows it.

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::{Parameter, ParameterStringFilter, ParameterTier, ParameterType, ResourceTypeForTagging, Tag};
use strongroom_domain::{SecretPage, SecretValue};

use crate::aws::error::Failure;
use crate::aws::marks::CLUSTER_TAG;

/// How many entries one page of a history or a list has, at most:
/// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameterHistory.html>
const PAGE: i32 = 50;

/// The calls, each one round trip.
pub(super) struct Calls {
    pub(super) client: Client,
}

/// A value on its way into a parameter.
#[derive(Clone)]
pub(super) struct NewValue<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a SecretValue,
    pub(super) description: &'a str,
    pub(super) kms_key_id: Option<&'a str>,
    pub(super) tier: ParameterTier,
}

/// A version of a parameter.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) version: i64,
    pub(super) value: Option<SecretValue>,
}

/// One entry of a parameter's history, without its value.
pub(super) struct HistoryEntry {
    pub(super) version: i64,
    pub(super) description: String,
}

impl Calls {
    /// Makes a parameter, and fails where there is one; gives its version.
    pub(super) async fn create(&self, new: &NewValue<'_>, tags: &[(String, String)]) -> Result<i64, Failure> {
        let tags = tags.iter().filter_map(tag).collect();
        self.put(new, false, Some(tags)).await
    }

    /// Adds a version, and makes the parameter where there is none; gives the version.
    pub(super) async fn overwrite(&self, new: &NewValue<'_>) -> Result<i64, Failure> {
        self.put(new, true, None).await
    }

    async fn put(&self, new: &NewValue<'_>, overwrite: bool, tags: Option<Vec<Tag>>) -> Result<i64, Failure> {
        let call = self.client.put_parameter().name(new.name).r#type(ParameterType::SecureString);
        // REVEAL: the SDK takes the value as a plain string, and redacts it in `Debug`.
        let call = call.value(new.value.reveal()).description(new.description).tier(new.tier.clone());
        let call = call.set_key_id(new.kms_key_id.map(ToOwned::to_owned)).overwrite(overwrite).set_tags(tags);
        let answer = call.send().await.map_err(|error| Failure::of(&error, "ssm:PutParameter"))?;
        Ok(answer.version())
    }

    pub(super) async fn tag(&self, name: &str, tags: &[(String, String)]) -> Result<(), Failure> {
        let call = self.client.add_tags_to_resource().resource_type(ResourceTypeForTagging::Parameter);
        let call = call.resource_id(name).set_tags(Some(tags.iter().filter_map(tag).collect()));
        call.send().await.map(|_| ()).map_err(|error| Failure::of(&error, "ssm:AddTagsToResource"))
    }

    /// The cluster whose tag a parameter has.
    pub(super) async fn cluster_of(&self, name: &str) -> Result<Option<String>, Failure> {
        let call = self.client.list_tags_for_resource().resource_type(ResourceTypeForTagging::Parameter);
        let answer = call.resource_id(name).send().await;
        let answer = answer.map_err(|error| Failure::of(&error, "ssm:ListTagsForResource"))?;
        Ok(answer.tag_list().iter().find(|tag| tag.key() == CLUSTER_TAG).map(|tag| tag.value().to_owned()))
    }

    /// Reads one parameter by `name` or `name:version`.
    pub(super) async fn get(&self, selector: &str) -> Result<Found, Failure> {
        let answer = self.client.get_parameter().name(selector).with_decryption(true).send().await;
        let answer = answer.map_err(|error| Failure::of(&error, "ssm:GetParameter"))?;
        answer.parameter.map(found).ok_or_else(|| Failure::of_one("EmptyAnswer", "ssm:GetParameter"))
    }

    /// Reads the newest versions of up to ten parameters; those that are missing are left out.
    pub(super) async fn get_batch(&self, names: &[&str]) -> Result<Vec<Found>, Failure> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let answer = self.client.get_parameters().set_names(Some(names)).with_decryption(true).send().await;
        let answer = answer.map_err(|error| Failure::of(&error, "ssm:GetParameters"))?;
        Ok(answer.parameters.unwrap_or_default().into_iter().map(found).collect())
    }

    /// All versions that AWS still has, oldest first, without their values.
    pub(super) async fn history(&self, name: &str) -> Result<Vec<HistoryEntry>, Failure> {
        let (mut entries, mut next) = (Vec::new(), None);
        loop {
            let call = self.client.get_parameter_history().name(name).with_decryption(false).max_results(PAGE);
            let answer = call.set_next_token(next).send().await;
            let answer = answer.map_err(|error| Failure::of(&error, "ssm:GetParameterHistory"))?;
            let versions = answer.parameters.unwrap_or_default().into_iter();
            entries.extend(versions.map(|entry| HistoryEntry {
                version: entry.version,
                description: entry.description.unwrap_or_default(),
            }));
            next = answer.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                entries.sort_by_key(|entry| entry.version);
                return Ok(entries);
            }
        }
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), Failure> {
        let answer = self.client.delete_parameter().name(name).send().await;
        answer.map(|_| ()).map_err(|error| Failure::of(&error, "ssm:DeleteParameter"))
    }

    /// A page of the names that this cluster keeps.
    pub(super) async fn list(&self, cluster: &str, from: Option<&str>) -> Result<SecretPage, Failure> {
        const ACTION: &str = "ssm:DescribeParameters";
        let filter = ParameterStringFilter::builder().key(format!("tag:{CLUSTER_TAG}")).values(cluster).build();
        let filter = filter.map_err(|_| Failure::of_one("InvalidFilter", ACTION))?;
        let call = self.client.describe_parameters().parameter_filters(filter).max_results(PAGE);
        let answer = call.set_next_token(from.map(ToOwned::to_owned)).send().await;
        let answer = answer.map_err(|error| Failure::of(&error, ACTION))?;
        let entries = answer.parameters.unwrap_or_default().into_iter();
        Ok(SecretPage {
            names: entries.filter_map(|entry| entry.name).collect(),
            next: answer.next_token.filter(|token| !token.is_empty()),
        })
    }
}

fn found(parameter: Parameter) -> Found {
    Found {
        name: parameter.name.unwrap_or_default(),
        version: parameter.version,
        value: parameter.value.map(SecretValue::new),
    }
}

fn tag((key, value): &(String, String)) -> Option<Tag> {
    Tag::builder().key(key).value(value).build().ok()
}
