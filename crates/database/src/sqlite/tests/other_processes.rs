//! Two processes on one database: a server, and a command beside it.

use strongroom_domain::{AuditAction, AuditLog, ServiceStore};
use uuid::Uuid;

use super::super::{SqliteDatabase, SqliteOptions};
use super::{Scratch, creation, entry, row, write};

#[tokio::test]
async fn the_write_of_another_process_is_noticed_once_and_our_own_never() {
    let scratch = Scratch::new();
    let other = SqliteDatabase::open(&SqliteOptions::new(&scratch.path)).unwrap();
    scratch.create("ours").await;
    assert!(!scratch.database.changed_elsewhere().await.unwrap());

    write(&other, creation(row("theirs"))).await.unwrap();

    assert!(scratch.database.changed_elsewhere().await.unwrap());
    assert!(!scratch.database.changed_elsewhere().await.unwrap());
    scratch.database.record(entry(AuditAction::Read, Uuid::new_v4(), "x")).await.unwrap();
    assert!(!scratch.database.changed_elsewhere().await.unwrap());
    assert!(scratch.find("theirs").await.is_some());
}

#[tokio::test]
async fn both_write_and_neither_loses_anything() {
    let scratch = Scratch::new();
    let options =
        SqliteOptions { answer_timeout: std::time::Duration::from_secs(30), ..SqliteOptions::new(&scratch.path) };
    let options = SqliteOptions { busy_timeout: std::time::Duration::from_secs(20), ..options };
    let other = SqliteDatabase::open(&options).unwrap();
    let ours = tokio::spawn({
        let database = scratch.database.clone();
        async move { many(&database, "ours").await }
    });
    let theirs = tokio::spawn(async move { many(&other, "theirs").await });
    let written = ours.await.unwrap() + theirs.await.unwrap();

    assert!(written >= 50, "{written}");
    assert_eq!(scratch.database.scan(None, 1_000).await.unwrap().len(), written);
}

/// Creates up to fifty services one after the other; says how many were acknowledged.
async fn many(database: &SqliteDatabase, prefix: &str) -> usize {
    let mut written = 0;
    for number in 0..50 {
        written += usize::from(write(database, creation(row(&format!("{prefix}-{number}")))).await.is_ok());
    }
    written
}

#[tokio::test]
async fn a_fresh_connection_of_the_writer_counts_as_a_change() {
    let scratch = Scratch::new();

    scratch.database.0.unnoticed_changes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);

    assert!(scratch.database.changed_elsewhere().await.unwrap());
    assert!(!scratch.database.changed_elsewhere().await.unwrap());
}
