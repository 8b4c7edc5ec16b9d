//! The contract of every secrets manager, and what the encrypted database needs beside it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use uuid::Uuid;

use crate::row_signer::KeyId;
use crate::secret::{NamedSecret, NamedVersion, SecretId, SecretValue, SecretVersion, StoredSecret};
use crate::store_error::StoreError;

/// A place that keeps secrets.
///
/// Promises of every implementation (one test each in the conformance suite): a value reads back byte for byte;
/// a put makes a new version, and the same put repeated makes one; missing is [`SecretsErrorKind::NotFound`] and an
/// outage never is; deleting the absent succeeds; deleted is gone and can be put again at once; ids that differ only in
/// case or punctuation stay apart; a value over the limit is [`SecretsErrorKind::TooLarge`] before any call; concurrent
/// puts leave one whole value; no value and no credential appears in an error, a log line or `Debug`.
#[async_trait]
pub trait SecretsManager: Send + Sync {
    /// The name of the kind, as in the configuration.
    fn kind(&self) -> &'static str;

    /// Which store of this kind, for example `managed-aws:eu-west-1`: what a document notes beside its secrets.
    fn place(&self) -> &str {
        self.kind()
    }

    /// What this store can hold.
    fn limits(&self) -> Limits;

    /// The rule of the store that keeps it from holding this value, whatever its length; none: it can.
    fn refusal(&self, _value: &SecretValue) -> Option<&'static str> {
        None
    }

    /// The same store without what is remembered of it, where something is.
    fn unremembered(&self) -> Option<&dyn SecretsManager> {
        None
    }

    /// Keeps a value as a new version of the secret.
    async fn put(&self, put: SecretPut<'_>) -> Result<SecretVersion, SecretsError>;

    /// Makes a version what workers get, who ask by name: called once a document names it. `replaced` is the version
    /// that the document named before.
    async fn make_current(
        &self,
        _secret: &NamedVersion,
        _replaced: Option<&SecretVersion>,
    ) -> Result<(), SecretsError> {
        Ok(())
    }

    /// Reads one version of one secret.
    async fn get(&self, secret: &NamedVersion) -> Result<FoundSecret, SecretsError>;

    /// Reads many, in the order asked for; one that fails spoils no other.
    async fn get_many(&self, secrets: &[NamedVersion]) -> Vec<Result<FoundSecret, SecretsError>>;

    /// Reads what the store has under this name now, whoever put it there; absent: [`SecretsErrorKind::NotFound`].
    async fn get_current(&self, secret: &NamedSecret) -> Result<(SecretVersion, SecretValue), SecretsError> {
        Err(SecretsError::new(SecretsErrorKind::Settings, self.kind(), "get")
            .on(&secret.id)
            .because("this secrets manager has no names: documents alone say which version counts"))
    }

    /// The version that a put with this token made, where it was carried out: an answer may have been lost.
    async fn find_put(&self, secret: &NamedSecret, token: Uuid) -> Result<Option<SecretVersion>, SecretsError>;

    /// Takes back a put that no document came to name. `committed` is the version that a document names, where one does:
    /// workers get that one again.
    async fn withdraw(&self, secret: &NamedVersion, committed: Option<&SecretVersion>) -> Result<(), SecretsError> {
        match committed {
            Some(_) => self.delete_version(secret).await,
            None => self.delete(&secret.secret).await,
        }
    }

    /// Deletes a secret with all its versions; succeeds where there is none.
    async fn delete(&self, secret: &NamedSecret) -> Result<(), SecretsError>;

    /// Brings back a secret that was deleted lately, where the store keeps such for a time; else nothing happens.
    async fn bring_back(&self, _secret: &NamedSecret) -> Result<(), SecretsError> {
        Ok(())
    }

    /// Deletes one version; succeeds where there is none, and where a store keeps its own history.
    async fn delete_version(&self, secret: &NamedVersion) -> Result<(), SecretsError>;

    /// A page of the names under which this cluster keeps secrets here; `from` is [`SecretPage::next`] of the page
    /// before.
    async fn list(&self, _from: Option<&str>) -> Result<SecretPage, SecretsError> {
        Ok(SecretPage::default())
    }

    /// Reads a secret that is not ours, to which a user typed a reference.
    async fn get_foreign(&self, _secret: &ForeignName) -> Result<ForeignSecret, SecretsError> {
        Err(SecretsError::new(SecretsErrorKind::Settings, self.kind(), "resolve a reference")
            .because("this secrets manager has no names that a reference could mean"))
    }

    /// Looks whether the store can be reached and allows all of the above, by a round trip of a probe secret: what was
    /// tried, in order. The last one may have failed.
    async fn check(&self) -> Vec<CheckStep>;

    /// What it costs to keep secrets here, and how fast they can be put; none: nothing but our own disk.
    fn tariff(&self) -> Option<Tariff> {
        None
    }

    /// The part that seals values into rows of our own database, where this manager has one. Sealed values travel
    /// in the transaction of the document that names them instead of through [`SecretsManager::put`].
    fn sealer(&self) -> Option<&dyn Sealer> {
        None
    }
}

/// A value on its way into a store.
#[derive(Clone, Copy, Debug)]
pub struct SecretPut<'a> {
    /// Which secret.
    pub secret: &'a NamedSecret,
    /// The service that it is of, for people who look into the store.
    pub label: &'a str,
    /// The value.
    pub value: &'a SecretValue,
    /// Names this put, so that a repeated one makes no second version.
    pub token: Uuid,
    /// What may be there already.
    pub mode: PutMode,
    /// Whether an earlier try may have been carried out.
    pub is_repeated: bool,
}

/// What a put may find in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutMode {
    /// No document of ours names it: it is made. One that this cluster left behind is taken over; anybody else's is
    /// [`SecretsErrorKind::NameTaken`].
    New,
    /// A document of ours names it: the new version is not current before [`SecretsManager::make_current`], where the
    /// store knows such a thing. Missing in the store, it is made.
    Replace,
    /// It is made and never overwritten: only the put of this very token is taken for done.
    Move,
}

/// A version of a secret, as a store gave it.
#[derive(Clone, Debug)]
pub struct FoundSecret {
    /// The value.
    pub value: SecretValue,
    /// Whether it is what the store has under the name now, and so what workers get.
    pub is_current: bool,
    /// How long ago the store gave it; zero: just now.
    pub age: Duration,
}

impl FoundSecret {
    /// What a store has just given.
    pub fn now(value: SecretValue, is_current: bool) -> Self {
        Self { value, is_current, age: Duration::ZERO }
    }
}

/// Names of secrets in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretPage {
    /// The names.
    pub names: Vec<String>,
    /// Where the next page begins, where there is one.
    pub next: Option<String>,
}

/// What a user typed behind `secret:`, taken apart: `name[@version][#key]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ForeignName {
    /// The name in the store.
    pub name: String,
    /// Which version; none: the current one.
    pub version: Option<String>,
    /// Which field of a JSON secret; none: all of it.
    pub key: Option<String>,
}

/// A secret that is not ours.
#[derive(Clone, Debug)]
pub struct ForeignSecret {
    /// The whole value, whatever key was asked for.
    pub value: SecretValue,
    /// The cluster of Strongroom that keeps it, where one does.
    pub cluster: Option<String>,
}

/// One thing that a check tried.
#[derive(Debug)]
pub struct CheckStep {
    /// What was tried, for example `create`.
    pub step: &'static str,
    /// What came of it, for people.
    pub outcome: Result<String, SecretsError>,
}

/// What a store can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest value, in bytes.
    pub value_bytes: usize,
    /// How many secrets one batched read may name.
    pub read_batch: usize,
    /// Whether an older version stays readable until it is deleted.
    pub keeps_versions: bool,
    /// Whether a worker with an identity of its own can resolve references to this store.
    pub reachable_by_workers: bool,
}

/// What a store costs and how fast it is, as its provider lists it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tariff {
    /// US dollars a month for one secret.
    pub secret_usd: f64,
    /// US dollars a month for one that is longer than `small_bytes`, or beyond `most_small`.
    pub large_secret_usd: f64,
    /// The longest value that counts as small.
    pub small_bytes: usize,
    /// How many small ones there may be in a region.
    pub most_small: Option<u64>,
    /// US dollars for 10,000 calls.
    pub calls_usd: f64,
    /// How many writes a second are allowed by default, or as the configuration says.
    pub writes_per_second: f64,
    /// Where these figures come from, and when.
    pub source: &'static str,
}

/// Encrypts values into rows and back, without I/O. Only the encrypted database has one.
pub trait Sealer: Send + Sync {
    /// Encrypts a value as a new version of the secret.
    fn seal(&self, id: &SecretId, value: &SecretValue) -> Result<SealedSecret, SecretsError>;

    /// Encrypts a value again, under the newest key, as the version it has.
    fn reseal(&self, secret: &StoredSecret, value: &SecretValue) -> Result<SealedSecret, SecretsError>;

    /// Decrypts a row; fails unless the ciphertext was made for just this secret and version.
    fn open(&self, secret: &StoredSecret, ciphertext: &[u8]) -> Result<SecretValue, SecretsError>;
}

/// An encrypted value on its way into the database.
#[derive(Clone, Debug)]
pub struct SealedSecret {
    /// Which version of which secret it is.
    pub secret: StoredSecret,
    /// The key that encrypted it.
    pub key_id: KeyId,
    /// The envelope: version byte, key id, nonce, ciphertext and tag.
    pub ciphertext: Vec<u8>,
}

/// A ciphertext as the database keeps it.
#[derive(Clone, Debug)]
pub struct CiphertextRow {
    /// Which version of which secret it is.
    pub secret: StoredSecret,
    /// The envelope.
    pub ciphertext: Vec<u8>,
}

/// Where the encrypted database keeps its rows.
#[async_trait]
pub trait CiphertextStore: Send + Sync {
    /// Adds a row, durably.
    async fn insert(&self, sealed: SealedSecret) -> Result<(), StoreError>;

    /// Reads rows, in the order asked for.
    async fn load(&self, secrets: &[StoredSecret]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Deletes all versions of a secret.
    async fn delete(&self, id: &SecretId) -> Result<(), StoreError>;

    /// Deletes one version.
    async fn delete_version(&self, secret: &StoredSecret) -> Result<(), StoreError>;

    /// Up to `limit` rows encrypted with this key, for re-encryption.
    async fn encrypted_with(&self, key_id: &KeyId, limit: usize) -> Result<Vec<CiphertextRow>, StoreError>;

    /// Replaces the envelopes of rows whose ciphertext is still `old`; says how many it replaced.
    async fn reencrypt(&self, replacements: Vec<(CiphertextRow, SealedSecret)>) -> Result<usize, StoreError>;
}

/// Why a secrets manager could not do what it was asked.
///
/// Holds no value, no credential and no text of a store's answer that could quote one.
#[derive(Debug, Error)]
#[error("{store}: {operation}{}: {kind}{}", on(id.as_deref()), because(detail.as_deref()))]
pub struct SecretsError {
    /// What the caller can do about it.
    pub kind: SecretsErrorKind,
    /// The kind of the store.
    pub store: &'static str,
    /// What was asked of it.
    pub operation: &'static str,
    /// Of which secret.
    pub id: Option<Box<SecretId>>,
    /// One more sentence for the operator, such as the remedy.
    pub detail: Option<String>,
    /// What lies beneath; logged, never shown to a client.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

fn on(id: Option<&SecretId>) -> String {
    id.map(|id| format!(" {id}")).unwrap_or_default()
}

fn because(detail: Option<&str>) -> String {
    detail.map(|detail| format!(" ({detail})")).unwrap_or_default()
}

impl SecretsError {
    /// An error of this kind, on nothing in particular.
    pub fn new(kind: SecretsErrorKind, store: &'static str, operation: &'static str) -> Self {
        Self { kind, store, operation, id: None, detail: None, source: None }
    }

    /// Says which secret it was about.
    #[must_use]
    pub fn on(mut self, id: &SecretId) -> Self {
        self.id = Some(Box::new(id.clone()));
        self
    }

    /// Adds a sentence for the operator.
    #[must_use]
    pub fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Keeps what lies beneath.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Says whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, SecretsErrorKind::RateLimited { .. } | SecretsErrorKind::Unavailable)
    }
}

/// What the caller of a secrets manager can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretsErrorKind {
    /// Proven absent.
    NotFound,
    /// The store knows us and says no, or does not know our credentials.
    PermissionDenied,
    /// The store has a secret of this name that is not ours.
    NameTaken,
    /// Longer than the store's limit.
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Too many calls.
    RateLimited {
        /// How long to wait, where the store says so.
        retry_after: Option<Duration>,
    },
    /// Not reached, or no answer in time. Never means "missing".
    Unavailable,
    /// The configuration is wrong.
    Settings,
    /// There, but not readable: changed behind our back, or its key is gone.
    Corrupt,
    /// Anything else.
    Unexpected,
}

impl fmt::Display for SecretsErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => formatter.write_str("not found"),
            Self::PermissionDenied => formatter.write_str("permission denied"),
            Self::NameTaken => formatter.write_str("the name is taken by a secret that is not ours"),
            Self::TooLarge { limit } => write!(formatter, "longer than the store's limit of {limit} bytes"),
            Self::RateLimited { .. } => formatter.write_str("too many calls"),
            Self::Unavailable => formatter.write_str("unavailable"),
            Self::Settings => formatter.write_str("wrong settings"),
            Self::Corrupt => formatter.write_str("cannot be decrypted"),
            Self::Unexpected => formatter.write_str("unexpected answer"),
        }
    }
}
