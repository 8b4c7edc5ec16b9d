//! A database is carried over to another engine whole, also where that is interrupted.

use std::collections::BTreeMap;
use std::time::Duration;

use strongroom_database::{CopiedTable, CopyError, CopyStep, Database, copy};
use strongroom_domain::{
    AuditAction, AuditQuery, EntityVersion, Family, Include, Intent, IntentState, ListQuery, NamedSecret, PageCursor,
    SecretId, ServiceWrite, ServiceWriteError, VersionRow,
};
use tokio::sync::Notify;
use uuid::Uuid;

use super::rows::{
    audit, claiming, create, creation, entry, find, mac, next, principal, row, sealed, stored, token, typing,
};
use crate::support::stores::{Engine, Store};

/// From every engine to every other one.
macro_rules! between_engines {
    ($($promise:ident),+ $(,)?) => {
        between! { sqlite_to_postgresql, Sqlite, PostgreSql: $($promise),+ }
        between! { sqlite_to_mariadb, Sqlite, MariaDb: $($promise),+ }
        between! { postgresql_to_sqlite, PostgreSql, Sqlite: $($promise),+ }
        between! { postgresql_to_mariadb, PostgreSql, MariaDb: $($promise),+ }
        between! { mariadb_to_sqlite, MariaDb, Sqlite: $($promise),+ }
        between! { mariadb_to_postgresql, MariaDb, PostgreSql: $($promise),+ }
    };
}

macro_rules! between {
    ($module:ident, $from:ident, $to:ident: $($promise:ident),+) => {
        mod $module {
            use crate::support::stores::{Engine, Store};

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    super::$promise(Store::open(Engine::$from).await, Store::open(Engine::$to).await).await;
                }
            )+
        }
    };
}

between_engines!(
    everything_arrives_and_can_be_worked_with,
    a_copy_that_was_cut_short_goes_on_where_it_stopped,
    a_copy_of_nothing_is_whole,
);

async fn copied(from: &Store, to: &Store) -> Result<BTreeMap<&'static str, u64>, CopyError> {
    let tables = copy(&from.database, &to.database, "source", |_| {}).await?;
    Ok(tables.into_iter().map(|CopiedTable { name, rows, .. }| (name, rows)).collect())
}

async fn everything_arrives_and_can_be_worked_with(from: Store, to: Store) {
    let fqn = "Zu\u{308}rich \u{2615} z\u{fc}rich ";
    let first = row(fqn);
    let document = format!(r#"{{"name":"{fqn}","long":"{}"}}"#, "\u{1F600}".repeat(20_000));
    let with_secrets = ServiceWrite {
        sealed: vec![sealed(first.id, "/a", "v1", &[0, 255, 39, 92, 10]), sealed(first.id, "/A", "v1", &[7; 65_536])],
        names: claiming(&["/x", "/y"]),
        ..creation(row_with(&first, &document))
    };
    from.services.write(with_secrets).await.unwrap();
    let changed = next(&row_with(&first, &document));
    let history = Some(VersionRow { version: EntityVersion::FIRST, document: "{\"old\":1}".to_owned() });
    from.services.write(ServiceWrite { history, names: typing(&["/typed"]), ..changed }).await.unwrap();
    let deleted = create(&from, "gone").await;
    let deletion = next(&deleted);
    let gone = strongroom_domain::ServiceRow { deleted: true, ..deletion.row.clone() };
    from.services.write(ServiceWrite { row: gone, ..deletion }).await.unwrap();
    let bot = principal("bot");
    from.principals.insert_principal(bot.clone(), audit()).await.unwrap();
    for number in 1..=2 {
        from.principals.insert_token(token(&bot, number), audit()).await.unwrap();
    }
    let mut odd = entry(AuditAction::Read, first.id, fqn);
    (odd.actor, odd.address) = ("\u{202e}actor".to_owned(), String::new());
    from.audit.record(odd).await.unwrap();

    let secret = NamedSecret { id: SecretId::of_service(first.id, "/i"), name: "/\u{1F600}".to_owned() };
    let intent = Intent { token: Uuid::new_v4(), place: "aws:eu".to_owned(), secret, state: IntentState::Putting };
    from.database.intents.intend(&[intent], Duration::ZERO).await.unwrap();
    from.database.stores.activate(None, "aws:eu", "db").await.unwrap();
    from.database.stores.tell_progress("{}").await.unwrap();

    let tables = copied(&from, &to).await.unwrap();

    assert_eq!((tables["secret_intents"], tables["active_store"]), (1, 1));
    assert_eq!((tables["services"], tables["tokens"], tables["ciphertexts"]), (2, 2, 2));
    assert_eq!((tables["service_versions"], tables["secret_names"], tables["typed_references"]), (1, 2, 1));
    assert!(contents(&to).await == contents(&from).await);
    let secrets = [stored(first.id, "/a", "v1"), stored(first.id, "/A", "v1")];
    assert_eq!(to.ciphertexts.load(&secrets).await.unwrap(), from.ciphertexts.load(&secrets).await.unwrap());
    let of_gone =
        ListQuery { family: Family::Database, include: Include::Deleted, cursor: PageCursor::Start, limit: 9 };
    assert_eq!(to.services.list(of_gone).await.unwrap().total, 1);
    can_be_written(&to, fqn).await;
}

fn row_with(first: &strongroom_domain::ServiceRow, document: &str) -> strongroom_domain::ServiceRow {
    strongroom_domain::ServiceRow { document: document.to_owned(), ..first.clone() }
}

/// All there is to read, as text.
async fn contents(store: &Store) -> String {
    let mut services = store.services.scan(None, 5_000).await.unwrap();
    let mut histories = Vec::new();
    for service in &mut services {
        service.ciphertexts.sort_by(|one, other| one.ciphertext.cmp(&other.ciphertext));
        histories.push(store.services.history(service.row.id).await.unwrap());
    }
    let (principals, tokens) = (store.principals.principals().await.unwrap(), store.principals.tokens().await.unwrap());
    let audit = store.audit.page(AuditQuery { limit: 5_000, ..AuditQuery::default() }).await.unwrap().entries;
    let intents = store.database.intents.due_intents(5_000).await.unwrap();
    let active = store.database.stores.active_store().await.unwrap();
    format!("{services:?} {histories:?} {principals:?} {tokens:?} {audit:?} {intents:?} {active:?}")
}

/// New rows get new numbers, and what is taken stays taken.
async fn can_be_written(to: &Store, fqn: &str) {
    let newest = to.audit.page(AuditQuery { limit: 1, ..AuditQuery::default() }).await.unwrap().entries[0].sequence;
    let found = find(to, fqn).await.unwrap();

    to.services.write(next(&found.row)).await.unwrap();
    let again = to.services.write(creation(row(fqn))).await;
    let name_of_another = ServiceWrite { names: claiming(&["/x"]), ..creation(row("other")) };
    let of_another = to.services.write(name_of_another).await;
    let typed_by_another = ServiceWrite { names: claiming(&["/typed"]), ..creation(row("other")) };
    let of_typed = to.services.write(typed_by_another).await;

    let entry = &to.audit.page(AuditQuery { limit: 1, ..AuditQuery::default() }).await.unwrap().entries[0];
    assert!(entry.sequence > newest);
    assert!(matches!(again, Err(ServiceWriteError::AlreadyExists)), "{again:?}");
    assert!(matches!(of_another, Err(ServiceWriteError::NameTaken(_))), "{of_another:?}");
    assert!(matches!(of_typed, Err(ServiceWriteError::NameTaken(_))), "{of_typed:?}");
}

async fn a_copy_that_was_cut_short_goes_on_where_it_stopped(from: Store, to: Store) {
    for number in 0..1_300 {
        let row = row(&format!("shop-{number}"));
        let secret = sealed(row.id, "/a", "v1", format!("ciphertext {number}").as_bytes());
        from.services.write(ServiceWrite { sealed: vec![secret], ..creation(row) }).await.unwrap();
    }
    for table in ["services", "ciphertexts", "audit_entries"] {
        cut_short_after(&from.database, &to.database, table, 500).await;
        assert_eq!(to.database.unfinished_copy().await.unwrap().as_deref(), Some("source"));
    }
    let mut first_seen = BTreeMap::new();

    let tables = copy(&from.database, &to.database, "source", |progress| {
        if progress.step == CopyStep::Copy {
            first_seen.entry(progress.table).or_insert(progress.done);
        }
    });
    let tables = tables.await.unwrap();

    assert!(tables.iter().any(|table| table.name == "services" && table.rows == 1_300));
    assert_eq!(first_seen["services"], 1_300, "they were not copied again");
    assert!((500..1_300).contains(&first_seen["audit_entries"]), "{first_seen:?}");
    assert_eq!(to.database.unfinished_copy().await.unwrap(), None);
    assert!(contents(&to).await == contents(&from).await);
}

/// Copies until so many rows of a table have arrived, then drops everything in the midst of the work.
async fn cut_short_after(from: &Database, to: &Database, table: &str, rows: u64) {
    let enough = Notify::new();
    let told = |progress: strongroom_database::CopyProgress| {
        if progress.table == table && progress.step == CopyStep::Copy && progress.done >= rows {
            enough.notify_one();
        }
    };
    tokio::select! {
        biased;
        () = enough.notified() => {}
        outcome = copy(from, to, "source", told) => panic!("it was not cut short: {outcome:?}"),
    }
}

async fn a_copy_of_nothing_is_whole(from: Store, to: Store) {
    let tables = copied(&from, &to).await.unwrap();

    assert!(tables.len() == 10 && tables.values().all(|rows| *rows == 0), "{tables:?}");
    create(&to, "first").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_with_rows_of_its_own_is_refused_and_left_alone() {
    let (from, to) = (Store::open(Engine::Sqlite).await, Store::open(Engine::PostgreSql).await);
    create(&from, "shop").await;
    to.principals.insert_principal(principal("ada"), audit()).await.unwrap();

    let refused = copied(&from, &to).await;

    assert!(matches!(refused, Err(CopyError::NotEmpty("principals"))), "{refused:?}");
    assert_eq!(to.database.unfinished_copy().await.unwrap(), None);
    assert!(find(&to, "shop").await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_copy_is_neither_copied_nor_finished_from_elsewhere() {
    let (from, to) = (Store::open(Engine::Sqlite).await, Store::open(Engine::Sqlite).await);
    let third = Store::open(Engine::Sqlite).await;
    for number in 0..600 {
        create(&from, &format!("shop-{number}")).await;
    }
    cut_short_after(&from.database, &to.database, "services", 500).await;

    let from_half = copied(&to, &third).await;
    let from_another = copy(&third.database, &to.database, "another", |_| {}).await;

    assert!(matches!(from_half, Err(CopyError::HalfSource(_))), "{from_half:?}");
    assert!(matches!(from_another, Err(CopyError::OfAnother(_))), "{from_another:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_was_changed_since_the_copy_began_is_noticed() {
    let (from, to) = (Store::open(Engine::Sqlite).await, Store::open(Engine::MariaDb).await);
    for number in 0..600 {
        create(&from, &format!("shop-{number}")).await;
    }
    cut_short_after(&from.database, &to.database, "services", 500).await;
    let first = from.services.scan(None, 1).await.unwrap().remove(0).row;
    from.services.write(next(&first)).await.unwrap();

    let outcome = copied(&from, &to).await;

    assert!(matches!(outcome, Err(CopyError::Differs { table: "services", rows: 0 })), "{outcome:?}");
    assert!(to.database.unfinished_copy().await.unwrap().is_some(), "it must not be served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_changed_in_the_target_are_noticed() {
    let (from, to) = (Store::open(Engine::PostgreSql).await, Store::open(Engine::MariaDb).await);
    for number in 0..3 {
        create(&from, &format!("shop-{number}")).await;
    }
    let changed = to.clone();

    let outcome = copy(&from.database, &to.database, "source", move |progress| {
        if progress.table == "audit_entries" && progress.step == CopyStep::Copy {
            changed.change_behind_our_back("UPDATE services SET mac = 'x' WHERE fqn = 'shop-1'");
        }
    });

    let outcome = outcome.await;
    assert!(matches!(outcome, Err(CopyError::Differs { table: "services", .. })), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_on_which_a_server_runs_is_refused() {
    let (from, to) = (Store::open(Engine::PostgreSql).await, Store::open(Engine::MariaDb).await);
    let id = Uuid::new_v4();
    let server = strongroom_domain::Replica {
        id,
        keys: vec![mac("first-key", 1).key_id],
        encrypts: mac("first-key", 1).key_id,
        store: None,
    };
    from.database.replicas.announce(&server).await.unwrap();
    let from_served = copied(&from, &to).await;
    from.database.replicas.leave(id).await.unwrap();
    to.database.replicas.announce(&server).await.unwrap();
    let to_served = copied(&from, &to).await;

    assert!(matches!(from_served, Err(CopyError::InUse { end: "source" })), "{from_served:?}");
    assert!(matches!(to_served, Err(CopyError::InUse { end: "target" })), "{to_served:?}");
}

/// The copy knows the columns of SQLite (a test inside the crate says so): the servers must have no other ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_servers_have_belongs_to_one_installation() {
    let of_sqlite = Store::open(Engine::Sqlite).await.columns();
    let of_servers = ["changes.", "known_names.", "leases.", "replicas."];

    for engine in [Engine::PostgreSql, Engine::MariaDb] {
        let mut columns = Store::open(engine).await.columns();
        columns.retain(|column| !of_servers.iter().any(|table| column.starts_with(table)));
        let of_sqlite_alone =
            |column: &&String| !column.starts_with("service_totals.") && *column != "schema_migrations.applied_at";
        assert_eq!(columns, of_sqlite.iter().filter(of_sqlite_alone).cloned().collect(), "{engine:?}");
    }
}
