//! Values of a store outside, remembered for a time: encrypted in memory under a key that nobody else ever has.
//!
//! What is remembered is one version of a secret, which never changes, so that a value always fits the document that names
//! it. What may be out of date is whether somebody else has made another version current in the store meanwhile.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use async_trait::async_trait;
use moka::sync::Cache as Entries;
use rand::TryRng;
use rand::rngs::SysRng;
use strongroom_domain::{
    CheckStep, ForeignName, ForeignSecret, FoundSecret, Limits, NamedSecret, NamedVersion, SecretPage, SecretPut,
    SecretValue, SecretVersion, SecretsError, SecretsErrorKind, SecretsManager, Tariff,
};
use uuid::Uuid;
use zeroize::Zeroizing;

/// How much memory remembered values may take, in bytes.
const MOST_BYTES: u64 = 32 * 1024 * 1024;

const NONCE_BYTES: usize = 12;

/// For how long values are remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheTimes {
    /// For how long the store is not asked again; zero: nothing is remembered.
    pub fresh: Duration,
    /// For how long after that a value is still given while the store is away.
    pub stale: Duration,
}

/// A store whose values are remembered.
pub struct Cache {
    store: Arc<dyn SecretsManager>,
    times: CacheTimes,
    cipher: Aes256Gcm,
    entries: Entries<NamedVersion, Arc<Entry>>,
}

struct Entry {
    sealed: Vec<u8>,
    read: Instant,
}

impl Cache {
    /// Remembers what this store gives, for these times.
    pub fn new(store: Arc<dyn SecretsManager>, times: CacheTimes) -> Result<Self, SecretsError> {
        let mut key = Zeroizing::new([0_u8; 32]);
        SysRng.try_fill_bytes(&mut *key).map_err(|error| {
            SecretsError::new(SecretsErrorKind::Unavailable, store.kind(), "cache").caused_by(error)
        })?;
        let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key));
        let weigh = |secret: &NamedVersion, entry: &Arc<Entry>| {
            let id = &secret.secret;
            let bytes = id.name.len() + id.id.path.len() + secret.version.as_str().len() + entry.sealed.len() + 128;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let entries =
            Entries::builder().max_capacity(MOST_BYTES).weigher(weigh).time_to_live(times.fresh + times.stale).build();
        Ok(Self { store, times, cipher, entries })
    }

    /// What is remembered of a secret, and whether it is young enough to be given without asking the store.
    fn remembered(&self, secret: &NamedVersion) -> Option<(FoundSecret, bool)> {
        let entry = self.entries.get(secret)?;
        let (nonce, ciphertext) = entry.sealed.split_at_checked(NONCE_BYTES)?;
        let payload = Payload { msg: ciphertext, aad: secret.version.as_str().as_bytes() };
        let opened = self.cipher.decrypt(&Nonce::try_from(nonce).ok()?, payload).ok()?;
        let value = SecretValue::new(String::from_utf8(opened).ok()?);
        let age = entry.read.elapsed();
        Some((FoundSecret { value, is_current: true, age }, age < self.times.fresh))
    }

    /// Only what is current: else each look tells anew what the store has instead.
    fn remember(&self, secret: &NamedVersion, found: &FoundSecret) {
        let mut nonce = [0_u8; NONCE_BYTES];
        if !found.is_current || SysRng.try_fill_bytes(&mut nonce).is_err() {
            return;
        }
        // REVEAL: it is encrypted at once.
        let payload = Payload { msg: found.value.reveal().as_bytes(), aad: secret.version.as_str().as_bytes() };
        let Ok(ciphertext) = self.cipher.encrypt(&Nonce::from(nonce), payload) else { return };
        let sealed = [&nonce[..], &ciphertext].concat();
        self.entries.insert(secret.clone(), Arc::new(Entry { sealed, read: Instant::now() }));
    }

    /// What the store gave; while it is away, what is remembered.
    fn settle(
        &self,
        secret: &NamedVersion,
        answer: Result<FoundSecret, SecretsError>,
    ) -> Result<FoundSecret, SecretsError> {
        match answer {
            Ok(found) => {
                self.remember(secret, &found);
                Ok(found)
            }
            Err(error) if error.is_retryable() => self.remembered(secret).map(|(found, _)| found).ok_or(error),
            Err(error) => {
                self.entries.invalidate(secret);
                Err(error)
            }
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Cache({}, {} values, redacted)", self.store.place(), self.entries.entry_count())
    }
}

#[async_trait]
impl SecretsManager for Cache {
    fn kind(&self) -> &'static str {
        self.store.kind()
    }

    fn place(&self) -> &str {
        self.store.place()
    }

    fn limits(&self) -> Limits {
        self.store.limits()
    }

    fn refusal(&self, value: &SecretValue) -> Option<&'static str> {
        self.store.refusal(value)
    }

    fn unremembered(&self) -> Option<&dyn SecretsManager> {
        Some(&*self.store)
    }

    async fn get(&self, secret: &NamedVersion) -> Result<FoundSecret, SecretsError> {
        if let Some((found, true)) = self.remembered(secret) {
            return Ok(found);
        }
        self.settle(secret, self.store.get(secret).await)
    }

    async fn get_many(&self, secrets: &[NamedVersion]) -> Vec<Result<FoundSecret, SecretsError>> {
        let mut answers: Vec<Option<Result<FoundSecret, SecretsError>>> = secrets
            .iter()
            .map(|secret| self.remembered(secret).filter(|(_, is_fresh)| *is_fresh).map(|(found, _)| Ok(found)))
            .collect();
        let asked: Vec<NamedVersion> = secrets
            .iter()
            .zip(&answers)
            .filter(|(_, answer)| answer.is_none())
            .map(|(secret, _)| secret.clone())
            .collect();
        if !asked.is_empty() {
            let mut read = self.store.get_many(&asked).await.into_iter();
            for (secret, answer) in secrets.iter().zip(&mut answers).filter(|(_, answer)| answer.is_none()) {
                *answer = read.next().map(|read| self.settle(secret, read));
            }
        }
        let lost = || SecretsError::new(SecretsErrorKind::Unexpected, self.store.kind(), "get");
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(lost()))).collect()
    }

    async fn put(&self, put: SecretPut<'_>) -> Result<SecretVersion, SecretsError> {
        self.store.put(put).await
    }

    async fn make_current(&self, secret: &NamedVersion, replaced: Option<&SecretVersion>) -> Result<(), SecretsError> {
        self.store.make_current(secret, replaced).await
    }

    async fn get_current(&self, secret: &NamedSecret) -> Result<(SecretVersion, SecretValue), SecretsError> {
        self.store.get_current(secret).await
    }

    async fn find_put(&self, secret: &NamedSecret, token: Uuid) -> Result<Option<SecretVersion>, SecretsError> {
        self.store.find_put(secret, token).await
    }

    async fn withdraw(&self, secret: &NamedVersion, committed: Option<&SecretVersion>) -> Result<(), SecretsError> {
        self.entries.invalidate(secret);
        self.store.withdraw(secret, committed).await
    }

    async fn delete(&self, secret: &NamedSecret) -> Result<(), SecretsError> {
        self.store.delete(secret).await
    }

    async fn bring_back(&self, secret: &NamedSecret) -> Result<(), SecretsError> {
        self.store.bring_back(secret).await
    }

    async fn delete_version(&self, secret: &NamedVersion) -> Result<(), SecretsError> {
        self.entries.invalidate(secret);
        self.store.delete_version(secret).await
    }

    async fn list(&self, from: Option<&str>) -> Result<SecretPage, SecretsError> {
        self.store.list(from).await
    }

    async fn get_foreign(&self, secret: &ForeignName) -> Result<ForeignSecret, SecretsError> {
        self.store.get_foreign(secret).await
    }

    fn tariff(&self) -> Option<Tariff> {
        self.store.tariff()
    }

    async fn check(&self) -> Vec<CheckStep> {
        self.store.check().await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use strongroom_domain::{PutMode, SecretId};

    use super::*;
    use crate::InMemory;

    async fn put(store: &dyn SecretsManager, text: &str) -> NamedVersion {
        let id = SecretId::of_service(Uuid::new_v4(), "/config/password");
        let secret = NamedSecret { id, name: "/c/database/s/password".to_owned() };
        let value = SecretValue::new(text.to_owned());
        let (token, mode) = (Uuid::new_v4(), PutMode::New);
        let put = SecretPut { secret: &secret, label: "s", value: &value, token, mode, is_repeated: false };
        let version = store.put(put).await.unwrap();
        NamedVersion { secret, version }
    }

    fn cache(store: &Arc<InMemory>, fresh: Duration) -> Cache {
        let store: Arc<dyn SecretsManager> = store.clone();
        Cache::new(store, CacheTimes { fresh, stale: Duration::ZERO }).unwrap()
    }

    #[tokio::test]
    async fn a_value_that_is_remembered_is_given_without_asking_the_store() {
        let store = Arc::new(InMemory::new());
        let cache = cache(&store, Duration::from_mins(1));
        let (here, there) = (put(&cache, "canary").await, put(&cache, "other").await);
        cache.get_many(std::slice::from_ref(&here)).await.remove(0).unwrap();

        store.delete(&here.secret).await.unwrap();
        let read = cache.get_many(&[there.clone(), here.clone()]).await;

        // REVEAL: a test compares values.
        let texts: Vec<_> = read.iter().map(|read| read.as_ref().unwrap().value.reveal()).collect();
        assert_eq!(texts, ["other", "canary"]);
        assert!(cache.unremembered().unwrap().get(&here).await.is_err());
    }

    #[tokio::test]
    async fn what_is_too_old_is_asked_for_again() {
        let store = Arc::new(InMemory::new());
        let cache = cache(&store, Duration::from_nanos(1));
        let secret = put(&cache, "canary").await;
        cache.get(&secret).await.unwrap();

        store.delete(&secret.secret).await.unwrap();

        assert_eq!(cache.get(&secret).await.unwrap_err().kind, SecretsErrorKind::NotFound);
    }

    #[tokio::test]
    async fn memory_holds_no_value_in_clear() {
        let store = Arc::new(InMemory::new());
        let cache = cache(&store, Duration::from_mins(1));
        let secret = put(&cache, "canary").await;
        cache.get(&secret).await.unwrap();

        let sealed = cache.entries.get(&secret).unwrap().sealed.clone();

        assert!(!sealed.windows(6).any(|window| window == b"canary"));
        assert!(!format!("{cache:?}").contains("canary"));
    }
}
