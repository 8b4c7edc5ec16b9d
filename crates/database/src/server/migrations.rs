//! Brings the schema up to date, one replica at a time: a row that says who is at it, with the server's own clock.
//!
//! Each step may be run again: `MySQL` commits with every statement that changes a schema, so that a step which was
//! cut short is begun anew.

use std::time::{Duration, Instant};

use strongroom_domain::StoreError;
use uuid::Uuid;

use super::errors::{is_made_already, store_error};
use super::leases::{self, Lease};
use super::pool::Pool;
use super::session::{Session, Sql};
use super::values::values;

struct Migration {
    number: i64,
    name: &'static str,
    postgres: &'static str,
    mysql: &'static str,
}

macro_rules! migration {
    ($number:literal, $file:literal, $name:literal) => {
        Migration {
            number: $number,
            name: $name,
            postgres: include_str!(concat!("../../../../migrations/postgres/", $file, "_", $name, ".sql")),
            mysql: include_str!(concat!("../../../../migrations/mysql/", $file, "_", $name, ".sql")),
        }
    };
}

const MIGRATIONS: [Migration; 7] = [
    migration!(1, "0001", "create_services"),
    migration!(2, "0002", "create_secrets"),
    migration!(3, "0003", "create_principals"),
    migration!(4, "0004", "create_audit"),
    migration!(5, "0005", "create_coordination"),
    migration!(6, "0006", "prepare_copies"),
    migration!(7, "0007", "create_secret_intents"),
];

/// What notes the steps that were done.
const LEDGER: fn() -> Sql = || Sql::Each {
    postgres: "CREATE TABLE IF NOT EXISTS schema_migrations (number BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL)",
    mysql: "CREATE TABLE IF NOT EXISTS schema_migrations (
                number BIGINT NOT NULL PRIMARY KEY, name VARBINARY(128) NOT NULL) ENGINE = InnoDB",
};

const LEASE: &str = "schema";

/// How long a replica may take for one step; one that vanished keeps the others waiting for as long.
const LEASE_LASTS: Duration = Duration::from_secs(20);

/// How often the others look whether it is done.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// How long they look.
const PATIENCE: Duration = Duration::from_mins(2);

/// How the schema stands.
enum State {
    Current,
    Behind,
    /// Of a newer version of Strongroom.
    Ahead(i64),
}

/// Runs what is missing, or waits for whoever does.
pub(super) async fn migrate(pool: &Pool) -> Result<(), StoreError> {
    let holder = Uuid::new_v4();
    let give_up = Instant::now() + PATIENCE;
    make_ledger(pool).await.map_err(|error| store_error(&error))?;
    loop {
        match advance(pool, holder).await.map_err(|error| store_error(&error))? {
            State::Current => return Ok(()),
            State::Ahead(number) => return Err(too_old(number)),
            State::Behind if Instant::now() > give_up => return Err(stuck()),
            State::Behind => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// Two replicas that make a table at the same time may both find that it is missing.
async fn make_ledger(pool: &Pool) -> sqlx::Result<()> {
    let mut session = pool.acquire().await?;
    if state(&mut session).await.is_ok() {
        return Ok(());
    }
    // The ledger last: where it is, all is.
    for table in [leases::TABLE, LEDGER] {
        match session.execute(table(), &[]).await {
            Err(error) if is_made_already(&error) => {}
            made => made.map(drop)?,
        }
    }
    Ok(())
}

async fn advance(pool: &Pool, holder: Uuid) -> sqlx::Result<State> {
    let mut session = pool.acquire().await?;
    let before = state(&mut session).await?;
    if !matches!(before, State::Behind) {
        return Ok(before);
    }
    let Some(lease) = Lease::take(&mut session, LEASE, holder, LEASE_LASTS).await? else { return Ok(State::Behind) };
    let done = applied(&mut session).await?;
    for migration in MIGRATIONS.iter().filter(|migration| !done.contains(&migration.number)) {
        if !run(pool, &lease, migration).await? {
            return Ok(State::Behind);
        }
    }
    lease.give_back(&mut session).await?;
    state(&mut session).await
}

/// Runs one step; says whether the lease still held.
async fn run(pool: &Pool, lease: &Lease, migration: &Migration) -> sqlx::Result<bool> {
    let mut session = pool.begin().await?;
    if !lease.hold(&mut session).await? {
        session.roll_back().await;
        return Ok(false);
    }
    match pool {
        Pool::Postgres(_) => {
            // A step may take longer than a request.
            session.run_script("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '10s'").await?;
            session.run_script(migration.postgres).await?;
        }
        Pool::MySql(_) => session.run_script(migration.mysql).await?,
    }
    let sql = "INSERT INTO schema_migrations (number, name) VALUES ($1, $2)";
    session.execute(sql, values![migration.number, migration.name]).await?;
    session.commit().await?;
    tracing::info!(migration.number, migration.name, "the schema was brought forward");
    Ok(true)
}

async fn state(session: &mut Session) -> sqlx::Result<State> {
    let applied = applied(session).await?;
    let known = |number: &i64| MIGRATIONS.iter().any(|migration| migration.number == *number);
    if let Some(number) = applied.iter().find(|number| !known(number)) {
        return Ok(State::Ahead(*number));
    }
    Ok(if applied.len() == MIGRATIONS.len() { State::Current } else { State::Behind })
}

async fn applied(session: &mut Session) -> sqlx::Result<Vec<i64>> {
    let rows = session.query("SELECT number FROM schema_migrations ORDER BY number", &[]).await?;
    rows.iter().map(|row| row.integer(0)).collect()
}

fn too_old(number: i64) -> StoreError {
    StoreError::Unexpected(format!(
        "its schema has the step {number}, which this version of Strongroom does not know: start the newer version that \
         made it"
    ))
}

fn stuck() -> StoreError {
    let text = "another replica has been bringing the schema up to date for minutes; look at its log";
    StoreError::Unavailable(text.to_owned())
}
