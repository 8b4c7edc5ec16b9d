//! Opening: files, modes, schemas.

use strongroom_domain::{ServiceStore, StoreError};

use super::super::{SqliteDatabase, SqliteOptions};
use super::{Scratch, mode};

#[tokio::test]
async fn the_file_and_those_beside_it_are_for_their_owner_only() {
    let scratch = Scratch::new();
    scratch.create("shop").await;

    for suffix in ["", "-wal", "-shm"] {
        let path = scratch.folder.path().join(format!("strongroom.db{suffix}"));
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn a_second_start_finds_everything_again() {
    let scratch = Scratch::new();
    scratch.create("shop").await;
    let Scratch { database, path, folder: _folder } = scratch;
    drop(database);
    assert!(!path.with_file_name("strongroom.db-wal").exists(), "an orderly end leaves one file");

    let again = SqliteDatabase::open(&SqliteOptions::new(&path)).unwrap();

    assert!(!again.is_empty().await.unwrap());
}

#[tokio::test]
async fn a_database_made_by_a_newer_version_is_refused() {
    let scratch = Scratch::new();
    scratch
        .other_connection()
        .execute("INSERT INTO schema_migrations (number, name, applied_at) VALUES (99, 'x', 0)", [])
        .unwrap();

    let error = SqliteDatabase::open(&SqliteOptions::new(&scratch.path)).err().unwrap().to_string();

    assert!(
        error.ends_with("it was made by a newer Strongroom (schema 99, this one knows 7); use that version or newer"),
        "{error}"
    );
}

#[test]
fn the_database_of_another_program_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();

    let error = SqliteDatabase::open(&SqliteOptions::new(&path)).err().unwrap();

    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    let tables: i64 = rusqlite::Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 1);
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "no database, but long enough to be looked at as one. ".repeat(100)).unwrap();

    let error = SqliteDatabase::open(&SqliteOptions::new(&path)).err().unwrap();

    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
}

#[test]
fn a_folder_that_does_not_exist_is_named() {
    let error = SqliteDatabase::open(&SqliteOptions::new("/does/not/exist/strongroom.db")).err().unwrap();

    assert!(error.to_string().contains("/does/not/exist/strongroom.db"), "{error}");
}

#[test]
fn processes_that_open_a_new_database_at_once_all_succeed() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let path = folder.path().join(format!("{round}.db"));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || SqliteDatabase::open(&SqliteOptions::new(path)))
            })
            .collect();

        for thread in threads {
            thread.join().unwrap().map(drop).unwrap();
        }
    }
}

#[test]
fn each_migration_is_noted_with_its_name() {
    let scratch = Scratch::new();

    let connection = scratch.other_connection();
    let mut statement = connection.prepare("SELECT name FROM schema_migrations ORDER BY number").unwrap();
    let names: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();

    assert_eq!(
        names,
        [
            "create_services",
            "create_secrets",
            "create_principals",
            "create_audit",
            "create_coordination",
            "prepare_copies",
            "create_secret_intents"
        ]
    );
}
