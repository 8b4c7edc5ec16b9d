//! Envelopes apart from services: for the secrets manager, and for the rotation of keys.

use strongroom_domain::{CiphertextRow, KeyId, OwnerKind, SecretId, SecretVersion, StoreError, StoredSecret};
use uuid::Uuid;

use super::rows::{sealed, stored};
use crate::support::stores::Store;

async fn rows_are_read_in_the_order_asked_for_and_what_is_absent_is_none(store: Store) {
    let owner = Uuid::new_v4();
    for (path, version) in [("/a", "1"), ("/a", "2"), ("/A", "1")] {
        let text = format!("{path}{version}");
        store.ciphertexts.insert(sealed(owner, path, version, text.as_bytes())).await.unwrap();
    }
    let asked = [("/A", "1"), ("/a", "3"), ("/a", "2"), ("/a", "1"), ("/a", "2")];

    let loaded = store.ciphertexts.load(&asked.map(|(path, version)| stored(owner, path, version))).await.unwrap();

    let loaded: Vec<_> = loaded.iter().map(|row| row.as_deref()).collect();
    assert_eq!(loaded, [Some(b"/A1".as_slice()), None, Some(b"/a2"), Some(b"/a1"), Some(b"/a2")]);
}

async fn a_thousand_rows_are_read_at_once(store: Store) {
    let owner = Uuid::new_v4();
    for path in ["/0", "/1", "/2"] {
        store.ciphertexts.insert(sealed(owner, path, "1", path.as_bytes())).await.unwrap();
    }
    let asked: Vec<_> = (0..1_000).map(|number| stored(owner, &format!("/{}", number % 4), "1")).collect();

    let loaded = store.ciphertexts.load(&asked).await.unwrap();

    assert_eq!(loaded.len(), 1_000);
    for (asked, loaded) in asked.iter().zip(loaded) {
        let expected = (asked.id.path != "/3").then(|| asked.id.path.clone().into_bytes());
        assert_eq!(loaded, expected);
    }
    assert!(store.ciphertexts.load(&[]).await.unwrap().is_empty());
}

async fn deleting_takes_one_version_or_all_and_the_absent_is_not_missed(store: Store) {
    let owner = Uuid::new_v4();
    for version in ["1", "2", "3"] {
        store.ciphertexts.insert(sealed(owner, "/a", version, b"x")).await.unwrap();
    }
    store.ciphertexts.insert(sealed(owner, "/ab", "1", b"y")).await.unwrap();
    let all = ["1", "2", "3"].map(|version| stored(owner, "/a", version));

    store.ciphertexts.delete_version(&all[1]).await.unwrap();
    let after_one = store.ciphertexts.load(&all).await.unwrap();
    store.ciphertexts.delete(&all[0].id).await.unwrap();
    store.ciphertexts.delete(&all[0].id).await.unwrap();
    store.ciphertexts.delete_version(&all[0]).await.unwrap();

    assert_eq!(after_one.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(store.ciphertexts.load(&all).await.unwrap(), [None, None, None]);
    assert!(store.ciphertexts.load(&[stored(owner, "/ab", "1")]).await.unwrap()[0].is_some());
}

async fn an_envelope_is_replaced_only_while_it_is_the_old_one(store: Store) {
    let owner = Uuid::new_v4();
    for path in ["/a", "/b", "/c"] {
        store.ciphertexts.insert(sealed(owner, path, "1", path.as_bytes())).await.unwrap();
    }
    let mut all = store.ciphertexts.encrypted_with(&KeyId::new("first-key"), 10).await.unwrap();
    all[1].ciphertext = b"not what is there".to_vec();
    let replacements = all.into_iter().map(|old| {
        let mut new = sealed(owner, &old.secret.id.path, "1", b"new");
        new.key_id = KeyId::new("second-key");
        (old, new)
    });

    let replaced = store.ciphertexts.reencrypt(replacements.collect()).await.unwrap();

    assert_eq!(replaced, 2);
    assert_eq!(store.ciphertexts.encrypted_with(&KeyId::new("first-key"), 10).await.unwrap().len(), 1);
    let second = store.ciphertexts.encrypted_with(&KeyId::new("second-key"), 10).await.unwrap();
    assert_eq!(second.len(), 2);
    assert!(second.iter().all(|row| row.ciphertext == b"new"));
}

/// MySQL says of such a row that it was not changed.
async fn an_envelope_that_is_replaced_by_itself_counts_as_replaced(store: Store) {
    let secret = sealed(Uuid::new_v4(), "/a", "1", b"same");
    store.ciphertexts.insert(secret.clone()).await.unwrap();
    let old = CiphertextRow { secret: secret.secret.clone(), ciphertext: secret.ciphertext.clone() };

    let replaced = store.ciphertexts.reencrypt(vec![(old, secret)]).await.unwrap();

    assert_eq!(replaced, 1);
}

async fn no_more_rows_of_a_key_are_read_than_asked_for(store: Store) {
    let owner = Uuid::new_v4();
    for path in ["/a", "/b", "/c"] {
        store.ciphertexts.insert(sealed(owner, path, "1", b"x")).await.unwrap();
    }

    let two = store.ciphertexts.encrypted_with(&KeyId::new("first-key"), 2).await.unwrap();
    let of_no_key = store.ciphertexts.encrypted_with(&KeyId::new("First-Key"), 2).await.unwrap();

    assert_eq!(two.len(), 2);
    assert!(of_no_key.is_empty());
}

async fn an_envelope_of_another_version_is_refused_and_nothing_is_replaced(store: Store) {
    let owner = Uuid::new_v4();
    store.ciphertexts.insert(sealed(owner, "/a", "1", b"old")).await.unwrap();
    let old = || CiphertextRow { secret: stored(owner, "/a", "1"), ciphertext: b"old".to_vec() };
    let replacements = vec![(old(), sealed(owner, "/a", "1", b"new")), (old(), sealed(owner, "/a", "2", b"new"))];

    let outcome = store.ciphertexts.reencrypt(replacements).await;

    assert!(matches!(outcome, Err(StoreError::Unexpected(_))), "{outcome:?}");
    let kept = store.ciphertexts.load(&[stored(owner, "/a", "1")]).await.unwrap();
    assert_eq!(kept[0].as_deref(), Some(b"old".as_slice()));
}

async fn owners_of_two_kinds_stay_apart(store: Store) {
    let owner = Uuid::new_v4();
    let id = SecretId { owner_kind: OwnerKind::Probe, owner_id: owner, path: "/a".to_owned() };
    let probe = StoredSecret { id, version: SecretVersion::new("1") };
    store.ciphertexts.insert(sealed(owner, "/a", "1", b"service")).await.unwrap();
    let mut of_probe = sealed(owner, "/a", "1", b"probe");
    of_probe.secret = probe.clone();
    store.ciphertexts.insert(of_probe).await.unwrap();

    let rows = store.ciphertexts.encrypted_with(&KeyId::new("first-key"), 10).await.unwrap();
    store.ciphertexts.delete(&probe.id).await.unwrap();
    let left = store.ciphertexts.load(&[probe.clone(), stored(owner, "/a", "1")]).await.unwrap();

    assert!(rows.iter().any(|row| row.secret == probe));
    assert_eq!(left, [None, Some(b"service".to_vec())]);
}

on_every_engine! {
    rows_are_read_in_the_order_asked_for_and_what_is_absent_is_none,
    a_thousand_rows_are_read_at_once,
    deleting_takes_one_version_or_all_and_the_absent_is_not_missed,
    an_envelope_is_replaced_only_while_it_is_the_old_one,
    an_envelope_that_is_replaced_by_itself_counts_as_replaced,
    no_more_rows_of_a_key_are_read_than_asked_for,
    an_envelope_of_another_version_is_refused_and_nothing_is_replaced,
    owners_of_two_kinds_stay_apart,
}
