//! Connections that are kept open between requests.
//!
//! sqlx has a pool of its own, which asks the server once more whenever a connection comes back: twice the round trips.
//! Here a connection goes back only when its last statement was answered and no transaction is open; any other is closed
//! ([`Hold`]), and so nothing has to be asked.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool::managed::{self, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, MySqlConnection, PgConnection};

use super::errors::{is_farewell, is_full};

/// A connection is replaced when it is as old as this: so that a balancer's changes are noticed.
const LIVES: Duration = Duration::from_mins(30);

/// How often connections that are idle for too long are closed.
const CLEAN_EVERY: Duration = Duration::from_secs(5);

/// How often to look for a connection that came back, where the server allows no more of them.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// For how long a server that refused a connection for being one too many is not asked for another one.
const FULL: Duration = Duration::from_millis(250);

/// How long a server may take to hear that a connection ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a `MySQL` connection is told first.
const MYSQL_SETTINGS: [&str; 4] = [
    // Read committed, as PostgreSQL; and what does not fit is an error, never cut off.
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
    "SET SESSION innodb_lock_wait_timeout = 1",
    // A transaction that its replica forgot ends by itself: longer than the pool keeps idle connections.
    "SET SESSION wait_timeout = 60",
];

/// The connections to one server.
#[derive(Clone)]
pub(super) enum Pool {
    Postgres(managed::Pool<Connector<PgConnectOptions>>),
    MySql(managed::Pool<Connector<MySqlConnectOptions>>),
}

/// Makes connections.
pub(super) struct Connector<O> {
    options: O,
    /// How long one may be idle.
    idles: Duration,
    /// How long to wait until one is free, or made.
    timeout: Duration,
    /// The server refused one for being one too many: until then it is not asked for another one.
    full_until: Mutex<Option<Instant>>,
}

/// Why there is no new connection.
pub(super) enum ConnectFault {
    /// The server, or our account there, has as many as it may have.
    Full,
    Sql(sqlx::Error),
}

impl managed::Manager for Connector<PgConnectOptions> {
    type Type = Kept<PgConnection>;
    type Error = ConnectFault;

    async fn create(&self) -> Result<Kept<PgConnection>, ConnectFault> {
        self.keep(Box::pin(self.options.connect())).await
    }

    async fn recycle(&self, kept: &mut Kept<PgConnection>, metrics: &Metrics) -> RecycleResult<ConnectFault> {
        self.ensure_usable(kept, metrics)
    }
}

impl managed::Manager for Connector<MySqlConnectOptions> {
    type Type = Kept<MySqlConnection>;
    type Error = ConnectFault;

    async fn create(&self) -> Result<Kept<MySqlConnection>, ConnectFault> {
        self.keep(Box::pin(mysql_connection(&self.options))).await
    }

    async fn recycle(&self, kept: &mut Kept<MySqlConnection>, metrics: &Metrics) -> RecycleResult<ConnectFault> {
        self.ensure_usable(kept, metrics)
    }
}

async fn mysql_connection(options: &MySqlConnectOptions) -> sqlx::Result<MySqlConnection> {
    let mut connection = options.connect().await?;
    for statement in MYSQL_SETTINGS {
        sqlx::query(statement).execute(&mut connection).await?;
    }
    // Sooner, where the server knows it: only MariaDB does.
    let _ = sqlx::query("SET SESSION idle_transaction_timeout = 10").execute(&mut connection).await;
    Ok(connection)
}

impl<O> Connector<O> {
    pub(super) fn new(options: O, idles: Duration, timeout: Duration) -> Self {
        Self { options, idles, timeout, full_until: Mutex::default() }
    }

    /// Boxed, so that the future of each request need not have room for making a connection.
    async fn keep<C>(
        &self,
        connecting: Pin<Box<impl Future<Output = sqlx::Result<C>>>>,
    ) -> Result<Kept<C>, ConnectFault> {
        self.ensure_not_full()?;
        connecting.await.map(|connection| Kept(Some(connection))).map_err(|error| self.fault(error))
    }

    fn ensure_not_full(&self) -> Result<(), ConnectFault> {
        let full_until = self.full_until.lock().unwrap_or_else(PoisonError::into_inner);
        if full_until.is_some_and(|until| Instant::now() < until) { Err(ConnectFault::Full) } else { Ok(()) }
    }

    fn fault(&self, error: sqlx::Error) -> ConnectFault {
        if !is_full(&error) {
            return ConnectFault::Sql(error);
        }
        *self.full_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + FULL);
        ConnectFault::Full
    }

    fn is_usable<C>(&self, kept: &Kept<C>, metrics: &Metrics) -> bool {
        kept.0.is_some() && metrics.age() < LIVES && metrics.last_used() < self.idles
    }

    fn ensure_usable<C>(&self, kept: &Kept<C>, metrics: &Metrics) -> RecycleResult<ConnectFault> {
        if self.is_usable(kept, metrics) { Ok(()) } else { Err(RecycleError::message("closed, or too old")) }
    }
}

/// A pool of so many connections, which makes none yet. Must be called within a runtime.
pub(super) fn pool<O, C>(connector: Connector<O>, max_connections: u32) -> managed::Pool<Connector<O>>
where
    O: Send + Sync + 'static,
    C: Connection + 'static,
    Connector<O>: managed::Manager<Type = Kept<C>, Error = ConnectFault>,
{
    let max_size = usize::try_from(max_connections).unwrap_or(usize::MAX);
    let builder = managed::Pool::builder(connector).max_size(max_size).queue_mode(QueueMode::Lifo);
    let Ok(pool) = builder.build() else { unreachable!("only time limits of its own could be refused") };
    tokio::spawn(close_old_connections(pool.weak()));
    pool
}

/// Says good-bye to connections that nobody needs any more, until the pool is gone.
async fn close_old_connections<O, C>(pool: managed::WeakPool<Connector<O>>)
where
    C: Connection,
    Connector<O>: managed::Manager<Type = Kept<C>>,
{
    loop {
        tokio::time::sleep(CLEAN_EVERY).await;
        let Some(pool) = pool.upgrade() else { return };
        let old = pool.retain(|kept, metrics| pool.manager().is_usable(kept, &metrics)).removed;
        for connection in old.into_iter().filter_map(|kept| kept.0) {
            let _ = tokio::time::timeout(FAREWELL, connection.close()).await;
        }
    }
}

/// A connection in the pool; none any more where it had to be closed.
pub(super) struct Kept<C>(Option<C>);

/// A connection taken from the pool, and whether it can go back there.
pub(super) struct Hold<M: managed::Manager<Type = Kept<C>>, C> {
    kept: Object<M>,
    pub(super) is_in_transaction: bool,
    is_at_work: bool,
    is_broken: bool,
}

impl<O, C> Hold<Connector<O>, C>
where
    Connector<O>: managed::Manager<Type = Kept<C>, Error = ConnectFault>,
{
    pub(super) async fn take(pool: &managed::Pool<Connector<O>>) -> sqlx::Result<Self> {
        let taken = tokio::time::timeout(pool.manager().timeout, Self::take_patiently(pool)).await;
        let kept = taken.map_err(|_| sqlx::Error::PoolTimedOut)??;
        Ok(Self { kept, is_in_transaction: false, is_at_work: false, is_broken: false })
    }

    /// Where the server allows fewer connections than the pool, one of those that are open comes back soon; it is waited
    /// for half as long as for the answer.
    async fn take_patiently(pool: &managed::Pool<Connector<O>>) -> sqlx::Result<Object<Connector<O>>> {
        let give_up = Instant::now() + pool.manager().timeout / 2;
        loop {
            match pool.get().await {
                Ok(kept) => return Ok(kept),
                Err(PoolError::Backend(ConnectFault::Sql(error))) => return Err(error),
                Err(PoolError::Backend(ConnectFault::Full)) if Instant::now() < give_up => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(PoolError::Backend(ConnectFault::Full)) => return Err(sqlx::Error::PoolTimedOut),
                Err(_) => return Err(sqlx::Error::PoolClosed),
            }
        }
    }

    /// The connection, which is at work until [`Hold::done`] says otherwise.
    pub(super) fn connection(&mut self) -> sqlx::Result<&mut C> {
        self.is_at_work = true;
        self.kept.0.as_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// Takes the outcome of a statement: the server has answered, well or badly.
    pub(super) fn done<T>(&mut self, outcome: sqlx::Result<T>) -> sqlx::Result<T> {
        self.is_broken = match &outcome {
            Err(sqlx::Error::Database(error)) => is_farewell(&**error),
            Err(sqlx::Error::Io(_)) => true,
            _ => false,
        };
        self.is_at_work = self.is_broken || !matches!(outcome, Ok(_) | Err(sqlx::Error::Database(_)));
        outcome
    }
}

impl<M: managed::Manager<Type = Kept<C>>, C> Drop for Hold<M, C> {
    /// Closes a connection that is in the midst of something: in the pool, its open transaction would swallow what
    /// others write through it.
    fn drop(&mut self) {
        if self.is_in_transaction || self.is_at_work {
            drop(self.kept.0.take());
        }
        if self.is_broken
            && let Some(pool) = Object::pool(&self.kept)
        {
            // The server was restarted or is gone; those that idle are of no more use.
            drop(pool.retain(|_, _| false));
        }
    }
}
