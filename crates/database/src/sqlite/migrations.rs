//! Brings the schema up to date. Each step runs in a transaction of its own and is noted in `schema_migrations`.

use std::thread;
use std::time::{Duration, Instant};

use rusqlite::ffi::ErrorCode;
use rusqlite::{Connection, params};
use strongroom_domain::StoreError;

use super::errors::store_error;

struct Migration {
    number: i64,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: [Migration; 7] = [
    Migration {
        number: 1,
        name: "create_services",
        sql: include_str!("../../../../migrations/sqlite/0001_create_services.sql"),
    },
    Migration {
        number: 2,
        name: "create_secrets",
        sql: include_str!("../../../../migrations/sqlite/0002_create_secrets.sql"),
    },
    Migration {
        number: 3,
        name: "create_principals",
        sql: include_str!("../../../../migrations/sqlite/0003_create_principals.sql"),
    },
    Migration {
        number: 4,
        name: "create_audit",
        sql: include_str!("../../../../migrations/sqlite/0004_create_audit.sql"),
    },
    Migration {
        number: 5,
        name: "create_coordination",
        sql: include_str!("../../../../migrations/sqlite/0005_create_coordination.sql"),
    },
    Migration {
        number: 6,
        name: "prepare_copies",
        sql: include_str!("../../../../migrations/sqlite/0006_prepare_copies.sql"),
    },
    Migration {
        number: 7,
        name: "create_secret_intents",
        sql: include_str!("../../../../migrations/sqlite/0007_create_secret_intents.sql"),
    },
];

/// How long to wait for another process that does the same.
const PATIENCE: Duration = Duration::from_secs(5);

const CREATE_LEDGER: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    number     INTEGER NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT";

/// Switches the file to write-ahead logging and runs what is missing. Many processes may do so at once.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    patiently(|| connection.execute_batch("PRAGMA journal_mode = WAL")).map_err(|error| store_error(&error))?;
    loop {
        let newest = patiently(|| step(connection)).map_err(|error| store_error(&error))?;
        match newest {
            Step::Done => return Ok(()),
            Step::Applied => {}
            Step::Foreign => {
                return Err(StoreError::Corrupt("the file is a SQLite database of another program".to_owned()));
            }
            Step::Newer(number) => return Err(made_by_a_newer_one(number)),
        }
    }
}

enum Step {
    Applied,
    Done,
    Newer(i64),
    Foreign,
}

/// Looks what the newest step is, under the write lock, and takes the next one.
fn step(connection: &mut Connection) -> rusqlite::Result<Step> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    if is_of_another_program(&transaction)? {
        return Ok(Step::Foreign);
    }
    transaction.execute_batch(CREATE_LEDGER)?;
    let newest: i64 =
        transaction.query_row("SELECT coalesce(max(number), 0) FROM schema_migrations", [], |row| row.get(0))?;
    if MIGRATIONS.last().is_some_and(|last| newest > last.number) {
        return Ok(Step::Newer(newest));
    }
    let Some(next) = MIGRATIONS.iter().find(|migration| migration.number > newest) else { return Ok(Step::Done) };
    transaction.execute_batch(next.sql)?;
    transaction.execute(
        "INSERT INTO schema_migrations (number, name, applied_at)
         VALUES (?1, ?2, CAST(unixepoch('subsec') * 1000 AS INTEGER))",
        params![next.number, next.name],
    )?;
    transaction.commit()?;
    Ok(Step::Applied)
}

fn is_of_another_program(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT count(*) > 0 AND NOT coalesce(max(name = 'schema_migrations'), 0) FROM sqlite_schema",
        [],
        |row| row.get(0),
    )
}

fn made_by_a_newer_one(number: i64) -> StoreError {
    let known = MIGRATIONS.last().map_or(0, |last| last.number);
    StoreError::Unexpected(format!(
        "it was made by a newer Strongroom (schema {number}, this one knows {known}); use that version or newer"
    ))
}

/// Repeats what another process's lock prevents: `SQLite`'s own busy timeout does not cover a change of journal mode.
fn patiently<T>(mut work: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        match work() {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < end => {
                thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}
