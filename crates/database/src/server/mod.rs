//! A database server that many replicas share: `PostgreSQL`, `MySQL` or `MariaDB`. The statements are the same but for
//! a few; where they differ, both stand side by side.

mod active_store;
mod audit;
mod changes;
mod ciphertexts;
mod errors;
mod key_usage;
mod leases;
mod migrations;
mod pool;
mod principals;
mod replicas;
mod rows;
mod secret_intents;
mod secret_names;
mod services;
mod session;
mod tables;
mod tokens;
mod totals;
mod values;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use strongroom_domain::{SecretValue, StoreError};
use uuid::Uuid;

use self::audit::AuditQueue;
use self::changes::Follower;
use self::errors::store_error;
use self::leases::Lease;
use self::pool::{Connector, Pool, pool};
use self::session::{Sql, reading, writing};
use self::totals::Totals;
use self::values::values;
use crate::DatabaseHealth;

/// Which protocol a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    /// `PostgreSQL` 13 or newer.
    Postgres,
    /// `MySQL` 8, or `MariaDB` 10.6 or newer.
    MySql,
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Not at all.
    Disable,
    /// Encrypted where the server can.
    Prefer,
    /// Encrypted, whoever answers.
    Require,
    /// Encrypted, and the certificate comes from a trusted authority.
    VerifyCa,
    /// As before, and it is for this host.
    VerifyFull,
}

/// Where the database is, and how long it may take.
#[derive(Clone)]
pub struct ServerOptions {
    /// Which protocol.
    pub kind: ServerKind,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Name of the database.
    pub name: String,
    /// Who logs in.
    pub user: String,
    /// With what.
    pub password: Option<SecretValue>,
    /// Encryption.
    pub tls: TlsMode,
    /// Certificates of authorities, in PEM; none: those that browsers trust.
    pub ca_file: Option<PathBuf>,
    /// How many connections at most.
    pub max_connections: u32,
    /// How long a caller waits for an answer.
    pub answer_timeout: Duration,
}

impl ServerOptions {
    /// The usual options; without password and encryption.
    pub fn new(kind: ServerKind, host: &str, port: u16, name: &str, user: &str) -> Self {
        Self {
            kind,
            host: host.to_owned(),
            port,
            name: name.to_owned(),
            user: user.to_owned(),
            password: None,
            tls: TlsMode::Prefer,
            ca_file: None,
            max_connections: 16,
            answer_timeout: Duration::from_millis(900),
        }
    }
}

/// How long the pool keeps an idle connection to `PostgreSQL`.
const POSTGRES_IDLES: Duration = Duration::from_mins(10);

/// How long it keeps one to `MySQL`, which ends what idles for a minute.
const MYSQL_IDLES: Duration = Duration::from_secs(20);

/// How long a job's lease lasts after its last write: whoever vanished keeps the others waiting for as long.
const JOB_LEASE: Duration = Duration::from_secs(20);

/// A handle to a database server. Clones share its connections.
#[derive(Clone)]
pub struct ServerDatabase {
    handle: Arc<Handle>,
    /// What every transaction of this handle is written under.
    lease: Option<Lease>,
}

struct Handle {
    pool: Pool,
    answer_timeout: Duration,
    audit: AuditQueue,
    follower: Follower,
    totals: Totals,
}

impl ServerDatabase {
    /// Prepares connections; makes none yet. Must be called within a runtime.
    pub fn connect(options: &ServerOptions) -> Self {
        let (timeout, max_connections) = (options.answer_timeout, options.max_connections);
        let pool = match options.kind {
            ServerKind::Postgres => {
                let connector = Connector::new(postgres_options(options), POSTGRES_IDLES, timeout);
                Pool::Postgres(pool(connector, max_connections))
            }
            ServerKind::MySql => {
                let connector = Connector::new(mysql_options(options), MYSQL_IDLES, timeout);
                Pool::MySql(pool(connector, max_connections))
            }
        };
        let audit = AuditQueue::start(pool.clone());
        let answer_timeout = options.answer_timeout;
        let (follower, totals) = (Follower::default(), Totals::default());
        Self { handle: Arc::new(Handle { pool, answer_timeout, audit, follower, totals }), lease: None }
    }

    /// Whether there is a schema of ours.
    pub async fn has_schema(&self) -> Result<bool, StoreError> {
        let sql = Sql::Each {
            postgres: "SELECT 1 FROM information_schema.tables
                       WHERE table_schema = current_schema() AND table_name = $1",
            mysql: "SELECT 1 FROM information_schema.tables WHERE table_schema = database() AND table_name = $1",
        };
        reading!(self, session => session.exists(sql, values!["schema_migrations"]))
    }

    /// Brings the schema up to date; may wait for another replica that does so.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        migrations::migrate(&self.handle.pool).await
    }

    /// Takes a lease; gives a handle whose transactions all fail once the lease is another's.
    pub(crate) async fn take_lease(&self, name: &'static str) -> Result<Option<Self>, StoreError> {
        let lease = reading!(self, session => Lease::take(session, name, Uuid::new_v4(), JOB_LEASE))?;
        Ok(lease.map(|lease| Self { handle: Arc::clone(&self.handle), lease: Some(lease) }))
    }

    /// Says whether a lease ended without being given back.
    pub(crate) async fn is_left_behind(&self, name: &'static str) -> Result<bool, StoreError> {
        reading!(self, session => Lease::is_left_behind(session, name))
    }

    /// Makes the lease of this handle last on.
    pub(crate) async fn keep_lease(&self) -> Result<(), StoreError> {
        writing!(self, _session => async { Ok(()) })
    }

    /// Gives the lease of this handle back.
    pub(crate) async fn give_back_lease(&self) -> Result<(), StoreError> {
        let Some(lease) = self.lease else { return Ok(()) };
        reading!(self, session => lease.give_back(session))
    }
}

#[async_trait]
impl DatabaseHealth for ServerDatabase {
    async fn ping(&self) -> Result<(), StoreError> {
        let sql = "SELECT number FROM schema_migrations LIMIT 1";
        let pinged: Result<bool, StoreError> = reading!(self, session => session.exists(sql, &[]));
        pinged.map(drop)
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        let sql = "DELETE FROM changes WHERE sequence = 0";
        let deleted: Result<u64, StoreError> = reading!(self, session => session.execute(sql, &[]));
        deleted.map(drop)
    }
}

fn postgres_options(options: &ServerOptions) -> PgConnectOptions {
    let mut connect = PgConnectOptions::new_without_pgpass()
        .host(&options.host)
        .port(options.port)
        .database(&options.name)
        .username(&options.user)
        .application_name("strongroom")
        // A transaction that its replica forgot must not keep its locks, nor the others waiting.
        .options([
            ("lock_timeout", "600"),
            ("statement_timeout", "10000"),
            ("idle_in_transaction_session_timeout", "10000"),
            ("default_transaction_isolation", "read committed"),
        ])
        .ssl_mode(match options.tls {
            TlsMode::Disable => PgSslMode::Disable,
            TlsMode::Prefer => PgSslMode::Prefer,
            TlsMode::Require => PgSslMode::Require,
            TlsMode::VerifyCa => PgSslMode::VerifyCa,
            TlsMode::VerifyFull => PgSslMode::VerifyFull,
        });
    if let Some(password) = &options.password {
        // REVEAL: sqlx takes it as plain text; its options are not logged.
        connect = connect.password(password.reveal());
    }
    if let Some(file) = &options.ca_file {
        connect = connect.ssl_root_cert(file);
    }
    // Slow statements are cut off; none needs to be logged.
    connect.disable_statement_logging()
}

fn mysql_options(options: &ServerOptions) -> MySqlConnectOptions {
    let mut connect = MySqlConnectOptions::new()
        .host(&options.host)
        .port(options.port)
        .database(&options.name)
        .username(&options.user)
        .ssl_mode(match options.tls {
            TlsMode::Disable => MySqlSslMode::Disabled,
            TlsMode::Prefer => MySqlSslMode::Preferred,
            TlsMode::Require => MySqlSslMode::Required,
            TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
            TlsMode::VerifyFull => MySqlSslMode::VerifyIdentity,
        });
    if let Some(password) = &options.password {
        // REVEAL: as above.
        connect = connect.password(password.reveal());
    }
    if let Some(file) = &options.ca_file {
        connect = connect.ssl_ca(file);
    }
    connect.disable_statement_logging()
}
