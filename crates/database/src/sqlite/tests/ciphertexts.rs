//! Envelopes apart from services: for the secrets manager, and for the rotation of keys.

use strongroom_domain::{
    CiphertextRow, CiphertextStore, KeyId, OwnerKind, SecretId, SecretVersion, StoreError, StoredSecret,
};
use uuid::Uuid;

use super::{Scratch, sealed, stored};

#[tokio::test]
async fn rows_are_read_in_the_order_asked_for_and_what_is_absent_is_none() {
    let scratch = Scratch::new();
    let owner = Uuid::new_v4();
    for (path, version) in [("/a", "1"), ("/a", "2"), ("/A", "1")] {
        let text = format!("{path}{version}");
        scratch.database.insert(sealed(owner, path, version, text.as_bytes())).await.unwrap();
    }

    let asked =
        [("/A", "1"), ("/a", "3"), ("/a", "2"), ("/a", "1")].map(|(path, version)| stored(owner, path, version));
    let loaded = scratch.database.load(&asked).await.unwrap();

    let loaded: Vec<_> = loaded.iter().map(|row| row.as_deref()).collect();
    assert_eq!(loaded, [Some(b"/A1".as_slice()), None, Some(b"/a2"), Some(b"/a1")]);
}

#[tokio::test]
async fn deleting_takes_one_version_or_all_and_the_absent_is_not_missed() {
    let scratch = Scratch::new();
    let owner = Uuid::new_v4();
    for version in ["1", "2", "3"] {
        scratch.database.insert(sealed(owner, "/a", version, b"x")).await.unwrap();
    }
    scratch.database.insert(sealed(owner, "/ab", "1", b"y")).await.unwrap();
    let all = ["1", "2", "3"].map(|version| stored(owner, "/a", version));

    scratch.database.delete_version(&all[1]).await.unwrap();
    let present: Vec<_> = scratch.database.load(&all).await.unwrap().iter().map(Option::is_some).collect();
    assert_eq!(present, [true, false, true]);

    CiphertextStore::delete(&scratch.database, &all[0].id).await.unwrap();
    CiphertextStore::delete(&scratch.database, &all[0].id).await.unwrap();
    assert_eq!(scratch.database.load(&all).await.unwrap(), [None, None, None]);
    assert!(scratch.database.load(&[stored(owner, "/ab", "1")]).await.unwrap()[0].is_some());
}

#[tokio::test]
async fn an_envelope_is_replaced_only_while_it_is_the_old_one() {
    let scratch = Scratch::new();
    let owner = Uuid::new_v4();
    for path in ["/a", "/b", "/c"] {
        scratch.database.insert(sealed(owner, path, "1", path.as_bytes())).await.unwrap();
    }
    let rows = scratch.database.encrypted_with(&KeyId::new("first-key"), 2).await.unwrap();
    assert_eq!(rows.len(), 2);
    let mut all = scratch.database.encrypted_with(&KeyId::new("first-key"), 10).await.unwrap();
    all[1].ciphertext = b"not what is there".to_vec();
    let replacements = all.into_iter().map(|old| {
        let mut new = sealed(owner, &old.secret.id.path, "1", b"new");
        new.key_id = KeyId::new("second-key");
        (old, new)
    });

    let replaced = scratch.database.reencrypt(replacements.collect()).await.unwrap();

    assert_eq!(replaced, 2);
    assert_eq!(scratch.database.encrypted_with(&KeyId::new("first-key"), 10).await.unwrap().len(), 1);
    let second = scratch.database.encrypted_with(&KeyId::new("second-key"), 10).await.unwrap();
    assert!(second.iter().all(|row| row.ciphertext == b"new"));
}

#[tokio::test]
async fn an_envelope_of_another_version_is_refused_and_nothing_is_replaced() {
    let scratch = Scratch::new();
    let owner = Uuid::new_v4();
    scratch.database.insert(sealed(owner, "/a", "1", b"old")).await.unwrap();
    let old = || CiphertextRow { secret: stored(owner, "/a", "1"), ciphertext: b"old".to_vec() };
    let replacements = vec![(old(), sealed(owner, "/a", "1", b"new")), (old(), sealed(owner, "/a", "2", b"new"))];

    let outcome = scratch.database.reencrypt(replacements).await;

    assert!(matches!(outcome, Err(StoreError::Unexpected(_))));
    let kept = scratch.database.load(&[stored(owner, "/a", "1")]).await.unwrap();
    assert_eq!(kept[0].as_deref(), Some(b"old".as_slice()));
}

#[tokio::test]
async fn owners_of_two_kinds_stay_apart() {
    let scratch = Scratch::new();
    let owner = Uuid::new_v4();
    let id = SecretId { owner_kind: OwnerKind::Probe, owner_id: owner, path: "/a".to_owned() };
    let probe = StoredSecret { id, version: SecretVersion::new("1") };
    scratch.database.insert(sealed(owner, "/a", "1", b"service")).await.unwrap();
    let mut sealed = sealed(owner, "/a", "1", b"probe");
    sealed.secret = probe.clone();
    scratch.database.insert(sealed).await.unwrap();

    let rows = scratch.database.encrypted_with(&KeyId::new("first-key"), 10).await.unwrap();
    CiphertextStore::delete(&scratch.database, &probe.id).await.unwrap();
    let left = scratch.database.load(&[probe.clone(), stored(owner, "/a", "1")]).await.unwrap();

    assert!(rows.iter().any(|row| row.secret == probe));
    assert_eq!(left, [None, Some(b"service".to_vec())]);
}
