//! The threads that read, each with a connection of its own: one transaction a request, so that what belongs
//! together is read together.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use strongroom_domain::StoreError;
use tokio::sync::mpsc::Receiver;

use super::connection::OpenDatabase;
use super::errors::{is_worth_reopening, store_error};
use super::request::Request;
use super::writer::execute;

/// How many steps of `SQLite`'s machine pass between two looks at the clock: some milliseconds.
const STEPS_BETWEEN_LOOKS: i32 = 20_000;

/// The queue that all readers take from.
pub(super) type ReadQueue = Arc<Mutex<Receiver<Box<dyn Request>>>>;

pub(super) struct Reader {
    database: OpenDatabase,
    requests: ReadQueue,
    limit: Arc<TimeLimit>,
    needs_fresh_connection: bool,
}

impl Reader {
    pub(super) fn new(database: OpenDatabase, requests: ReadQueue) -> Result<Self, StoreError> {
        let limit = Arc::new(TimeLimit { start: Instant::now(), millis: AtomicU64::new(u64::MAX) });
        let mut reader = Self { database, requests, limit, needs_fresh_connection: false };
        reader.watch_the_clock()?;
        Ok(reader)
    }

    /// Serves until every handle of the database is gone.
    pub(super) fn run(mut self) {
        while let Some(request) = self.next() {
            // A panic is a fault of ours in one request; it must not end the reads of all others.
            if catch_unwind(AssertUnwindSafe(|| self.serve(request))).is_err() {
                self.database.roll_back();
            }
        }
    }

    fn next(&self) -> Option<Box<dyn Request>> {
        // The lock is held while waiting: the other readers wait for it instead of for the queue.
        self.requests.lock().ok()?.blocking_recv()
    }

    fn serve(&mut self, mut request: Box<dyn Request>) {
        if !request.is_awaited() {
            return;
        }
        if request.answer_by() < Instant::now() {
            request.answer(Some(&StoreError::Unavailable("too many reads are waiting".to_owned())));
            return;
        }
        let failure = self.read(request.as_mut()).err();
        request.answer(failure.as_ref());
    }

    fn read(&mut self, request: &mut dyn Request) -> Result<(), StoreError> {
        self.database.check_in_place()?;
        if self.needs_fresh_connection {
            self.database.reopen()?;
            self.watch_the_clock()?;
            self.needs_fresh_connection = false;
        }
        self.limit.set(request.answer_by());
        let done = self.transaction(request);
        self.database.roll_back();
        done.map_err(|error| {
            self.needs_fresh_connection = is_worth_reopening(&error);
            store_error(&error)
        })
    }

    fn transaction(&self, request: &mut dyn Request) -> rusqlite::Result<()> {
        let connection = &self.database.connection;
        execute(connection, "BEGIN")?;
        request.run(connection);
        if connection.is_autocommit() { Ok(()) } else { execute(connection, "COMMIT") }
    }

    /// A read that nobody waits for any more is interrupted, so that it does not keep others waiting.
    fn watch_the_clock(&mut self) -> Result<(), StoreError> {
        let limit = Arc::clone(&self.limit);
        let watch = move || limit.is_over();
        let connection = &mut self.database.connection;
        connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(watch)).map_err(|error| store_error(&error))
    }
}

/// When the present read must end.
struct TimeLimit {
    start: Instant,
    millis: AtomicU64,
}

impl TimeLimit {
    fn set(&self, end: Instant) {
        self.millis.store(millis_between(self.start, end), Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        millis_between(self.start, Instant::now()) > self.millis.load(Ordering::Relaxed)
    }
}

fn millis_between(start: Instant, end: Instant) -> u64 {
    u64::try_from(end.saturating_duration_since(start).as_millis()).unwrap_or(u64::MAX)
}
