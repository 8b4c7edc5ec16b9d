//! More requests than connections: they wait for each other, and none fails for it.

use strongroom_domain::{Family, ServiceKey};
use tokio::task::JoinSet;

use super::rows::create;
use crate::support::stores::{Engine, Store};

async fn all_are_answered(store: &Store, id: uuid::Uuid) {
    let mut requests = JoinSet::new();
    for _ in 0..60 {
        let services = store.services.clone();
        requests.spawn(async move { services.find(Family::Database, &ServiceKey::Id(id)).await.unwrap().unwrap() });
    }
    assert_eq!(requests.join_all().await.len(), 60);
}

async fn many_requests_share_one_connection(store: Store) {
    let id = create(&store, "shop").await.id;

    all_are_answered(&store.open_again_with_one_connection().await, id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_many_requests_share_one_connection() {
    many_requests_share_one_connection(Store::open(Engine::PostgreSql).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_many_requests_share_one_connection() {
    many_requests_share_one_connection(Store::open(Engine::MariaDb).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_requests_share_the_connections_that_the_server_allows() {
    let store = Store::open(Engine::PostgreSql).await;
    let id = create(&store, "shop").await.id;
    let other = store.open_again().await;
    store.change_behind_our_back(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 3', current_database()); END $$",
    );

    all_are_answered(&other, id).await;
}
