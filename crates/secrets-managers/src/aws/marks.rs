//! What we write beside a secret so that people, and other clusters, see whose it is.

use strongroom_domain::{NamedSecret, SecretPut};

/// Which cluster keeps a secret.
pub(super) const CLUSTER_TAG: &str = "strongroom:cluster";
const SERVICE_TAG: &str = "strongroom:service";
const OWNER_TAG: &str = "strongroom:owner";

/// The longest value of a tag, in characters:
/// <https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html>
const TAG_LENGTH: usize = 256;

/// The tags of one cluster's secrets.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    configured: Vec<(String, String)>,
    cluster: String,
}

impl Marks {
    /// The tags of the configuration, and those of this cluster.
    pub(super) fn new(configured: &[(String, String)], cluster: &str) -> Self {
        let is_ours = |key: &str| [CLUSTER_TAG, SERVICE_TAG, OWNER_TAG].contains(&key);
        let configured = configured.iter().filter(|(key, _)| !is_ours(key)).cloned().collect();
        Self { configured, cluster: tag_value(cluster) }
    }

    /// The tags of a secret.
    pub(super) fn tags_of(&self, put: &SecretPut<'_>) -> Vec<(String, String)> {
        let id = &put.secret.id;
        let ours = [
            (SERVICE_TAG, tag_value(put.label)),
            (CLUSTER_TAG, self.cluster.clone()),
            (OWNER_TAG, format!("{}/{}", id.owner_kind.as_str(), id.owner_id)),
        ];
        let ours = ours.into_iter().map(|(key, value)| (key.to_owned(), value));
        self.configured.iter().cloned().chain(ours).collect()
    }

    /// The value by which the secrets of this cluster are found.
    pub(super) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Says whether a secret with this cluster's tag, or none, is ours.
    pub(super) fn is_ours(&self, cluster: Option<&str>) -> bool {
        cluster == Some(&self.cluster)
    }
}

/// What people read beside a secret, in at most this many characters.
pub(super) fn description(label: &str, secret: &NamedSecret, length: usize) -> String {
    let text = format!("Strongroom: {} {}", label, secret.id.path);
    let plain = |character: char| if character.is_control() { ' ' } else { character };
    text.chars().map(plain).take(length).collect()
}

/// A text in the characters that tags may have.
fn tag_value(text: &str) -> String {
    let plain = |character: char| {
        if character.is_alphanumeric() || " _.:/=+-@".contains(character) { character } else { '_' }
    };
    text.chars().map(plain).take(TAG_LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_only_characters_that_aws_takes() {
        assert_eq!(tag_value("My \"Shop\" (prod)\n#1"), "My _Shop_ _prod___1");
        assert_eq!(tag_value(&"é".repeat(300)).chars().count(), TAG_LENGTH);
    }
}
