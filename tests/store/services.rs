//! Round trips and conflicts of services.

use strongroom_domain::{
    AuditAction, EntityVersion, Family, KeyId, NameChanges, ServiceRow, ServiceWrite, ServiceWriteError, VersionRow,
};
use uuid::Uuid;

use super::rows::{
    audit_count, claiming, create, creation, entry, find, mac, name, next, principal, row, sealed, stored,
};
use crate::support::stores::Store;

async fn a_name_is_unique_within_its_family_only(store: Store) {
    create(&store, "shop").await;
    let elsewhere = ServiceRow { family: Family::Dashboard, ..row("shop") };

    let again = store.services.write(creation(row("shop"))).await;
    let elsewhere = store.services.write(creation(elsewhere)).await;

    assert!(matches!(again, Err(ServiceWriteError::AlreadyExists)), "{again:?}");
    assert!(elsewhere.is_ok(), "{elsewhere:?}");
}

async fn a_creation_that_is_refused_leaves_nothing(store: Store) {
    create(&store, "shop").await;
    let twin = row("shop");
    let secret = sealed(twin.id, "/password", "1", b"never");
    let names = claiming(&["/shop/password"]);
    let refused = ServiceWrite { sealed: vec![secret.clone()], names, ..creation(twin) };

    let outcome = store.services.write(refused).await;

    assert!(matches!(outcome, Err(ServiceWriteError::AlreadyExists)), "{outcome:?}");
    assert_eq!(store.ciphertexts.load(&[secret.secret]).await.unwrap(), [None]);
    assert!(store.services.holders(&["/shop/password".to_owned()]).await.unwrap().is_empty());
    assert_eq!(audit_count(&store).await, 1);
}

async fn an_update_replaces_the_row_its_secrets_and_keeps_history(store: Store) {
    let first = row("shop");
    let old = vec![sealed(first.id, "/password", "1", b"old"), sealed(first.id, "/key", "1", b"gone")];
    store.services.write(ServiceWrite { sealed: old, ..creation(first.clone()) }).await.unwrap();
    let changed = ServiceRow { document: "{\"new\":1}".to_owned(), version: first.version.next(), ..first.clone() };
    let update = ServiceWrite {
        sealed: vec![
            sealed(first.id, "/password", "2", b"a longer new one"),
            sealed(first.id, "/token", "2", b"added"),
        ],
        superseded: vec![stored(first.id, "/password", "1"), stored(first.id, "/key", "1")],
        history: Some(VersionRow { version: first.version, document: "{\"masked\":1}".to_owned() }),
        ..next(&changed)
    };

    store.services.write(update).await.unwrap();

    let read = find(&store, "shop").await.unwrap();
    let mut secrets: Vec<_> = read
        .ciphertexts
        .iter()
        .map(|row| (row.secret.id.path.as_str(), row.secret.version.as_str(), row.ciphertext.as_slice()))
        .collect();
    secrets.sort_unstable();
    assert_eq!((read.row.document.as_str(), read.row.revision), ("{\"new\":1}", 2));
    assert_eq!(secrets, [("/password", "2", b"a longer new one".as_slice()), ("/token", "2", b"added")]);
    let history = store.services.history(first.id).await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!((history[0].version, history[0].document.as_str()), (first.version, "{\"masked\":1}"));
}

async fn a_secret_changes_its_key_with_its_version(store: Store) {
    let first = row("shop");
    let old = sealed(first.id, "/password", "1", b"old");
    store.services.write(ServiceWrite { sealed: vec![old], ..creation(first.clone()) }).await.unwrap();
    let mut new = sealed(first.id, "/password", "2", b"new");
    new.key_id = KeyId::new("second-key");
    let superseded = vec![stored(first.id, "/password", "1")];

    store.services.write(ServiceWrite { sealed: vec![new], superseded, ..next(&first) }).await.unwrap();

    let of_first = store.ciphertexts.encrypted_with(&KeyId::new("first-key"), 10).await.unwrap();
    let of_second = store.ciphertexts.encrypted_with(&KeyId::new("second-key"), 10).await.unwrap();
    assert!(of_first.is_empty());
    assert_eq!(of_second.iter().map(|row| row.ciphertext.as_slice()).collect::<Vec<_>>(), [b"new"]);
}

async fn history_comes_newest_first(store: Store) {
    let mut current = create(&store, "shop").await;
    for version in [9, 10, 11, 99, 100] {
        let version = EntityVersion::from_tenths(version);
        let before = VersionRow { version, document: version.to_string() };
        let update = ServiceWrite { history: Some(before), ..next(&current) };
        current = update.row.clone();
        store.services.write(update).await.unwrap();
    }

    let history = store.services.history(current.id).await.unwrap();

    let documents: Vec<_> = history.iter().map(|row| row.document.as_str()).collect();
    assert_eq!(documents, ["10.0", "9.9", "1.1", "1.0", "0.9"]);
}

async fn a_write_of_an_old_revision_is_a_conflict_and_leaves_nothing(store: Store) {
    let first = create(&store, "shop").await;
    store.services.write(next(&first)).await.unwrap();
    let late = ServiceWrite {
        sealed: vec![sealed(first.id, "/password", "9", b"late")],
        names: claiming(&["/late"]),
        history: Some(VersionRow { version: first.version, document: "late".to_owned() }),
        ..next(&first)
    };

    let outcome = store.services.write(late).await;

    assert!(matches!(outcome, Err(ServiceWriteError::Conflict)), "{outcome:?}");
    assert!(find(&store, "shop").await.unwrap().ciphertexts.is_empty());
    assert!(store.services.holders(&["/late".to_owned()]).await.unwrap().is_empty());
    assert!(store.services.history(first.id).await.unwrap().is_empty());
    assert_eq!(audit_count(&store).await, 2);
}

async fn a_write_of_a_service_that_is_gone_is_a_conflict(store: Store) {
    let gone = row("shop");

    let written = store.services.write(next(&gone)).await;
    let erased = store.services.erase(gone.id, 1, vec![], entry(AuditAction::HardDelete, gone.id, "shop")).await;

    assert!(matches!(written, Err(ServiceWriteError::Conflict)), "{written:?}");
    assert!(matches!(erased, Err(ServiceWriteError::Conflict)), "{erased:?}");
    assert_eq!(audit_count(&store).await, 0);
}

async fn erasing_takes_secrets_names_and_history_along(store: Store) {
    let first = row("shop");
    let write = ServiceWrite {
        sealed: vec![sealed(first.id, "/password", "1", b"canary-ciphertext")],
        names: NameChanges { typed: Some(vec![name("/theirs")]), ..claiming(&["/shop/password"]) },
        ..creation(first.clone())
    };
    store.services.write(write).await.unwrap();
    let history = Some(VersionRow { version: first.version, document: "{}".to_owned() });
    store.services.write(ServiceWrite { history, ..next(&first) }).await.unwrap();
    let other = create(&store, "other").await;

    let audit = entry(AuditAction::HardDelete, first.id, "shop");
    let old_revision = store.services.erase(first.id, 1, vec![], audit.clone()).await;
    store.services.erase(first.id, 2, vec![], audit).await.unwrap();

    assert!(matches!(old_revision, Err(ServiceWriteError::Conflict)), "{old_revision:?}");
    assert!(find(&store, "shop").await.is_none());
    assert!(store.services.history(first.id).await.unwrap().is_empty());
    let names = ["/shop/password".to_owned(), "/theirs".to_owned()];
    assert!(store.services.holders(&names).await.unwrap().is_empty());
    assert!(store.ciphertexts.load(&[stored(first.id, "/password", "1")]).await.unwrap()[0].is_none());
    assert_eq!(find(&store, "other").await.unwrap().row.id, other.id);
    assert_eq!(audit_count(&store).await, 4);
}

async fn a_name_can_be_used_again_after_erasing(store: Store) {
    let first = create(&store, "shop").await;
    store.services.erase(first.id, 1, vec![], entry(AuditAction::HardDelete, first.id, "shop")).await.unwrap();

    let second = create(&store, "shop").await;

    assert_eq!(find(&store, "shop").await.unwrap().row.id, second.id);
}

async fn a_scan_goes_through_all_families_in_the_order_of_ids(store: Store) {
    assert!(store.services.is_empty().await.unwrap());
    let mut ids = Vec::new();
    for (number, family) in Family::ALL.iter().copied().cycle().take(40).enumerate() {
        let service = ServiceRow { family, ..row(&format!("shop {number}")) };
        ids.push(service.id);
        let sealed = vec![sealed(service.id, "/password", "1", b"x")];
        store.services.write(ServiceWrite { sealed, ..creation(service) }).await.unwrap();
    }
    ids.sort();

    let mut scanned: Vec<Uuid> = Vec::new();
    loop {
        let page = store.services.scan(scanned.last().copied(), 7).await.unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 7 && page.iter().all(|service| service.ciphertexts.len() == 1));
        scanned.extend(page.iter().map(|service| service.row.id));
    }

    assert_eq!(scanned, ids);
    assert!(!store.services.is_empty().await.unwrap());
}

async fn a_database_with_users_and_no_service_is_empty(store: Store) {
    store.principals.insert_principal(principal("admin"), super::rows::audit()).await.unwrap();

    assert!(store.services.is_empty().await.unwrap());
}

async fn only_rows_that_did_not_change_get_a_new_mac(store: Store) {
    let changed = create(&store, "changed").await;
    create(&store, "kept").await;
    let old = store.services.signed_with(&KeyId::new("first-key"), 10).await.unwrap();
    store.services.write(next(&changed)).await.unwrap();

    let replacements = old.into_iter().map(|row| (row, mac("second-key", 2))).collect();
    let replaced = store.services.resign(replacements).await.unwrap();

    assert_eq!(replaced, 1);
    assert_eq!(find(&store, "kept").await.unwrap().row.mac, mac("second-key", 2));
    let left = store.services.signed_with(&KeyId::new("first-key"), 10).await.unwrap();
    assert_eq!(left.iter().map(|row| row.id).collect::<Vec<_>>(), [changed.id]);
}

async fn a_row_whose_mac_is_another_one_keeps_it(store: Store) {
    let first = create(&store, "shop").await;
    let of_another_tag = ServiceRow { mac: mac("first-key", 9), ..first.clone() };
    let of_another_key = ServiceRow { mac: mac("First-Key", 1), ..first.clone() };

    let replacements = [of_another_tag, of_another_key].map(|row| (row, mac("second-key", 2)));
    let replaced = store.services.resign(replacements.into()).await.unwrap();

    assert_eq!(replaced, 0);
    assert_eq!(find(&store, "shop").await.unwrap().row.mac, first.mac);
}

/// MySQL says of such a row that it was not changed.
async fn a_mac_that_is_replaced_by_itself_counts_as_replaced(store: Store) {
    let first = create(&store, "shop").await;

    let replaced = store.services.resign(vec![(first.clone(), first.mac)]).await.unwrap();

    assert_eq!(replaced, 1);
}

async fn no_more_rows_of_a_key_are_read_than_asked_for(store: Store) {
    for fqn in ["a", "b", "c"] {
        create(&store, fqn).await;
    }

    let two = store.services.signed_with(&KeyId::new("first-key"), 2).await.unwrap();
    let of_no_key = store.services.signed_with(&KeyId::new("First-Key"), 2).await.unwrap();

    assert_eq!((two.len(), of_no_key.len()), (2, 0));
}

async fn keys_are_counted_by_secrets_and_rows(store: Store) {
    let shop = row("shop");
    let mut of_second = sealed(shop.id, "/b", "1", b"x");
    of_second.key_id = KeyId::new("second-key");
    let sealed = vec![sealed(shop.id, "/a", "1", b"x"), of_second];
    store.services.write(ServiceWrite { sealed, ..creation(shop) }).await.unwrap();

    let mut usage = store.keys.key_usage().await.unwrap();

    usage.sort_by(|one, other| one.key_id.cmp(&other.key_id));
    let counts: Vec<_> = usage.iter().map(|usage| (usage.key_id.as_str(), usage.secrets, usage.rows)).collect();
    assert_eq!(counts, [("first-key", 1, 1), ("second-key", 1, 0)]);
}

on_every_engine! {
    a_name_is_unique_within_its_family_only,
    a_creation_that_is_refused_leaves_nothing,
    an_update_replaces_the_row_its_secrets_and_keeps_history,
    a_secret_changes_its_key_with_its_version,
    history_comes_newest_first,
    a_write_of_an_old_revision_is_a_conflict_and_leaves_nothing,
    a_write_of_a_service_that_is_gone_is_a_conflict,
    erasing_takes_secrets_names_and_history_along,
    a_name_can_be_used_again_after_erasing,
    a_scan_goes_through_all_families_in_the_order_of_ids,
    a_database_with_users_and_no_service_is_empty,
    only_rows_that_did_not_change_get_a_new_mac,
    a_row_whose_mac_is_another_one_keeps_it,
    a_mac_that_is_replaced_by_itself_counts_as_replaced,
    no_more_rows_of_a_key_are_read_than_asked_for,
    keys_are_counted_by_secrets_and_rows,
}
