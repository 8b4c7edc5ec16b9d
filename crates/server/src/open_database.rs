//! Opens databases, and brings their schema up to date.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use strongroom_database::{
    AuditSync, Database, ServerDatabase, ServerKind, ServerOptions, SqliteDatabase, SqliteOptions, TlsMode,
};
use strongroom_domain::{SecretValue, StoreError};

use crate::config::{self, AuditSync as ConfiguredSync, Config, DatabaseEngine};
use crate::wiring::Purpose;

/// How long a start waits for a database server that does not answer: it may be starting too. A command waits as long
/// for each answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it tries.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// Opens the configured database, and brings its schema up to date.
pub(crate) async fn open(config: &Config, purpose: Purpose) -> anyhow::Result<Database> {
    let engine = &config.database.engine;
    let settings = Settings {
        // A mistyped name must not become a new installation.
        must_exist: purpose == Purpose::Command,
        must_be_unused: false,
        answer_timeout: (purpose == Purpose::Command).then_some(PATIENCE),
        max_connections: config.database.max_connections,
        audit_sync: match config.audit.sync {
            ConfiguredSync::Normal => AuditSync::Normal,
            ConfiguredSync::Always => AuditSync::Always,
        },
    };
    let database = open_engine(engine, settings).await?;
    ensure_whole(&database, engine).await?;
    Ok(database)
}

/// Fails where rows are still being copied into a database.
pub(crate) async fn ensure_whole(database: &Database, engine: &DatabaseEngine) -> anyhow::Result<()> {
    if let Some(source) = database.unfinished_copy().await? {
        bail!(
            "the database {engine} holds only part of a copy from {source}: run `strongroom database copy` again, which \
             goes on where it stopped"
        );
    }
    Ok(())
}

/// Opens one end of a copy, and brings its schema up to date.
pub(crate) async fn open_for_copy(engine: &DatabaseEngine, must_exist: bool) -> anyhow::Result<Database> {
    let settings = Settings {
        must_exist,
        must_be_unused: true,
        answer_timeout: Some(PATIENCE),
        max_connections: 2,
        audit_sync: AuditSync::default(),
    };
    open_engine(engine, settings).await
}

struct Settings {
    /// On a server; whoever names a file has looked for it before anything is made beside it.
    must_exist: bool,
    /// A newer schema would keep the servers of an older version from starting again.
    must_be_unused: bool,
    /// A command waits longer than a server.
    answer_timeout: Option<Duration>,
    max_connections: u32,
    audit_sync: AuditSync,
}

async fn open_engine(engine: &DatabaseEngine, settings: Settings) -> anyhow::Result<Database> {
    let opened = match engine {
        DatabaseEngine::Sqlite { path } => open_file(path, &settings).map(Database::from),
        DatabaseEngine::Server(server) => {
            let database = ServerDatabase::connect(&server_options(server, &settings)?);
            // A server that starts waits for its database below, and asks nothing before.
            if settings.must_exist {
                ensure!(database.has_schema().await?, "the database {engine} is empty; start the server once");
            }
            if settings.must_be_unused {
                ensure_unused(&database, engine).await?;
            }
            migrate(&database).await.map(|()| Database::from(database))
        }
    };
    opened.with_context(|| format!("the database {engine} cannot be opened"))
}

async fn ensure_unused(database: &ServerDatabase, engine: &DatabaseEngine) -> anyhow::Result<()> {
    if !database.has_schema().await? {
        return Ok(());
    }
    let servers = Database::from(database.clone()).replicas.live().await?.len();
    ensure!(servers == 0, "{servers} servers run on the database {engine}: stop them all, wait 15 s, run this again");
    Ok(())
}

fn open_file(path: &Path, settings: &Settings) -> Result<SqliteDatabase, StoreError> {
    let mut options = SqliteOptions::new(path);
    options.audit_sync = settings.audit_sync;
    options.answer_timeout = settings.answer_timeout.unwrap_or(options.answer_timeout);
    SqliteDatabase::open(&options)
}

/// Waits for a server that is not there yet, and for another replica that brings the schema up to date.
async fn migrate(database: &ServerDatabase) -> Result<(), StoreError> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        match database.migrate().await {
            Err(StoreError::Unavailable(reason)) if Instant::now() < give_up => {
                tracing::warn!(reason, "the database does not answer yet");
                tokio::time::sleep(TRY_AGAIN).await;
            }
            outcome => return outcome,
        }
    }
}

fn server_options(server: &config::ServerDatabase, settings: &Settings) -> anyhow::Result<ServerOptions> {
    let kind = match server.kind {
        config::ServerKind::Postgres => ServerKind::Postgres,
        config::ServerKind::MySql => ServerKind::MySql,
    };
    let mut options = ServerOptions::new(kind, &server.host, server.port, &server.name, &server.user);
    options.password = password(server)?;
    options.tls = match server.tls {
        config::TlsMode::Disable => TlsMode::Disable,
        config::TlsMode::Prefer => TlsMode::Prefer,
        config::TlsMode::Require => TlsMode::Require,
        config::TlsMode::VerifyCa => TlsMode::VerifyCa,
        config::TlsMode::VerifyFull => TlsMode::VerifyFull,
    };
    options.ca_file.clone_from(&server.ca_file);
    options.max_connections = settings.max_connections;
    options.answer_timeout = settings.answer_timeout.unwrap_or(options.answer_timeout);
    Ok(options)
}

fn password(server: &config::ServerDatabase) -> anyhow::Result<Option<SecretValue>> {
    let Some(file) = &server.password_file else { return Ok(server.password.clone()) };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("the file {} of database.passwordFile cannot be read", file.display()))?;
    Ok(Some(SecretValue::new(text.trim_end_matches(['\r', '\n']).to_owned())))
}
