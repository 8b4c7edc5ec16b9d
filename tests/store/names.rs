//! No two secrets share a name.

use strongroom_domain::{NameChanges, ServiceRow, ServiceWrite, ServiceWriteError};

use super::rows::{audit_count, claiming, creation, find, name, next, row, typing};
use crate::support::stores::Store;

async fn create(store: &Store, fqn: &str, names: NameChanges) -> Result<ServiceRow, ServiceWriteError> {
    let row = row(fqn);
    store.services.write(ServiceWrite { names, ..creation(row.clone()) }).await.map(|()| row)
}

#[track_caller]
fn taken(outcome: Result<ServiceRow, ServiceWriteError>) -> String {
    match outcome {
        Err(ServiceWriteError::NameTaken(name)) => name,
        other => panic!("{other:?}"),
    }
}

async fn a_name_that_another_secret_has_is_refused_with_all_of_the_write(store: Store) {
    create(&store, "first", claiming(&["/a"])).await.unwrap();

    let outcome = create(&store, "second", claiming(&["/b", "/a"])).await;

    assert_eq!(taken(outcome), "/a");
    assert!(find(&store, "second").await.is_none());
    assert!(store.services.holders(&["/b".to_owned()]).await.unwrap().is_empty());
    assert_eq!(audit_count(&store).await, 1);
}

async fn a_name_claimed_for_two_fields_in_one_write_is_refused_with_all_of_it(store: Store) {
    let mut names = claiming(&["/x", "/x"]);
    names.claimed[1].path.push_str("/other");

    let outcome = create(&store, "shop", names).await;

    assert_eq!(taken(outcome), "/x");
    assert!(find(&store, "shop").await.is_none());
    assert_eq!(audit_count(&store).await, 0);
}

async fn a_name_claimed_again_for_its_own_field_stays(store: Store) {
    let first = create(&store, "shop", claiming(&["/x"])).await.unwrap();

    store.services.write(ServiceWrite { names: claiming(&["/x"]), ..next(&first) }).await.unwrap();

    assert_eq!(store.services.holders(&["/x".to_owned()]).await.unwrap().len(), 1);
}

async fn a_name_that_a_user_typed_is_refused(store: Store) {
    let first = create(&store, "first", typing(&["/a"])).await.unwrap();

    let of_another = create(&store, "second", claiming(&["/a"])).await;
    let own = store.services.write(ServiceWrite { names: claiming(&["/a"]), ..next(&first) }).await;

    assert_eq!(taken(of_another), "/a");
    assert_eq!(taken(own.map(|()| first)), "/a");
}

async fn a_typed_reference_to_a_kept_secret_is_refused(store: Store) {
    create(&store, "first", claiming(&["/a"])).await.unwrap();

    let to_kept = create(&store, "second", typing(&["/b", "/a"])).await;
    let to_another = create(&store, "third", typing(&["/b"])).await;
    let to_the_same = create(&store, "fourth", typing(&["/b"])).await;

    assert_eq!(taken(to_kept), "/a");
    assert!(to_another.is_ok(), "{to_another:?}");
    assert!(to_the_same.is_ok(), "{to_the_same:?}");
}

async fn released_names_and_replaced_references_are_free_again(store: Store) {
    let names = NameChanges { typed: Some(vec![name("/typed")]), ..claiming(&["/kept"]) };
    let first = create(&store, "first", names).await.unwrap();
    let release = NameChanges { released: vec!["/kept".to_owned()], ..typing(&["/other"]) };

    store.services.write(ServiceWrite { names: release, ..next(&first) }).await.unwrap();

    create(&store, "second", claiming(&["/kept", "/typed"])).await.unwrap();
    assert_eq!(taken(create(&store, "third", claiming(&["/other"])).await), "/other");
}

async fn a_name_released_and_claimed_in_one_write_stays_with_its_service(store: Store) {
    let first = create(&store, "first", claiming(&["/a"])).await.unwrap();
    let names = NameChanges { released: vec!["/a".to_owned()], ..claiming(&["/a"]) };

    store.services.write(ServiceWrite { names, ..next(&first) }).await.unwrap();

    assert_eq!(taken(create(&store, "second", claiming(&["/a"])).await), "/a");
}

async fn nobody_releases_the_name_of_another_service(store: Store) {
    create(&store, "first", claiming(&["/a"])).await.unwrap();
    let release = NameChanges { released: vec!["/a".to_owned()], ..claiming(&["/a"]) };

    let outcome = create(&store, "second", release).await;

    assert_eq!(taken(outcome), "/a");
}

async fn a_write_without_typed_references_leaves_those_noted_before(store: Store) {
    let first = create(&store, "first", typing(&["/a"])).await.unwrap();

    store.services.write(next(&first)).await.unwrap();

    assert_eq!(store.services.holders(&["/a".to_owned()]).await.unwrap().len(), 1);
}

async fn holders_tell_kept_from_typed(store: Store) {
    let first = create(&store, "first", claiming(&["/kept"])).await.unwrap();
    let second = create(&store, "second", typing(&["/typed"])).await.unwrap();
    let names = ["/kept".to_owned(), "/none".to_owned(), "/typed".to_owned()];

    let mut holders = store.services.holders(&names).await.unwrap();

    holders.sort_by_key(|held| held.normal_name.clone());
    let told: Vec<_> = holders.iter().map(|held| (held.normal_name.as_str(), held.service_id, held.kept)).collect();
    assert_eq!(told, [("/kept", first.id, true), ("/typed", second.id, false)]);
    assert_eq!(holders[0].path, "/config/password");
}

async fn asking_for_the_holders_of_no_name_gives_none(store: Store) {
    create(&store, "first", claiming(&["/a"])).await.unwrap();

    let holders = store.services.holders(&[]).await.unwrap();

    assert!(holders.is_empty());
}

on_every_engine! {
    a_name_that_another_secret_has_is_refused_with_all_of_the_write,
    a_name_claimed_for_two_fields_in_one_write_is_refused_with_all_of_it,
    a_name_claimed_again_for_its_own_field_stays,
    a_name_that_a_user_typed_is_refused,
    a_typed_reference_to_a_kept_secret_is_refused,
    released_names_and_replaced_references_are_free_again,
    a_name_released_and_claimed_in_one_write_stays_with_its_service,
    nobody_releases_the_name_of_another_service,
    a_write_without_typed_references_leaves_those_noted_before,
    holders_tell_kept_from_typed,
    asking_for_the_holders_of_no_name_gives_none,
}
