//! `strongroom serve`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use async_trait::async_trait;
use strongroom_database::DatabaseLock;
use strongroom_domain::Clock;
use strongroom_http_api::{Api, ApiSettings, ApiState, Readiness};
use tokio::signal::unix::{SignalKind, signal};

use crate::change_watch;
use crate::config::Config;
use crate::data_directory::DataDirectory;
use crate::http_server;
use crate::key_ring_source::KeyRingSource;
use crate::key_rotation;
use crate::process_limits;
use crate::secrets_migration;
use crate::system_clock::SystemClock;
use crate::wiring::{Application, Purpose, assemble};

/// Runs the server until SIGTERM or Ctrl-C.
pub(super) async fn run(config: Config) -> anyhow::Result<()> {
    let started = Instant::now();
    process_limits::allow_many_files();
    DataDirectory::prepare(&config.data_dir)?;
    let _lock = config.database.sqlite_path().map(DatabaseLock::acquire).transpose()?;
    let application = Arc::new(assemble(&config, Purpose::Server).await?);
    // Nothing is answered from memory before the changes of others are followed.
    application.catalog.believe_until(started);
    application.tokens.believe_until(started);
    let address = SocketAddr::new(config.server.host, config.server.port);
    let listener = http_server::listen(address).with_context(|| format!("{address} cannot be listened on"))?;
    let address = listener.local_addr()?;
    let api = Api::new(api_state(&config, &application));
    let shutdown = shutdown_signal()?;
    tracing::info!(server.address = %address, secrets_manager.place = application.stores.wanted.place(),
        duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX), "ready");
    greet(&config, &application, address);
    tokio::select! {
        () = http_server::serve(listener, api, &config.server, shutdown) => {}
        () = change_watch::watch(&application) => {}
        () = key_rotation::take_over(&config, &application.database) => {}
        () = secrets_migration::run(&config, &application) => {}
        () = secrets_migration::sweep(&application) => {}
    }
    application.agreement.leave(&application.database).await;
    tracing::info!("stopped");
    Ok(())
}

fn api_state(config: &Config, application: &Arc<Application>) -> ApiState {
    let settings = ApiSettings {
        catalog_version: config.catalog_version.clone(),
        max_body_bytes: config.server.max_body_bytes,
        request_timeout: config.server.request_timeout,
        trusted_proxies: config.server.trusted_proxies.clone(),
        public_url: config.server.public_url.clone(),
        started_at: SystemClock.now(),
    };
    let readiness = Arc::new(ServerReadiness(Arc::clone(application)));
    let database = &application.database;
    let records = (Arc::clone(&database.audit), Arc::clone(&database.stores));
    ApiState::new(Arc::clone(&application.catalog), Arc::clone(&application.tokens), records, readiness, settings)
}

struct ServerReadiness(Arc<Application>);

#[async_trait]
impl Readiness for ServerReadiness {
    async fn faults(&self) -> Vec<String> {
        let database = self.0.database.health.ping().await.err().map(|_| "the database is not available".to_owned());
        let elsewhere = self.0.stores.stores.active().err().map(|place| {
            format!("secrets are kept in {place} now, and this server is configured for another store: restart it with the new configuration")
        });
        database.into_iter().chain(self.0.agreement.fault()).chain(elsewhere).collect()
    }

    async fn warnings(&self) -> Vec<String> {
        let noted = self.0.database.stores.active_store().await.ok().flatten();
        let set_aside = noted.as_ref().map_or(0, secrets_migration::set_aside_of);
        let aside = (set_aside > 0).then(|| {
            format!("{set_aside} secrets could not be moved: GET /api/v1/secretsManager/migration says which and why")
        });
        aside.into_iter().collect()
    }
}

fn shutdown_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: running requests are finished first");
    })
}

/// Says where everything is and what to type next. Nothing secret is printed. Nobody may be reading: that stops no server.
fn greet(config: &Config, application: &Application, address: SocketAddr) {
    let _ = write_greeting(&mut std::io::stdout().lock(), config, application, address);
}

fn write_greeting(
    out: &mut impl Write,
    config: &Config,
    application: &Application,
    address: SocketAddr,
) -> std::io::Result<()> {
    let ring = application.ring.current();
    let token = application.directory.admin_token();
    writeln!(out, "Strongroom {} listens on http://{address}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  database          {}", config.database.engine)?;
    writeln!(out, "  key ring          {} ({} encrypts)", KeyRingSource::of(&config.key_ring), ring.encrypting())?;
    writeln!(out, "  secrets manager   {}", application.stores.wanted.place())?;
    writeln!(out, "Type next, in another terminal:")?;
    let bearer = if token.exists() {
        writeln!(out, "  (the first admin's token is in {})", token.display())?;
        format!("$(cat {})", quoted(&absolute(&token)))
    } else {
        let program =
            std::env::current_exe().map_or_else(|_| "strongroom".to_owned(), |path| path.display().to_string());
        format!("$({} token create admin)", quoted(&program))
    };
    writeln!(
        out,
        "curl -H \"Authorization: Bearer {bearer}\" http://{}/api/v1/services/databaseServices",
        reachable(address)
    )
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// A path as a shell takes it inside `$(…)`.
fn quoted(path: &str) -> String {
    let is_plain = path.chars().all(|character| character.is_ascii_alphanumeric() || "/._-".contains(character));
    if is_plain { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

/// An address that a client on this machine can connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(it) if it.ip().is_unspecified() => SocketAddr::new([127, 0, 0, 1].into(), it.port()),
        SocketAddr::V6(it) if it.ip().is_unspecified() => {
            SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), it.port())
        }
        other => other,
    }
}
