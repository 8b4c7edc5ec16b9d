//! What the encrypted database promises beyond the others: its rows are worth nothing to who holds the file only.

use std::fs;
use std::sync::Arc;

use strongroom_domain::{
    CiphertextStore, NamedVersion, SealedSecret, Sealer, SecretId, SecretValue, SecretVersion, SecretsError,
    SecretsErrorKind, SecretsManager, StoredSecret,
};
use strongroom_secrets_managers::{EncryptedDatabase, KeyRing, KeyRingFile, SharedKeyRing};
use tempfile::TempDir;
use uuid::Uuid;

use super::{backends, promises};

const CANARY: &str = "canary-91f07c3d-in-the-database";

/// An encrypted database whose rows a test can reach behind its back.
struct Opened {
    directory: TempDir,
    rows: Arc<dyn CiphertextStore>,
    manager: EncryptedDatabase,
}

fn open() -> Opened {
    let directory = TempDir::new().unwrap();
    let parts = backends::parts(&directory);
    let manager = EncryptedDatabase::new(Arc::clone(&parts.ciphertexts), parts.ring);
    Opened { directory, rows: parts.ciphertexts, manager }
}

async fn put(opened: &Opened, path: &str) -> StoredSecret {
    let secret = promises::named(SecretId::of_service(Uuid::from_u128(1), path));
    let value = SecretValue::new(CANARY.to_owned());
    let version = opened.manager.put(promises::put_of(&secret, &value)).await.unwrap();
    StoredSecret { id: secret.id, version }
}

/// What a document that names this row would ask for.
fn named(secret: &StoredSecret) -> NamedVersion {
    NamedVersion { secret: promises::named(secret.id.clone()), version: secret.version.clone() }
}

async fn get(manager: &EncryptedDatabase, secret: &StoredSecret) -> Result<SecretValue, SecretsError> {
    manager.get(&named(secret)).await.map(|found| found.value)
}

async fn ciphertext_of(opened: &Opened, secret: &StoredSecret) -> Vec<u8> {
    opened.rows.load(std::slice::from_ref(secret)).await.unwrap().remove(0).unwrap()
}

async fn insert(opened: &Opened, secret: &StoredSecret, ciphertext: Vec<u8>) {
    let key_id = opened.manager.sealer().unwrap().seal(&secret.id, &SecretValue::new("x".into())).unwrap().key_id;
    opened.rows.insert(SealedSecret { secret: secret.clone(), key_id, ciphertext }).await.unwrap();
}

#[tokio::test]
async fn a_ciphertext_copied_to_another_row_does_not_open() {
    let opened = open();
    let original = put(&opened, "/config/password").await;
    let ciphertext = ciphertext_of(&opened, &original).await;
    let elsewhere = SecretId::of_service(Uuid::from_u128(2), "/config/password");
    let copies = [
        StoredSecret { id: elsewhere, version: original.version.clone() },
        StoredSecret { id: original.id.clone(), version: SecretVersion::random() },
    ];

    for copy in copies {
        insert(&opened, &copy, ciphertext.clone()).await;

        let error = get(&opened.manager, &copy).await.unwrap_err();

        assert_eq!(error.kind, SecretsErrorKind::Corrupt, "{error}");
        assert_eq!(error.id.as_deref(), Some(&copy.id));
    }
    assert_eq!(get(&opened.manager, &original).await.unwrap().reveal(), CANARY);
}

#[tokio::test]
async fn one_row_that_cannot_be_decrypted_spoils_no_other() {
    let opened = open();
    let good = put(&opened, "/config/password").await;
    let bad = StoredSecret { id: SecretId::of_service(Uuid::from_u128(3), "/x"), version: SecretVersion::random() };
    insert(&opened, &bad, vec![1; 60]).await;

    let read = opened.manager.get_many(&[named(&bad), named(&good)]).await;

    assert_eq!(read[0].as_ref().unwrap_err().kind, SecretsErrorKind::Corrupt);
    assert_eq!(read[1].as_ref().unwrap().value.reveal(), CANARY);
}

#[tokio::test]
async fn a_deleted_version_is_gone() {
    let opened = open();
    let old = put(&opened, "/config/password").await;
    let new = put(&opened, "/config/password").await;

    opened.manager.delete_version(&named(&old)).await.unwrap();

    assert_eq!(get(&opened.manager, &old).await.unwrap_err().kind, SecretsErrorKind::NotFound);
    assert_eq!(get(&opened.manager, &new).await.unwrap().reveal(), CANARY);
}

#[tokio::test]
async fn what_was_sealed_for_a_transaction_reads_back_like_what_was_put() {
    let opened = open();
    let id = SecretId::of_service(Uuid::from_u128(4), "/config/token");

    let sealed = opened.manager.sealer().unwrap().seal(&id, &SecretValue::new(CANARY.to_owned())).unwrap();
    let secret = sealed.secret.clone();
    opened.rows.insert(sealed).await.unwrap();

    assert_eq!(get(&opened.manager, &secret).await.unwrap().reveal(), CANARY);
}

#[tokio::test]
async fn a_key_added_to_the_file_encrypts_from_then_on_and_the_old_one_still_decrypts() {
    let opened = open();
    let before = put(&opened, "/config/password").await;
    let keys = KeyRingFile::new(opened.directory.path().join("keys"));

    keys.add_key(0).unwrap();
    let ring = SharedKeyRing::load(keys).unwrap();
    let reopened = EncryptedDatabase::new(Arc::clone(&opened.rows), ring.clone());

    assert_eq!(get(&reopened, &before).await.unwrap().reveal(), CANARY);
    let sealed = reopened.sealer().unwrap().seal(&before.id, &SecretValue::new("new".into())).unwrap();
    assert_eq!(&sealed.key_id, ring.current().newest());
    // The process that runs already finds the new key by itself.
    opened.rows.insert(sealed.clone()).await.unwrap();
    assert_eq!(get(&opened.manager, &sealed.secret).await.unwrap().reveal(), "new");
}

#[tokio::test]
async fn a_row_resealed_under_the_newest_key_is_the_same_version_and_needs_the_old_key_no_more() {
    let opened = open();
    let secret = put(&opened, "/config/password").await;
    let keys = KeyRingFile::new(opened.directory.path().join("keys"));
    let old = keys.load().unwrap().newest().clone();
    keys.add_key(0).unwrap();
    let both = SharedKeyRing::load(keys.clone()).unwrap();
    let sealer = EncryptedDatabase::new(Arc::clone(&opened.rows), both);

    let row = opened.rows.encrypted_with(&old, 10).await.unwrap().remove(0);
    let value = sealer.open(&row.secret, &row.ciphertext).unwrap();
    let resealed = sealer.reseal(&row.secret, &value).unwrap();
    assert_eq!(opened.rows.reencrypt(vec![(row, resealed)]).await.unwrap(), 1);

    let text = fs::read_to_string(keys.path()).unwrap();
    let newest_line = text.lines().find(|line| !line.is_empty() && !line.starts_with('#')).unwrap();
    let newest_only = SharedKeyRing::fixed(KeyRing::parse(newest_line).unwrap());
    let without_the_old_key = EncryptedDatabase::new(Arc::clone(&opened.rows), newest_only);
    assert_eq!(get(&without_the_old_key, &secret).await.unwrap().reveal(), CANARY);
    assert!(opened.rows.encrypted_with(&old, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn no_file_of_the_database_shows_a_value() {
    let opened = open();
    for index in 0..20 {
        put(&opened, &format!("/config/password/{index}")).await;
    }

    assert!(opened.directory.path().join("strongroom.db").exists());
    for entry in fs::read_dir(opened.directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let shows = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
        assert!(!shows, "{} shows a value", path.display());
    }
}
