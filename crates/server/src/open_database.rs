//! Opens the database that the configuration names, and brings its schema up to date.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
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

/// Opens it.
pub(crate) async fn open(config: &Config, purpose: Purpose) -> anyhow::Result<Database> {
    let engine = &config.database.engine;
    let opened = match engine {
        DatabaseEngine::Sqlite { path } => open_file(path, config).map(Database::from),
        DatabaseEngine::Server(server) => {
            let mut options = server_options(server, config.database.max_connections)?;
            if purpose == Purpose::Command {
                options.answer_timeout = PATIENCE;
            }
            let database = ServerDatabase::connect(&options);
            if purpose == Purpose::Command {
                // A mistyped name must not become a new installation.
                ensure!(database.has_schema().await?, "the database {engine} is empty; start the server once");
            }
            migrate(&database).await.map(|()| Database::from(database))
        }
    };
    opened.with_context(|| format!("the database {engine} cannot be opened"))
}

fn open_file(path: &Path, config: &Config) -> Result<SqliteDatabase, StoreError> {
    let mut options = SqliteOptions::new(path);
    options.audit_sync = match config.audit.sync {
        ConfiguredSync::Normal => AuditSync::Normal,
        ConfiguredSync::Always => AuditSync::Always,
    };
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

fn server_options(server: &config::ServerDatabase, max_connections: u32) -> anyhow::Result<ServerOptions> {
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
    options.max_connections = max_connections;
    Ok(options)
}

fn password(server: &config::ServerDatabase) -> anyhow::Result<Option<SecretValue>> {
    let Some(file) = &server.password_file else { return Ok(server.password.clone()) };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("the file {} of database.passwordFile cannot be read", file.display()))?;
    Ok(Some(SecretValue::new(text.trim_end_matches(['\r', '\n']).to_owned())))
}
