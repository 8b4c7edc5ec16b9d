//! Which store secrets go into: one fact for all who share the database.

use strongroom_domain::{ActiveStore, Changes, Replica};
use uuid::Uuid;

use super::races::{in_two_processes, together};
use super::rows::mac;
use crate::support::stores::{Engine, Store};

fn active(place: &str, moving_from: Option<&str>, progress: Option<&str>) -> ActiveStore {
    let [moving_from, progress] = [moving_from, progress].map(|text| text.map(str::to_owned));
    ActiveStore { place: place.to_owned(), moving_from, progress }
}

async fn what_is_noted_is_read_back_until_the_next_store_is_activated(store: Store) {
    let stores = store.database.stores.clone();
    assert_eq!(stores.active_store().await.unwrap(), None);

    assert!(stores.activate(None, "aws:eu", "db").await.unwrap());
    assert_eq!(stores.active_store().await.unwrap(), Some(active("aws:eu", Some("db"), None)));

    stores.tell_progress("{\"moved\":1}").await.unwrap();
    stores.tell_progress("{\"moved\":2}").await.unwrap();
    assert_eq!(stores.active_store().await.unwrap(), Some(active("aws:eu", Some("db"), Some("{\"moved\":2}"))));

    stores.end_move().await.unwrap();
    assert_eq!(stores.active_store().await.unwrap(), Some(active("aws:eu", None, Some("{\"moved\":2}"))));

    assert!(stores.activate(Some("aws:eu"), "db", "aws:eu").await.unwrap());
    assert_eq!(stores.active_store().await.unwrap(), Some(active("db", Some("aws:eu"), None)));
}

async fn who_is_mistaken_about_the_active_store_changes_nothing(store: Store) {
    let stores = store.database.stores.clone();
    assert!(!stores.activate(Some("db"), "aws:eu", "db").await.unwrap(), "nothing was noted yet");
    stores.activate(None, "aws:eu", "db").await.unwrap();
    stores.tell_progress("{}").await.unwrap();

    let anew = stores.activate(None, "aws:us", "db").await.unwrap();
    let from_another = stores.activate(Some("AWS:EU"), "aws:us", "db").await.unwrap();

    assert!(!anew && !from_another);
    assert_eq!(stores.active_store().await.unwrap(), Some(active("aws:eu", Some("db"), Some("{}"))));
}

async fn progress_of_no_move_is_lost_and_no_error(store: Store) {
    store.database.stores.tell_progress("{}").await.unwrap();
    store.database.stores.end_move().await.unwrap();
    store.database.stores.erase_remains().await.unwrap();

    assert_eq!(store.database.stores.active_store().await.unwrap(), None);
}

async fn of_two_that_activate_a_store_one_does(store: Store) {
    let stores = in_two_processes(store).await;
    let mut from: Option<String> = None;
    for round in 0..10 {
        let attempts = ["one", "other"].into_iter().zip(&stores).map(|(name, store)| {
            let (record, from, to) = (store.database.stores.clone(), from.clone(), format!("{name}:{round}"));
            async move { record.activate(from.as_deref(), &to, "db").await.unwrap().then_some(to) }
        });

        let outcomes = together(attempts.collect()).await;

        let winners: Vec<String> = outcomes.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(stores[0].database.stores.active_store().await.unwrap().unwrap().place, winners[0]);
        from = winners.into_iter().next();
    }
}

async fn another_process_sees_it_at_its_next_look(store: Store) {
    let other = store.open_again().await;
    other.database.changes.changes().await.unwrap();
    assert_eq!(other.database.changes.changes().await.unwrap(), Changes::default());

    store.database.stores.activate(None, "aws:eu", "db").await.unwrap();

    let seen = other.database.changes.changes().await.unwrap();
    assert!(seen.store || seen.everything, "{seen:?}");
    assert!(!seen.access && seen.services.is_empty(), "{seen:?}");
}

on_every_engine! {
    what_is_noted_is_read_back_until_the_next_store_is_activated,
    who_is_mistaken_about_the_active_store_changes_nothing,
    progress_of_no_move_is_lost_and_no_error,
    of_two_that_activate_a_store_one_does,
    another_process_sees_it_at_its_next_look,
}

async fn servers_tell_that_it_is_the_store_and_not_anything(store: Store) {
    store.database.changes.changes().await.unwrap();

    store.database.stores.activate(Some("db"), "aws:eu", "db").await.unwrap();
    assert_eq!(store.database.changes.changes().await.unwrap(), Changes::default(), "it was refused");
    store.database.stores.activate(None, "aws:eu", "db").await.unwrap();
    let begun = store.database.changes.changes().await.unwrap();
    store.database.stores.end_move().await.unwrap();
    let ended = store.database.changes.changes().await.unwrap();

    for seen in [begun, ended] {
        assert_eq!(seen, Changes { store: true, ..Changes::default() });
    }
}

async fn replicas_know_for_which_store_each_is_configured(store: Store) {
    let key = mac("first-key", 1).key_id;
    let replica = |store: Option<&str>| Replica {
        id: Uuid::new_v4(),
        keys: vec![key.clone()],
        encrypts: key.clone(),
        store: store.map(str::to_owned),
    };
    let (mut new, old) = (replica(Some("aws:eu")), replica(None));
    let replicas = store.database.replicas.clone();

    replicas.announce(&new).await.unwrap();
    replicas.announce(&old).await.unwrap();
    new.store = Some("aws:us".to_owned());
    replicas.announce(&new).await.unwrap();

    let live = replicas.live().await.unwrap();
    assert!(live.len() == 2 && live.contains(&new) && live.contains(&old), "{live:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_and_mariadb_tell_that_it_is_the_store_and_not_anything() {
    for engine in [Engine::PostgreSql, Engine::MariaDb] {
        servers_tell_that_it_is_the_store_and_not_anything(Store::open(engine).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_and_mariadb_replicas_know_for_which_store_each_is_configured() {
    for engine in [Engine::PostgreSql, Engine::MariaDb] {
        replicas_know_for_which_store_each_is_configured(Store::open(engine).await).await;
    }
}
