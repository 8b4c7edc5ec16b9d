//! The names behind `secret:`: how ours are made, and which ones a user may type.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::json_pointer::segments;
use crate::secrets_manager::ForeignName;
use crate::service::Family;

/// The longest name that the strictest of the stores with this naming takes.
const LONGEST: usize = 512;

/// How many levels the strictest of them takes: SSM Parameter Store, 15
/// (<https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-su-create.html>).
const DEEPEST: usize = 15;

/// What names of secrets begin with.
#[derive(Clone, Debug, Default)]
pub struct NameSettings {
    /// `secretsManagerConfiguration.prefix`; may be empty.
    pub prefix: String,
    /// `clusterName`.
    pub cluster: String,
}

impl NameSettings {
    /// What every name begins with.
    pub(crate) fn root(&self) -> String {
        let parts = [&self.prefix, &self.cluster].into_iter().filter(|part| !part.is_empty());
        parts.fold(String::new(), |root, part| root + "/" + &sanitized(part)) + "/"
    }

    /// Names for one secret, the plain one first and then ever longer ones for when it is taken:
    /// `/<prefix>/<cluster>/<family>/<service>/<path>`, then with a hash of the exact path behind it.
    pub(crate) fn candidates(&self, family: Family, service: &str, pointer: &str) -> impl Iterator<Item = String> {
        let path: Vec<String> = segments(pointer).skip_while(|segment| segment == "config").collect();
        let parts = [self.prefix.as_str(), self.cluster.as_str(), family.as_str(), service];
        let exact = parts.iter().copied().chain(path.iter().map(String::as_str)).collect::<Vec<_>>();
        let mut plain = String::new();
        let mut levels = 0;
        for part in exact.iter().filter(|part| !part.is_empty()) {
            levels += 1;
            plain.push(if levels <= DEEPEST { '/' } else { '_' });
            plain.push_str(&sanitized(part));
        }
        let hash = hash_of(&exact);
        let first = (plain.len() <= LONGEST && levels <= DEEPEST).then(|| plain.clone());
        first.into_iter().chain([8, 16, 64].map(move |digits| {
            let digest = hash.get(..digits).unwrap_or(&hash);
            let kept = plain.get(..plain.len().min(LONGEST - digits - 1)).unwrap_or(&plain);
            format!("{kept}-{digest}")
        }))
    }
}

fn sanitized(part: &str) -> String {
    let plain =
        |character: char| if character.is_ascii_alphanumeric() || "_-".contains(character) { character } else { '_' };
    part.to_lowercase().chars().map(plain).collect()
}

/// SHA-256 of the exact parts, each with its length, so that no two paths share one.
fn hash_of(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The form in which names are compared: stores differ in what they take for the same name, so that names which
/// differ only in case, punctuation or a leading slash count as one.
pub(crate) fn normal_name(name: &str) -> String {
    let plain = |character: char| {
        if character.is_ascii_alphanumeric() || "/_-".contains(character) {
            character.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    name.trim_start_matches('/').chars().map(plain).collect()
}

/// Takes apart what a user typed behind `secret:`: `name[@version][#key]`; or says what is wrong with it.
pub(crate) fn parse_typed(text: &str) -> Result<ForeignName, &'static str> {
    let (rest, key) = text.split_once('#').map_or((text, None), |(rest, key)| (rest, Some(key)));
    let (name, version) = rest.split_once('@').map_or((rest, None), |(name, version)| (name, Some(version)));
    if let Some(fault) = fault_of_name(name) {
        return Err(fault);
    }
    let is_word =
        |text: &str| text.chars().all(|character| character.is_ascii_alphanumeric() || "_-.".contains(character));
    if version.is_some_and(|version| version.is_empty() || version.len() > 256 || !is_word(version)) {
        return Err("behind @ a reference has a version of A-Z a-z 0-9 _ - .");
    }
    if key.is_some_and(|key| key.is_empty() || key.chars().any(char::is_control)) {
        return Err("behind # a reference has the key of a field of a JSON secret");
    }
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Ok(ForeignName { name: name.to_owned(), version: owned(version), key: owned(key) })
}

fn fault_of_name(name: &str) -> Option<&'static str> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/_+=.-".contains(character);
    let path = name.strip_prefix('/').unwrap_or(name);
    if path.is_empty() || name.len() > LONGEST {
        return Some("a reference needs a name of 1 to 512 characters behind `secret:`");
    }
    if !name.chars().all(is_plain) {
        return Some("a reference takes a plain name of A-Z a-z 0-9 / _ + = . -: no ARN, no `name:version`, no spaces");
    }
    if path.split('/').any(|segment| segment.is_empty() || segment == "." || segment == "..") {
        return Some("a reference takes no empty part, `.` or `..` between its slashes");
    }
    if path.split('/').next().is_some_and(|first| first.eq_ignore_ascii_case("aws")) {
        return Some("names under /aws/ are the provider's own");
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn names(service: &str, pointer: &str) -> Vec<String> {
        let settings = NameSettings { prefix: String::new(), cluster: "openmetadata".to_owned() };
        settings.candidates(Family::Database, service, pointer).collect()
    }

    #[test]
    fn the_first_name_is_the_one_that_clients_know() {
        let names = names("My.Shop", "/config/authType/password");

        assert_eq!(names[0], "/openmetadata/database/my_shop/authtype/password");
        assert!(names[1].starts_with("/openmetadata/database/my_shop/authtype/password-"));
    }

    #[test]
    fn a_long_name_is_cut_and_told_apart_by_its_hash() {
        let name = names(&"x".repeat(600), "/config/password").remove(0);

        assert!(name.len() <= LONGEST);
    }

    #[test]
    fn a_deep_name_is_folded_and_told_apart_by_its_hash() {
        let deep = "/config".to_owned() + &"/a".repeat(40);
        let folded = "/config".to_owned() + &"/a".repeat(39) + "_a";

        let (name, other) = (names("shop", &deep).remove(0), names("shop", &folded).remove(0));

        assert_eq!(name.matches('/').count(), DEEPEST);
        assert_ne!(name, other);
    }

    #[rstest]
    #[case("arn:aws:secretsmanager:eu-west-1:1:secret:x")]
    #[case("/team/mysql:3")]
    #[case("/aws/reference/secretsmanager/x")]
    #[case("/team//x")]
    #[case("/team/../x")]
    #[case("/team/x/")]
    #[case("")]
    #[case("/te am")]
    #[case("/tëam")]
    #[case("/team/x@")]
    #[case("/team/x#")]
    #[case("/team/x@a b")]
    fn what_is_no_plain_name_is_refused(#[case] name: &str) {
        assert!(parse_typed(name).is_err());
    }

    #[test]
    fn plain_names_may_be_typed_with_a_version_and_a_key() {
        let plain = parse_typed("/team/mysql/password").unwrap();
        let both = parse_typed("team.mysql@AWSPREVIOUS#user@host").unwrap();

        assert_eq!(plain, ForeignName { name: "/team/mysql/password".to_owned(), version: None, key: None });
        assert_eq!((both.name.as_str(), both.version.as_deref()), ("team.mysql", Some("AWSPREVIOUS")));
        assert_eq!(both.key.as_deref(), Some("user@host"));
    }

    #[test]
    fn names_that_a_store_may_take_for_one_are_one() {
        assert_eq!(normal_name("/OpenMetadata/a.b"), normal_name("openmetadata/a_b"));
    }

    proptest! {
        #[test]
        fn hashed_names_of_different_secrets_differ(pairs in prop::collection::hash_set(("[aA._ -]{1,4}", "[aA._ -]{1,4}"), 2..40)) {
            let mut owners = HashMap::new();
            for (service, field) in pairs {
                let name = names(&service, &crate::json_pointer::below("/config", &field)).remove(1);
                prop_assert!(owners.insert(normal_name(&name), (service, field)).is_none());
            }
        }
    }
}
