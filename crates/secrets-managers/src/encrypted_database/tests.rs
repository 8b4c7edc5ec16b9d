//! What the encrypted database says when its store or a key is gone. Its other promises are in the conformance suite.

use strongroom_domain::{CiphertextRow, KeyId};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;

/// A database that never answers.
struct Unreachable;

#[async_trait]
impl CiphertextStore for Unreachable {
    async fn insert(&self, _: SealedSecret) -> Result<(), StoreError> {
        Err(gone())
    }

    async fn load(&self, _: &[StoredSecret]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        Err(gone())
    }

    async fn delete(&self, _: &SecretId) -> Result<(), StoreError> {
        Err(gone())
    }

    async fn delete_version(&self, _: &StoredSecret) -> Result<(), StoreError> {
        Err(gone())
    }

    async fn encrypted_with(&self, _: &KeyId, _: usize) -> Result<Vec<CiphertextRow>, StoreError> {
        Err(gone())
    }

    async fn reencrypt(&self, _: Vec<(CiphertextRow, SealedSecret)>) -> Result<usize, StoreError> {
        Err(gone())
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the disk is gone".to_owned())
}

fn on_ring(ring: SharedKeyRing) -> EncryptedDatabase {
    EncryptedDatabase::new(Arc::new(Unreachable), ring)
}

fn unreachable_database() -> EncryptedDatabase {
    on_ring(SharedKeyRing::fixed(KeyRing::parse(&KeyRing::generate_line().unwrap()).unwrap()))
}

fn a_secret() -> SecretId {
    SecretId::of_service(Uuid::from_u128(1), "/config/password")
}

fn named(id: SecretId) -> NamedSecret {
    NamedSecret { id, name: "/suite/password".to_owned() }
}

async fn put(database: &EncryptedDatabase, value: SecretValue) -> SecretsError {
    let secret = named(a_secret());
    database.put(probe::put_of(&secret, &value)).await.unwrap_err()
}

#[tokio::test]
async fn an_outage_is_never_reported_as_missing() {
    let database = unreachable_database();
    let secret = NamedVersion { secret: named(a_secret()), version: SecretVersion::new("v1") };

    let kinds = [
        put(&database, SecretValue::new("value".into())).await.kind,
        database.get(&secret).await.unwrap_err().kind,
        database.find_put(&secret.secret, Uuid::nil()).await.unwrap_err().kind,
        database.delete(&secret.secret).await.unwrap_err().kind,
        database.delete_version(&secret).await.unwrap_err().kind,
        database.check().await.pop().unwrap().outcome.unwrap_err().kind,
    ];
    let many = database.get_many(&[secret.clone(), secret]).await;

    assert!(kinds.iter().all(|kind| *kind == SecretsErrorKind::Unavailable), "{kinds:?}");
    assert_eq!(many.len(), 2);
    assert!(many.iter().all(|read| read.as_ref().unwrap_err().is_retryable()));
}

#[tokio::test]
async fn a_value_over_the_limit_never_reaches_the_store() {
    let value = SecretValue::new("x".repeat(VALUE_BYTES + 1));

    let error = put(&unreachable_database(), value).await;

    assert_eq!(error.kind, SecretsErrorKind::TooLarge { limit: VALUE_BYTES });
}

#[test]
fn a_missing_key_is_named_with_the_remedy() {
    let (here, elsewhere) = (unreachable_database(), unreachable_database());
    let sealed = elsewhere.seal(&a_secret(), &SecretValue::new("canary".into())).unwrap();

    let error = here.open(&sealed.secret, &sealed.ciphertext).unwrap_err();

    assert_eq!(error.kind, SecretsErrorKind::Corrupt);
    assert_eq!(error.detail, Some(format!("put key {} back into the key ring", sealed.key_id)));
}

#[test]
fn a_changed_row_is_reported_and_not_believed() {
    let database = unreachable_database();
    let mut sealed = database.seal(&a_secret(), &SecretValue::new("canary".into())).unwrap();
    *sealed.ciphertext.last_mut().unwrap() ^= 1;

    let error = database.open(&sealed.secret, &sealed.ciphertext).unwrap_err();

    assert_eq!(error.kind, SecretsErrorKind::Corrupt);
    assert_eq!(error.detail.as_deref(), Some("the row was changed outside Strongroom, or belongs to another secret"));
}

#[test]
fn a_row_of_another_process_with_a_newer_key_opens_without_a_restart() {
    let directory = TempDir::new().unwrap();
    let file = KeyRingFile::new(directory.path().join("keys"));
    file.create_new(0).unwrap();
    let here = on_ring(SharedKeyRing::load(file.clone()).unwrap());

    let added = file.add_key(0).unwrap();
    let there = on_ring(SharedKeyRing::load(file).unwrap());
    let sealed = there.seal(&a_secret(), &SecretValue::new("canary".into())).unwrap();

    assert_eq!(sealed.key_id, added);
    // REVEAL: a test compares values.
    assert_eq!(here.open(&sealed.secret, &sealed.ciphertext).unwrap().reveal(), "canary");
    let next = here.seal(&a_secret(), &SecretValue::new("next".into())).unwrap();
    assert_ne!(next.key_id, added, "others may not have it yet");
}
