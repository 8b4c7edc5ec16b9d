//! The one thread that writes. It takes whatever is queued, commits it as one transaction, and answers only then:
//! many callers share one `fdatasync`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use strongroom_domain::StoreError;
use tokio::sync::mpsc::Receiver;

use super::connection::OpenDatabase;
use super::errors::{is_worth_reopening, store_error};
use super::request::{Effect, Request};

/// How many requests one transaction takes at most.
const BATCH: usize = 64;

/// When a commit waits for the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Synchronous {
    /// The log is written, not flushed: outlives the process, not a power cut.
    Normal,
    /// The log is flushed at each commit.
    Full,
}

pub(super) struct Writer {
    database: OpenDatabase,
    requests: Receiver<Box<dyn Request>>,
    busy_timeout: Duration,
    notes_may_be_lost_on_power_cut: bool,
    synchronous: Synchronous,
    needs_fresh_connection: bool,
}

impl Writer {
    pub(super) fn new(
        database: OpenDatabase,
        requests: Receiver<Box<dyn Request>>,
        busy_timeout: Duration,
        notes_may_be_lost_on_power_cut: bool,
    ) -> Self {
        Self {
            database,
            requests,
            busy_timeout,
            notes_may_be_lost_on_power_cut,
            synchronous: Synchronous::Full,
            needs_fresh_connection: false,
        }
    }

    /// Serves until every handle of the database is gone.
    pub(super) fn run(mut self) {
        while let Some(first) = self.requests.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(next) = self.requests.try_recv()
            {
                batch.push(next);
            }
            // A panic is a fault of ours in one request; it must not end the writes of all others.
            if catch_unwind(AssertUnwindSafe(|| self.serve(batch))).is_err() {
                self.database.roll_back();
            }
        }
    }

    fn serve(&mut self, batch: Vec<Box<dyn Request>>) {
        let batch = self.without_late_ones(batch);
        let (looks, mut batch): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|request| request.effect() == Effect::None);
        for look in looks {
            self.look(look);
        }
        let failure = self.commit(&mut batch).err();
        for request in batch {
            let is_change = request.effect() == Effect::Change;
            let was_heard = request.answer(failure.as_ref());
            if is_change && !was_heard {
                // Its caller was told "unavailable": what it remembers is now as old as after another's write.
                self.database.unnoticed_changes.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn look(&self, mut request: Box<dyn Request>) {
        let failure = self.database.check_in_place().err();
        if failure.is_none() {
            request.run(&self.database.connection);
        }
        request.answer(failure.as_ref());
    }

    /// Drops what nobody waits for, and what may wait for a lock until nobody does: a request that was answered
    /// with "unavailable" should not be done afterwards.
    fn without_late_ones(&self, batch: Vec<Box<dyn Request>>) -> Vec<Box<dyn Request>> {
        let last_start = Instant::now() + self.busy_timeout;
        let mut timely = Vec::with_capacity(batch.len());
        for request in batch {
            if !request.is_awaited() {
                continue;
            }
            if request.answer_by() < last_start {
                request.answer(Some(&StoreError::Unavailable("too many writes are waiting".to_owned())));
            } else {
                timely.push(request);
            }
        }
        timely
    }

    fn commit(&mut self, batch: &mut [Box<dyn Request>]) -> Result<(), StoreError> {
        let Some(effect) = batch.iter().map(|request| request.effect()).max() else { return Ok(()) };
        self.database.check_in_place()?;
        if self.needs_fresh_connection {
            self.database.reopen()?;
            self.synchronous = Synchronous::Full;
            self.needs_fresh_connection = false;
        }
        let committed = self.transaction(effect, batch);
        self.database.roll_back();
        committed.map_err(|error| {
            self.needs_fresh_connection = is_worth_reopening(&error);
            store_error(&error)
        })
    }

    /// Runs the batch in one transaction. Refusals are rare: only when there is one, what was done is rolled back
    /// and done again with a savepoint around each request, which costs a copy of each page it touches.
    fn transaction(&mut self, effect: Effect, batch: &mut [Box<dyn Request>]) -> rusqlite::Result<()> {
        self.set_synchronous(effect)?;
        let connection = &self.database.connection;
        execute(connection, "BEGIN IMMEDIATE")?;
        if !run_all(connection, batch)? {
            execute(connection, "ROLLBACK")?;
            execute(connection, "BEGIN IMMEDIATE")?;
            for request in batch {
                run_whole_or_not_at_all(connection, request.as_mut())?;
            }
        }
        execute(connection, "COMMIT")
    }

    fn set_synchronous(&mut self, effect: Effect) -> rusqlite::Result<()> {
        let wanted = if effect == Effect::Note && self.notes_may_be_lost_on_power_cut {
            Synchronous::Normal
        } else {
            Synchronous::Full
        };
        if wanted != self.synchronous {
            self.database.connection.execute_batch(match wanted {
                Synchronous::Normal => "PRAGMA synchronous = NORMAL",
                Synchronous::Full => "PRAGMA synchronous = FULL",
            })?;
            self.synchronous = wanted;
        }
        Ok(())
    }
}

/// Runs requests until one that changes something is refused; says whether there was none.
fn run_all(connection: &Connection, batch: &mut [Box<dyn Request>]) -> rusqlite::Result<bool> {
    for request in batch {
        let succeeded = request.run(connection);
        fail_if_rolled_back(connection)?;
        if !succeeded && request.effect() == Effect::Change {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A request that is refused leaves nothing, and spoils nothing of the others in its batch.
fn run_whole_or_not_at_all(connection: &Connection, request: &mut dyn Request) -> rusqlite::Result<()> {
    execute(connection, "SAVEPOINT request")?;
    let succeeded = request.run(connection);
    fail_if_rolled_back(connection)?;
    if !succeeded {
        execute(connection, "ROLLBACK TO request")?;
    }
    execute(connection, "RELEASE request")
}

/// `SQLite` ends the whole transaction by itself on some errors, such as a full disk.
fn fail_if_rolled_back(connection: &Connection) -> rusqlite::Result<()> {
    if connection.is_autocommit() {
        let failure = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        let message = "SQLite rolled the transaction back, disk full or failing".to_owned();
        return Err(rusqlite::Error::SqliteFailure(failure, Some(message)));
    }
    Ok(())
}

/// Runs a statement without values that is kept prepared.
pub(super) fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
