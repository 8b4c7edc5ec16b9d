//! What one commit of many requests promises to each.

use strongroom_domain::{AuditAction, AuditLog, ClaimedName, ServiceWrite, ServiceWriteError};
use uuid::Uuid;

use super::super::{AuditSync, Effect};
use super::{Scratch, creation, entry, next, row, sealed, write};

fn name(name: &str) -> ClaimedName {
    ClaimedName { name: name.to_uppercase(), normal_name: name.to_owned(), path: "/config/password".to_owned() }
}

/// Keeps the writer busy until the returned sender is used, so that what comes meanwhile is one batch.
async fn hold_the_writer(scratch: &Scratch) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let busy = std::sync::Arc::new(tokio::sync::Notify::new());
    let database = scratch.database.clone();
    let held = tokio::spawn({
        let busy = busy.clone();
        async move {
            let hold = move |_: &rusqlite::Connection| {
                busy.notify_one();
                let _ = wait.lock().unwrap().recv();
                Ok(())
            };
            database.write::<(), strongroom_domain::StoreError, _>(Effect::None, hold).await.unwrap();
        }
    });
    busy.notified().await;
    (release, held)
}

#[tokio::test]
async fn a_refused_request_in_a_batch_leaves_nothing_and_spoils_nobody_else() {
    let scratch = Scratch::new();
    let existing = scratch.create("existing").await;
    let mut name_taken = creation(row("refused-late"));
    name_taken.names.claimed = vec![name("/x"), name("/x")];
    name_taken.names.claimed[1].path.push_str("/other");
    let mut conflict = next(&existing);
    conflict.expected_revision = Some(99);
    conflict.sealed = vec![sealed(existing.id, "/password", "9", b"never")];
    let good = |fqn: &str| {
        let row = row(fqn);
        ServiceWrite { sealed: vec![sealed(row.id, "/password", "1", b"good")], ..creation(row) }
    };
    let requests = vec![good("one"), name_taken, creation(row("existing")), good("two"), conflict, good("three")];
    let (release, held) = hold_the_writer(&scratch).await;
    let tasks: Vec<_> = requests
        .into_iter()
        .map(|request| {
            let database = scratch.database.clone();
            tokio::spawn(async move { write(&database, request).await })
        })
        .collect();
    tokio::task::yield_now().await;
    release.send(()).unwrap();
    held.await.unwrap();

    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(match task.await.unwrap() {
            Ok(()) => "written",
            Err(ServiceWriteError::NameTaken(_)) => "name taken",
            Err(ServiceWriteError::AlreadyExists) => "exists",
            Err(ServiceWriteError::Conflict) => "conflict",
            Err(ServiceWriteError::Store(_)) => "store",
        });
    }

    assert_eq!(outcomes, ["written", "name taken", "exists", "written", "conflict", "written"]);
    for fqn in ["one", "two", "three"] {
        assert_eq!(scratch.find(fqn).await.unwrap().ciphertexts.len(), 1, "{fqn}");
    }
    assert!(scratch.find("refused-late").await.is_none());
    assert!(scratch.find("existing").await.unwrap().ciphertexts.is_empty());
    // One for each that was written, and none written twice.
    assert_eq!(scratch.audit_count().await, 4);
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_is_not_done() {
    let scratch = Scratch::new();
    let (release, held) = hold_the_writer(&scratch).await;
    let database = scratch.database.clone();
    let given_up = tokio::spawn(async move { write(&database, creation(row("given-up"))).await });
    tokio::task::yield_now().await;
    given_up.abort();
    let _ = given_up.await;
    release.send(()).unwrap();
    held.await.unwrap();

    scratch.create("next").await;

    assert!(scratch.find("given-up").await.is_none());
}

#[tokio::test]
async fn entries_and_writes_keep_their_order_and_are_all_there() {
    for audit_sync in [AuditSync::Normal, AuditSync::Always] {
        let scratch = Scratch::with(|options| options.audit_sync = audit_sync);
        let mut tasks = Vec::new();
        for number in 0..200 {
            let database = scratch.database.clone();
            tasks.push(tokio::spawn(async move {
                if number % 3 == 0 {
                    write(&database, creation(row(&number.to_string()))).await.unwrap();
                } else {
                    database.record(entry(AuditAction::Read, Uuid::new_v4(), &number.to_string())).await.unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }

        assert_eq!(scratch.audit_count().await, 200);
    }
}

#[tokio::test]
async fn a_commit_flushes_the_disk_unless_it_holds_entries_of_reads_only() {
    let scratch = Scratch::new();
    let always = Scratch::with(|options| options.audit_sync = AuditSync::Always);

    scratch.database.record(entry(AuditAction::Read, Uuid::new_v4(), "x")).await.unwrap();
    always.database.record(entry(AuditAction::Read, Uuid::new_v4(), "x")).await.unwrap();
    assert_eq!((synchronous(&scratch).await, synchronous(&always).await), (NORMAL, FULL));

    scratch.create("shop").await;
    assert_eq!(synchronous(&scratch).await, FULL);
}

const NORMAL: i64 = 1;
const FULL: i64 = 2;

async fn synchronous(scratch: &Scratch) -> i64 {
    let look =
        |connection: &rusqlite::Connection| Ok(connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?);
    scratch.database.write::<i64, strongroom_domain::StoreError, _>(Effect::None, look).await.unwrap()
}

#[tokio::test]
async fn a_batch_whose_transaction_ended_early_fails_as_a_whole_and_the_next_one_works() {
    let scratch = Scratch::new();
    let (release, held) = hold_the_writer(&scratch).await;
    let database = scratch.database.clone();
    let good = tokio::spawn(async move { write(&database, creation(row("good"))).await });
    tokio::task::yield_now().await;
    let database = scratch.database.clone();
    let ending = tokio::spawn(async move {
        let end = |connection: &rusqlite::Connection| Ok(connection.execute_batch("ROLLBACK")?);
        database.write::<(), strongroom_domain::StoreError, _>(Effect::Change, end).await
    });
    tokio::task::yield_now().await;
    release.send(()).unwrap();
    held.await.unwrap();

    assert!(super::was_unavailable(&good.await.unwrap()));
    assert!(super::is_unavailable(&ending.await.unwrap()));
    assert!(scratch.find("good").await.is_none());
    scratch.create("next").await;
}
