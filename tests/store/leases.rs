//! Leases, on the engines that several processes share.

use strongroom_domain::ServiceWriteError;

use super::rows::{creation, row};
use crate::support::stores::{Engine, Store};

async fn a_lease_has_one_holder(store: Store) {
    let other = store.open_again().await;
    let held = store.database.under_lease("job").await.unwrap().unwrap();

    assert!(other.database.under_lease("job").await.unwrap().is_none());
    assert!(other.database.under_lease("another job").await.unwrap().is_some());

    held.give_back_lease().await.unwrap();
    assert!(other.database.under_lease("job").await.unwrap().is_some());
}

async fn who_lost_a_lease_writes_nothing_under_it(store: Store) {
    let held = store.database.under_lease("job").await.unwrap().unwrap();
    store.change_behind_our_back("UPDATE leases SET ends_at = 0");
    let taken_over = store.open_again().await.database.under_lease("job").await.unwrap().unwrap();

    let late = held.services.write(creation(row("late"))).await;

    assert!(matches!(late, Err(ServiceWriteError::Store(_))));
    assert!(store.services.is_empty().await.unwrap());
    taken_over.services.write(creation(row("in time"))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_a_lease_has_one_holder() {
    a_lease_has_one_holder(Store::open(Engine::PostgreSql).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_a_lease_has_one_holder() {
    a_lease_has_one_holder(Store::open(Engine::MariaDb).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_who_lost_a_lease_writes_nothing_under_it() {
    who_lost_a_lease_writes_nothing_under_it(Store::open(Engine::PostgreSql).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_who_lost_a_lease_writes_nothing_under_it() {
    who_lost_a_lease_writes_nothing_under_it(Store::open(Engine::MariaDb).await).await;
}
