//! A request that is dropped in the midst of its work, as when its client goes away: nothing of it is written, and its
//! connection swallows nothing of the next one. SQLite's requests run to their end on a thread of their own.

use std::time::Duration;

use strongroom_domain::{AuditQuery, Family, ServiceKey};

use super::rows::{create, creation, find, next, row};
use crate::support::stores::{Engine, Store};

/// When the request is dropped: it waits by then for a row that somebody else has locked for 600 ms.
const DROPPED: Duration = Duration::from_millis(400);

async fn a_write_that_is_dropped_leaves_nothing_and_takes_nothing_with_it(store: Store, lock: &'static str) {
    let shop = create(&store, "shop").await;
    let only = store.open_again_with_one_connection().await;
    assert!(find(&only, "shop").await.is_some());
    let elsewhere = store.clone();
    let locking = tokio::task::spawn_blocking(move || elsewhere.query(lock));
    tokio::time::sleep(DROPPED / 2).await;

    let dropped = tokio::time::timeout(DROPPED / 2, only.services.write(next(&shop))).await;
    let after = only.services.write(creation(row("after"))).await;
    locking.await.unwrap();

    assert!(dropped.is_err(), "it was to be dropped while it waited");
    after.unwrap();
    assert_eq!(find(&store, "shop").await.unwrap().row.revision, shop.revision);
    assert!(find(&store, "after").await.is_some());
    let audit = store.audit.page(AuditQuery { limit: 10, ..AuditQuery::default() }).await.unwrap().entries;
    assert_eq!(audit.len(), 2, "{audit:?}");
}

/// Requests of all kinds are dropped at any moment.
async fn reads_that_are_dropped_spoil_no_answer(store: Store) {
    let (first, second) = (create(&store, "first").await, create(&store, "second").await);
    let only = store.open_again_with_one_connection().await;

    for microseconds in (0..3_000).step_by(50) {
        let dropping = Duration::from_micros(microseconds);
        let key = ServiceKey::Id(first.id);
        let find = only.services.find(Family::Database, &key);
        let _ = tokio::time::timeout(dropping, find).await;
        let found = only.services.find(Family::Database, &ServiceKey::Id(second.id)).await.unwrap().unwrap();
        assert_eq!(found.row.fqn, "second");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_a_write_that_is_dropped_leaves_nothing_and_takes_nothing_with_it() {
    let lock = "BEGIN; UPDATE services SET fqn = fqn WHERE fqn = 'shop'; SELECT pg_sleep(0.6); COMMIT";
    let store = Store::open(Engine::PostgreSql).await;

    a_write_that_is_dropped_leaves_nothing_and_takes_nothing_with_it(store, lock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_a_write_that_is_dropped_leaves_nothing_and_takes_nothing_with_it() {
    let lock = "BEGIN; SELECT fqn FROM services WHERE fqn = 'shop' FOR UPDATE; SELECT sleep(0.6); COMMIT";
    let store = Store::open(Engine::MariaDb).await;

    a_write_that_is_dropped_leaves_nothing_and_takes_nothing_with_it(store, lock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_reads_that_are_dropped_spoil_no_answer() {
    reads_that_are_dropped_spoil_no_answer(Store::open(Engine::PostgreSql).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_reads_that_are_dropped_spoil_no_answer() {
    reads_that_are_dropped_spoil_no_answer(Store::open(Engine::MariaDb).await).await;
}
