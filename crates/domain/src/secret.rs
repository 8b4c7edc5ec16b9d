//! A secret: its value, its identity, and the reference that stands in its place.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::secret_names::normal_name;

/// What a server shows in place of a secret: nine asterisks.
pub const MASK: &str = "*********";

/// Says whether a text means "keep what is stored": nine asterisks as servers send, or the ten of the Python client.
pub fn is_mask(text: &str) -> bool {
    (text.len() == MASK.len() || text.len() == MASK.len() + 1) && text.bytes().all(|byte| byte == b'*')
}

/// The value of one secret field: redacted in `Debug`, zeroed on drop, without `Display`, `Serialize` or `==`.
#[derive(Clone)]
pub struct SecretValue(SecretString);

impl SecretValue {
    /// Wraps a value; the given buffer is moved, not copied.
    pub fn new(value: String) -> Self {
        Self(SecretString::from(value))
    }

    /// Gives the value in clear. Every call says in a `// REVEAL:` comment why it must.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }

    /// The length of the value in bytes.
    pub fn len(&self) -> usize {
        self.0.expose_secret().len()
    }

    /// Says whether the value is empty; an empty value is no secret and never reaches a secrets manager.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Compares two values in a time that does not depend on where they differ.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.0.expose_secret().as_bytes().ct_eq(other.0.expose_secret().as_bytes()).into()
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretValue(redacted)")
    }
}

/// Whose secret it is. Later kinds (bots, authentication providers, pipelines) are added here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OwnerKind {
    /// A service connection.
    Service,
    /// A probe of `strongroom check`, written and deleted at once.
    Probe,
}

impl OwnerKind {
    /// The word for this kind in rows and in associated data. Never changed: ciphertexts are bound to it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Probe => "probe",
        }
    }

    /// Reads a kind as [`OwnerKind::as_str`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Service, Self::Probe].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Names one secret: its owner and the JSON Pointer of its field inside the owner's document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretId {
    /// What kind of thing owns the secret.
    pub owner_kind: OwnerKind,
    /// Which one.
    pub owner_id: Uuid,
    /// Where in it, for example `/config/authType/password`.
    pub path: String,
}

impl SecretId {
    /// The id of a field of a service's connection.
    pub fn of_service(service_id: Uuid, path: impl Into<String>) -> Self {
        Self { owner_kind: OwnerKind::Service, owner_id: service_id, path: path.into() }
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}{}", self.owner_kind.as_str(), self.owner_id, self.path)
    }
}

/// Names one put of a secret. Opaque: only the secrets manager that made it knows its form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretVersion(String);

impl SecretVersion {
    /// Wraps what a store calls its version.
    pub fn new(version: impl Into<String>) -> Self {
        Self(version.into())
    }

    /// A new random version, for stores that leave the naming to us.
    pub fn random() -> Self {
        Self(Uuid::new_v4().simple().to_string())
    }

    /// The version as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One version of one secret, as a document refers to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoredSecret {
    /// Which secret.
    pub id: SecretId,
    /// Which put of it.
    pub version: SecretVersion,
}

/// One secret as a store outside of our database knows it: by a name, which workers use too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamedSecret {
    /// Which secret.
    pub id: SecretId,
    /// Its name in the store, the one behind `secret:`.
    pub name: String,
}

impl NamedSecret {
    /// Its name in the form in which names are compared.
    pub fn normal_name(&self) -> String {
        normal_name(&self.name)
    }
}

/// One version of one secret in a store outside of our database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamedVersion {
    /// Which secret.
    pub secret: NamedSecret,
    /// Which put of it.
    pub version: SecretVersion,
}

impl NamedVersion {
    /// The same without its name, as the encrypted database knows it.
    pub fn stored(&self) -> StoredSecret {
        StoredSecret { id: self.secret.id.clone(), version: self.version.clone() }
    }
}

/// `secret:<name>`: what stands in a stored document in place of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretReference(String);

impl SecretReference {
    const PREFIX: &'static str = "secret:";

    /// The reference to a name.
    pub fn to_name(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Reads a reference, or nothing where the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        text.strip_prefix(Self::PREFIX).map(Self::to_name)
    }

    /// The name behind `secret:`.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", Self::PREFIX, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_and_ten_asterisks_are_masks_and_nothing_else_is() {
        assert!(is_mask("*********"));
        assert!(is_mask("**********"));
        assert!(!is_mask("********"));
        assert!(!is_mask("***********"));
        assert!(!is_mask("****x****"));
    }

    #[test]
    fn debug_does_not_show_the_value() {
        let value = SecretValue::new("canary".to_owned());

        assert_eq!(format!("{value:?}"), "SecretValue(redacted)");
    }

    #[test]
    fn a_reference_reads_back_what_it_writes() {
        let reference = SecretReference::to_name("/openmetadata/database/shop/password");

        assert_eq!(SecretReference::parse(&reference.to_string()), Some(reference));
        assert_eq!(SecretReference::parse("Secret:/x"), None);
    }
}
