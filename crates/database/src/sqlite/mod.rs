//! The embedded database: one `SQLite` file, one writer thread, a few reader threads.

mod active_store;
mod audit;
mod ciphertexts;
mod connection;
mod errors;
mod key_usage;
mod migrations;
mod principals;
mod readers;
mod remains;
mod request;
mod rows;
mod secret_intents;
mod secret_names;
mod services;
mod tables;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests;
mod tokens;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rusqlite::Connection;
use strongroom_domain::{ChangeFeed, Changes, Replica, ReplicaRegistry, StoreError};
use tokio::sync::mpsc::{Sender, channel};
use uuid::Uuid;

use self::connection::{Access, OpenDatabase, create_file};
use self::errors::{Fault, store_error};
use self::readers::Reader;
use self::request::{Effect, Request, Work};
use self::writer::Writer;
use crate::DatabaseHealth;
use crate::database_lock::real_path;

/// How many requests wait for a thread before callers wait to be let in.
const QUEUE: usize = 1024;

/// How safe an audit entry of a read is before its answer goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditSync {
    /// It outlives the process, also when that is killed, but perhaps not a power cut.
    #[default]
    Normal,
    /// It outlives a power cut, at the price of a flush of the disk.
    Always,
}

/// Where the database is, and how long it may take.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The file; made where there is none. Its folder must exist.
    pub path: PathBuf,
    /// How safe audit entries of reads are.
    pub audit_sync: AuditSync,
    /// How long to wait for another process's write.
    pub busy_timeout: Duration,
    /// How long a caller waits for an answer; must be longer than `busy_timeout`.
    pub answer_timeout: Duration,
    /// How many threads read.
    pub readers: usize,
}

impl SqliteOptions {
    /// The usual options for a file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            audit_sync: AuditSync::default(),
            busy_timeout: Duration::from_millis(400),
            answer_timeout: Duration::from_millis(900),
            readers: 2,
        }
    }
}

/// A handle to the embedded database. Clones share its threads, which end with the last of them.
#[derive(Clone)]
pub struct SqliteDatabase(Arc<Handle>);

struct Handle {
    // Dropped in this order: the writer's connection, closed last, empties the log into the file.
    readers: Threads,
    writer: Threads,
    answer_timeout: Duration,
    last_data_version: Mutex<DataVersion>,
    unnoticed_changes: Arc<AtomicI64>,
}

/// Changes when another connection than the writer's commits.
#[derive(Clone, Copy, PartialEq, Eq)]
struct DataVersion {
    of_connection: i64,
    unnoticed_changes: i64,
}

/// Threads that serve one queue.
struct Threads {
    // Dropped first: a closed queue ends the threads.
    queue: Sender<Box<dyn Request>>,
    running: Running,
}

/// Waits for threads to end, so that the file is closed when the last handle is gone.
#[derive(Default)]
struct Running(Vec<JoinHandle<()>>);

impl Drop for Running {
    fn drop(&mut self) {
        for thread in self.0.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Threads {
    fn new(queue: Sender<Box<dyn Request>>) -> Self {
        Self { queue, running: Running::default() }
    }

    fn start(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
        let thread = thread.map_err(|error| StoreError::Unavailable(format!("cannot start a thread: {error}")))?;
        self.running.0.push(thread);
        Ok(())
    }
}

impl SqliteDatabase {
    /// Opens the database, brings its schema up to date and starts its threads. Blocks.
    pub fn open(options: &SqliteOptions) -> Result<Self, StoreError> {
        let options = SqliteOptions { path: found(&options.path)?, ..options.clone() };
        create_file(&options.path)?;
        let database = open_for_writing(&options)?;
        let unnoticed_changes = Arc::clone(&database.unnoticed_changes);
        let of_connection = data_version(&database.connection).map_err(|error| store_error(&error))?;
        let last_data_version =
            Mutex::new(DataVersion { of_connection, unnoticed_changes: unnoticed_changes.load(Ordering::Relaxed) });
        let writer = start_writer(&options, database)?;
        let readers = start_readers(&options)?;
        let answer_timeout = options.answer_timeout;
        Ok(Self(Arc::new(Handle { readers, writer, answer_timeout, last_data_version, unnoticed_changes })))
    }

    /// Says whether another process has committed since the last call (or since the database was opened).
    async fn changed_elsewhere(&self) -> Result<bool, StoreError> {
        let seen = DataVersion {
            of_connection: self.write(Effect::None, |connection| Ok(data_version(connection)?)).await?,
            unnoticed_changes: self.0.unnoticed_changes.load(Ordering::Relaxed),
        };
        let mut last = self.0.last_data_version.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::replace(&mut *last, seen) != seen)
    }

    async fn write<T, E, W>(&self, effect: Effect, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        W: Fn(&Connection) -> Result<T, Fault<E>> + Send + 'static,
    {
        self.ask(&self.0.writer.queue, effect, self.0.answer_timeout, work).await
    }

    async fn read<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let work = move |connection: &Connection| work(connection).map_err(Fault::Sqlite);
        self.ask(&self.0.readers.queue, Effect::None, self.0.answer_timeout, work).await
    }

    async fn ask<T, E, W>(
        &self,
        queue: &Sender<Box<dyn Request>>,
        effect: Effect,
        patience: Duration,
        work: W,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        W: Fn(&Connection) -> Result<T, Fault<E>> + Send + 'static,
    {
        let answer_by = Instant::now() + patience;
        let (request, answer) = Work::new(effect, answer_by, work);
        let answered = async {
            queue.send(Box::new(request)).await.map_err(|_| dropped())?;
            answer.await.map_err(|_| dropped())
        };
        if let Ok(outcome) = tokio::time::timeout_at(answer_by.into(), answered).await {
            return outcome?;
        }
        // It may have been done just now: see the writer, which counts those done later.
        self.0.unnoticed_changes.fetch_add(1, Ordering::Relaxed);
        Err(E::from(too_slow(patience)))
    }
}

#[async_trait]
impl DatabaseHealth for SqliteDatabase {
    async fn ping(&self) -> Result<(), StoreError> {
        self.read(|connection| {
            connection.prepare_cached("SELECT 1 FROM schema_migrations LIMIT 1")?.query_row([], |_| Ok(()))
        })
        .await
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        self.write(Effect::Note, |_| Ok(())).await
    }
}

#[async_trait]
impl ChangeFeed for SqliteDatabase {
    /// Tells only that another process wrote: one's own writes are known.
    async fn changes(&self) -> Result<Changes, StoreError> {
        Ok(Changes { everything: self.changed_elsewhere().await?, ..Changes::default() })
    }
}

/// One server and its commands share one key ring file, so that nobody needs to be asked.
#[async_trait]
impl ReplicaRegistry for SqliteDatabase {
    async fn announce(&self, _replica: &Replica) -> Result<(), StoreError> {
        Ok(())
    }

    async fn leave(&self, _id: Uuid) -> Result<(), StoreError> {
        Ok(())
    }

    async fn live(&self) -> Result<Vec<Replica>, StoreError> {
        Ok(Vec::new())
    }
}

fn found(path: &Path) -> Result<PathBuf, StoreError> {
    real_path(path).map_err(|error| StoreError::Unavailable(format!("cannot find {}: {error}", path.display())))
}

fn open_for_writing(options: &SqliteOptions) -> Result<OpenDatabase, StoreError> {
    if options.answer_timeout <= options.busy_timeout {
        return Err(StoreError::Unexpected("the answer timeout must be longer than the busy timeout".to_owned()));
    }
    let mut database = OpenDatabase::open(&options.path, Access::Write, options.busy_timeout)?;
    migrations::migrate(&mut database.connection)?;
    // Only now the write-ahead log is there, whose identity the connection notes.
    database.reopen()?;
    Ok(database)
}

fn start_writer(options: &SqliteOptions, database: OpenDatabase) -> Result<Threads, StoreError> {
    let (queue, requests) = channel(QUEUE);
    let relaxed = options.audit_sync == AuditSync::Normal;
    let writer = Writer::new(database, requests, options.busy_timeout, relaxed);
    let mut threads = Threads::new(queue);
    threads.start("database-writer", move || writer.run())?;
    Ok(threads)
}

fn start_readers(options: &SqliteOptions) -> Result<Threads, StoreError> {
    let (queue, requests) = channel(QUEUE);
    let requests = Arc::new(Mutex::new(requests));
    let mut threads = Threads::new(queue);
    for _ in 0..options.readers.max(1) {
        let database = OpenDatabase::open(&options.path, Access::Read, options.busy_timeout)?;
        let reader = Reader::new(database, Arc::clone(&requests))?;
        threads.start("database-reader", move || reader.run())?;
    }
    Ok(threads)
}

/// A number that changes when another connection commits.
fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

fn dropped() -> StoreError {
    StoreError::Unavailable("the request was dropped".to_owned())
}

fn too_slow(timeout: Duration) -> StoreError {
    StoreError::Unavailable(format!("no answer within {} ms", timeout.as_millis()))
}
