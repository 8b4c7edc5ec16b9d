//! Locked, moved, full, damaged: unavailable within a second, nothing half-written, and it recovers by itself.

use crate::DatabaseHealth;
use std::time::{Duration, Instant};

use strongroom_domain::{AuditAction, AuditLog, ServiceStore, ServiceWrite, StoreError};
use uuid::Uuid;

use super::super::Effect;
use super::{Scratch, creation, entry, is_unavailable, row, sealed, was_unavailable, write};

#[tokio::test]
async fn a_database_locked_by_another_process_is_unavailable_within_a_second_and_recovers() {
    let scratch = Scratch::impatient();
    let other = scratch.other_connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let start = Instant::now();
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let database = scratch.database.clone();
            tokio::spawn(async move { write(&database, creation(row(&number.to_string()))).await })
        })
        .collect();

    for task in tasks {
        assert!(was_unavailable(&task.await.unwrap()));
    }
    // A second, and a little for a busy machine.
    assert!(start.elapsed() < Duration::from_millis(1_200), "{:?}", start.elapsed());
    assert!(is_unavailable(&scratch.database.check_writable().await));
    assert!(scratch.find("1").await.is_none(), "reads go on");

    other.execute_batch("ROLLBACK").unwrap();
    scratch.create("after").await;
    scratch.database.check_writable().await.unwrap();
    assert_eq!(scratch.audit_count().await, 1);
}

#[tokio::test]
async fn a_lock_that_is_held_briefly_is_waited_for() {
    let scratch = Scratch::impatient();
    let other = scratch.other_connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let unlock = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        other.execute_batch("COMMIT").unwrap();
    });

    let outcome = write(&scratch.database, creation(row("patient"))).await;

    unlock.join().unwrap();
    outcome.unwrap();
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_unavailable_until_it_is_back() {
    let scratch = Scratch::new();
    scratch.create("before").await;
    let elsewhere = scratch.folder.path().join("elsewhere.db");
    std::fs::rename(&scratch.path, &elsewhere).unwrap();

    assert!(was_unavailable(&write(&scratch.database, creation(row("lost"))).await));
    assert!(is_unavailable(&scratch.database.record(entry(AuditAction::Read, Uuid::new_v4(), "x")).await));
    assert!(is_unavailable(&scratch.database.is_empty().await));
    assert!(is_unavailable(&scratch.database.ping().await));
    assert!(is_unavailable(&scratch.database.changed_elsewhere().await));
    assert!(!scratch.path.exists(), "no empty database is made in its place");

    std::fs::rename(&elsewhere, &scratch.path).unwrap();
    scratch.create("after").await;
    assert!(scratch.find("before").await.is_some());
    assert!(scratch.find("lost").await.is_none());
    assert_eq!(scratch.audit_count().await, 2);
}

#[tokio::test]
async fn another_file_in_its_place_is_not_taken_for_it() {
    let scratch = Scratch::new();
    scratch.create("before").await;
    let elsewhere = scratch.folder.path().join("elsewhere.db");
    std::fs::rename(&scratch.path, &elsewhere).unwrap();
    std::fs::write(&scratch.path, "").unwrap();

    let outcome = write(&scratch.database, creation(row("lost"))).await;

    assert!(outcome.unwrap_err().to_string().contains("another one stands in its place"));
    std::fs::rename(&elsewhere, &scratch.path).unwrap();
    scratch.create("after").await;
}

#[tokio::test]
async fn a_write_ahead_log_that_was_moved_is_noticed() {
    let scratch = Scratch::new();
    scratch.create("before").await;
    let log = scratch.folder.path().join("strongroom.db-wal");
    let elsewhere = scratch.folder.path().join("elsewhere-wal");
    std::fs::rename(&log, &elsewhere).unwrap();

    assert!(was_unavailable(&write(&scratch.database, creation(row("lost"))).await));

    std::fs::rename(&elsewhere, &log).unwrap();
    scratch.create("after").await;
    assert!(scratch.find("before").await.is_some());
}

#[tokio::test]
async fn a_full_disk_is_unavailable_leaves_nothing_half_written_and_recovers() {
    let scratch = Scratch::new();
    scratch.create("before").await;
    let pages = limit_pages(&scratch, "SELECT page_count + 4 FROM pragma_page_count").await;
    let small = creation(row("small"));
    let big = row("big");
    let secrets = (0..50).map(|number| sealed(big.id, &format!("/{number}"), "1", &[7; 4096])).collect();
    let big = ServiceWrite { sealed: secrets, ..creation(big) };

    let outcome = write(&scratch.database, big).await;

    assert!(was_unavailable(&outcome), "{outcome:?}");
    assert!(scratch.find("big").await.is_none());
    assert_eq!(scratch.audit_count().await, 1);
    write(&scratch.database, small).await.unwrap();
    limit_pages(&scratch, &format!("SELECT {pages} + 1000")).await;
    scratch.create("after").await;
    let leftovers: i64 =
        scratch.other_connection().query_row("SELECT count(*) FROM ciphertexts", [], |row| row.get(0)).unwrap();
    assert_eq!(leftovers, 0);
}

/// Limits the file as a full disk would; says to how many pages.
async fn limit_pages(scratch: &Scratch, pages: &str) -> i64 {
    let pages = pages.to_owned();
    let limit = move |connection: &rusqlite::Connection| {
        let pages: i64 = connection.query_row(&pages, [], |row| row.get(0))?;
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get::<_, i64>(0))?;
        Ok(pages)
    };
    scratch.database.write::<i64, StoreError, _>(Effect::None, limit).await.unwrap()
}

#[tokio::test]
async fn a_read_that_takes_too_long_is_interrupted_and_the_reader_goes_on() {
    let scratch = Scratch::with(|options| {
        options.readers = 1;
        options.answer_timeout = Duration::from_millis(450);
    });
    let endless = |connection: &rusqlite::Connection| {
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        connection.query_row(sql, [], |row| row.get::<_, i64>(0))
    };

    let outcome = scratch.database.read(endless).await;

    assert!(is_unavailable(&outcome));
    while is_unavailable(&scratch.database.ping().await) {}
}

#[tokio::test]
async fn a_damaged_file_is_corrupt_and_no_error_quotes_a_value() {
    let scratch = Scratch::new();
    for number in 0..200 {
        scratch.create(&format!("canary-{number}")).await;
    }
    scratch.other_connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    damage(&scratch.path);
    let Scratch { database, path, folder: _folder } = scratch;
    drop(database);

    let outcome = match super::SqliteDatabase::open(&super::SqliteOptions::new(&path)) {
        Ok(database) => database.scan(None, 1_000).await.map(drop),
        Err(error) => Err(error),
    };

    let error = outcome.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    assert!(!error.to_string().contains("canary"), "{error}");
}

/// Overwrites all pages but the first, in place: the file stays the same one.
fn damage(path: &std::path::Path) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all_at(&vec![0x5a; usize::try_from(length - 4096).unwrap()], 4096).unwrap();
}

#[tokio::test]
async fn a_panic_in_one_request_ends_neither_reads_nor_writes() {
    let scratch = Scratch::with(|options| options.readers = 1);
    let in_write = |connection: &rusqlite::Connection| {
        connection.execute("DELETE FROM schema_migrations", [])?;
        panic!("a fault of ours")
    };

    let written = scratch.database.write::<(), StoreError, _>(Effect::Change, in_write).await;
    let read = scratch.database.read::<(), _>(|_| panic!("a fault of ours")).await;

    assert!(is_unavailable(&written) && is_unavailable(&read));
    scratch.database.ping().await.unwrap();
    scratch.create("after").await;
    assert!(scratch.find("after").await.is_some());
}

#[tokio::test]
async fn an_orderly_end_saves_what_a_deleted_write_ahead_log_held() {
    let scratch = Scratch::new();
    scratch.create("before").await;
    std::fs::remove_file(scratch.folder.path().join("strongroom.db-wal")).unwrap();
    assert!(was_unavailable(&write(&scratch.database, creation(row("refused"))).await));
    let Scratch { database, path, folder: _folder } = scratch;
    drop(database);

    let again = super::SqliteDatabase::open(&super::SqliteOptions::new(&path)).unwrap();

    assert_eq!(again.scan(None, 10).await.unwrap().len(), 1);
}
