//! No two secrets share a name.

use strongroom_domain::{ClaimedName, NameChanges, ServiceRow, ServiceStore, ServiceWrite, ServiceWriteError};

use super::{Scratch, creation, next, row, write};

pub(super) fn name(name: &str) -> ClaimedName {
    ClaimedName { name: name.to_uppercase(), normal_name: name.to_owned(), path: "/config/password".to_owned() }
}

fn claiming(names: &[&str]) -> NameChanges {
    NameChanges { claimed: names.iter().copied().map(name).collect(), ..NameChanges::default() }
}

fn typing(names: &[&str]) -> NameChanges {
    NameChanges { typed: Some(names.iter().copied().map(name).collect()), ..NameChanges::default() }
}

async fn create(scratch: &Scratch, fqn: &str, names: NameChanges) -> Result<ServiceRow, ServiceWriteError> {
    let row = row(fqn);
    write(&scratch.database, ServiceWrite { names, ..creation(row.clone()) }).await.map(|()| row)
}

fn taken(outcome: Result<ServiceRow, ServiceWriteError>) -> String {
    match outcome {
        Err(ServiceWriteError::NameTaken(name)) => name,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_name_that_another_secret_has_is_refused_with_all_of_the_write() {
    let scratch = Scratch::new();
    create(&scratch, "first", claiming(&["/a"])).await.unwrap();

    let outcome = create(&scratch, "second", claiming(&["/b", "/a"])).await;

    assert_eq!(taken(outcome), "/a");
    assert!(scratch.find("second").await.is_none());
    assert!(scratch.database.holders(&["/b".to_owned()]).await.unwrap().is_empty());
    assert_eq!(scratch.audit_count().await, 1);
}

#[tokio::test]
async fn a_name_that_a_user_typed_is_refused() {
    let scratch = Scratch::new();
    let first = create(&scratch, "first", typing(&["/a"])).await.unwrap();

    assert_eq!(taken(create(&scratch, "second", claiming(&["/a"])).await), "/a");
    let own = ServiceWrite { names: claiming(&["/a"]), ..next(&first) };
    assert!(matches!(write(&scratch.database, own).await, Err(ServiceWriteError::NameTaken(_))));
}

#[tokio::test]
async fn a_typed_reference_to_a_kept_secret_is_refused() {
    let scratch = Scratch::new();
    create(&scratch, "first", claiming(&["/a"])).await.unwrap();

    assert_eq!(taken(create(&scratch, "second", typing(&["/b", "/a"])).await), "/a");
    create(&scratch, "third", typing(&["/b"])).await.unwrap();
    create(&scratch, "fourth", typing(&["/b"])).await.unwrap();
}

#[tokio::test]
async fn released_names_and_replaced_references_are_free_again() {
    let scratch = Scratch::new();
    let names = NameChanges { typed: Some(vec![name("/typed")]), ..claiming(&["/kept"]) };
    let first = create(&scratch, "first", names).await.unwrap();
    let release = NameChanges { released: vec!["/kept".to_owned()], ..typing(&["/other"]) };

    write(&scratch.database, ServiceWrite { names: release, ..next(&first) }).await.unwrap();

    create(&scratch, "second", claiming(&["/kept", "/typed"])).await.unwrap();
    assert_eq!(taken(create(&scratch, "third", claiming(&["/other"])).await), "/other");
}

#[tokio::test]
async fn nobody_releases_the_name_of_another_service() {
    let scratch = Scratch::new();
    create(&scratch, "first", claiming(&["/a"])).await.unwrap();
    let release = NameChanges { released: vec!["/a".to_owned()], ..claiming(&["/a"]) };

    assert_eq!(taken(create(&scratch, "second", release).await), "/a");
}

#[tokio::test]
async fn a_write_without_typed_references_leaves_those_noted_before() {
    let scratch = Scratch::new();
    let first = create(&scratch, "first", typing(&["/a"])).await.unwrap();

    write(&scratch.database, next(&first)).await.unwrap();

    let holders = scratch.database.holders(&["/a".to_owned()]).await.unwrap();
    assert_eq!(holders.len(), 1);
}

#[tokio::test]
async fn holders_tell_kept_from_typed() {
    let scratch = Scratch::new();
    let first = create(&scratch, "first", claiming(&["/kept"])).await.unwrap();
    let second = create(&scratch, "second", typing(&["/typed"])).await.unwrap();

    let names = ["/kept".to_owned(), "/none".to_owned(), "/typed".to_owned()];
    let holders = scratch.database.holders(&names).await.unwrap();

    let told: Vec<_> = holders.iter().map(|held| (held.normal_name.as_str(), held.service_id, held.kept)).collect();
    assert_eq!(told, [("/kept", first.id, true), ("/typed", second.id, false)]);
    assert_eq!(holders[0].path, "/config/password");
}
