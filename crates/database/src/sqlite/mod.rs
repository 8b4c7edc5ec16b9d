//! The embedded database: one `SQLite` file, one writer thread, a few reader threads.

mod audit;
mod ciphertexts;
mod connection;
mod errors;
mod key_usage;
mod migrations;
mod principals;
mod readers;
mod request;
mod rows;
mod secret_names;
mod services;
#[cfg(test)]
mod tests;
mod tokens;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use strongroom_domain::StoreError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use self::connection::{Access, OpenDatabase, create_file};
use self::errors::Fault;
use self::readers::Reader;
use self::request::{Effect, Request, Work};
use self::writer::Writer;
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
    writes: Sender<Box<dyn Request>>,
    reads: Sender<Box<dyn Request>>,
    answer_timeout: Duration,
    last_data_version: Arc<AtomicI64>,
    // Declared last: dropped when the queues are closed, so that the threads end.
    _threads: Threads,
}

/// Waits for the threads to end, so that the file is closed when the last handle is gone.
#[derive(Default)]
struct Threads(Vec<JoinHandle<()>>);

impl Drop for Threads {
    fn drop(&mut self) {
        for thread in self.0.drain(..) {
            let _ = thread.join();
        }
    }
}

impl SqliteDatabase {
    /// Opens the database, brings its schema up to date and starts its threads. Blocks.
    pub fn open(options: SqliteOptions) -> Result<Self, StoreError> {
        let options = SqliteOptions { path: found(options.path)?, ..options };
        create_file(&options.path)?;
        let (writes, write_queue) = channel(QUEUE);
        let (reads, read_queue) = channel(QUEUE);
        let mut threads = Threads::default();
        let data_version = start_writer(&options, write_queue, &mut threads)?;
        if let Err(error) = start_readers(&options, read_queue, &mut threads) {
            drop(writes);
            return Err(error);
        }
        Ok(Self(Arc::new(Handle {
            writes,
            reads,
            answer_timeout: options.answer_timeout,
            last_data_version: Arc::new(AtomicI64::new(data_version)),
            _threads: threads,
        })))
    }

    /// Fails unless the database can be read.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read(|connection| {
            connection.prepare_cached("SELECT 1 FROM schema_migrations LIMIT 1")?.query_row([], |_| Ok(()))
        })
        .await
    }

    /// Fails unless the database can be locked for a write. Changes nothing.
    pub async fn check_writable(&self) -> Result<(), StoreError> {
        self.write(Effect::Note, |_| Ok(())).await
    }

    /// Says whether another process has committed since the last call (or since the database was opened).
    pub async fn changed_elsewhere(&self) -> Result<bool, StoreError> {
        let last = Arc::clone(&self.0.last_data_version);
        let look = move |connection: &Connection| {
            let version = data_version(connection)?;
            Ok(last.swap(version, Ordering::Relaxed) != version)
        };
        self.write(Effect::None, look).await
    }

    async fn write<T, E, W>(&self, effect: Effect, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        W: Fn(&Connection) -> Result<T, Fault<E>> + Send + 'static,
    {
        self.ask(&self.0.writes, effect, work).await
    }

    async fn read<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.ask(&self.0.reads, Effect::None, move |connection| work(connection).map_err(Fault::Sqlite)).await
    }

    async fn ask<T, E, W>(&self, queue: &Sender<Box<dyn Request>>, effect: Effect, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        W: Fn(&Connection) -> Result<T, Fault<E>> + Send + 'static,
    {
        let answer_by = Instant::now() + self.0.answer_timeout;
        let (request, answer) = Work::new(effect, answer_by, work);
        let answered = async {
            queue.send(Box::new(request)).await.map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())
        };
        match tokio::time::timeout_at(answer_by.into(), answered).await {
            Ok(outcome) => outcome?,
            Err(_) => Err(E::from(too_slow(self.0.answer_timeout))),
        }
    }
}

fn found(path: PathBuf) -> Result<PathBuf, StoreError> {
    real_path(&path).map_err(|error| StoreError::Unavailable(format!("cannot find {}: {error}", path.display())))
}

fn start_writer(
    options: &SqliteOptions,
    queue: Receiver<Box<dyn Request>>,
    threads: &mut Threads,
) -> Result<i64, StoreError> {
    let mut database = OpenDatabase::open(&options.path, Access::Write, options.busy_timeout)?;
    migrations::migrate(&mut database.connection)?;
    // The file beside the database is known only now.
    database.reopen()?;
    let data_version = data_version(&database.connection).map_err(|error| errors::store_error(&error))?;
    let relaxed = options.audit_sync == AuditSync::Normal;
    let writer = Writer::new(database, queue, options.busy_timeout, relaxed);
    start(threads, "database-writer", move || writer.run())?;
    Ok(data_version)
}

fn start_readers(
    options: &SqliteOptions,
    queue: Receiver<Box<dyn Request>>,
    threads: &mut Threads,
) -> Result<(), StoreError> {
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..options.readers.max(1) {
        let database = OpenDatabase::open(&options.path, Access::Read, options.busy_timeout)?;
        let reader = Reader::new(database, Arc::clone(&queue))?;
        start(threads, "database-reader", move || reader.run())?;
    }
    Ok(())
}

fn start(threads: &mut Threads, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
    threads.0.push(thread.map_err(|error| StoreError::Unavailable(format!("cannot start a thread: {error}")))?);
    Ok(())
}

/// A number that changes when another connection commits.
fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

fn stopped() -> StoreError {
    StoreError::Unavailable("its thread has stopped".to_owned())
}

fn too_slow(timeout: Duration) -> StoreError {
    StoreError::Unavailable(format!("no answer within {} ms", timeout.as_millis()))
}
