//! The keys below `database`: what several of them say together, and what they contradict each other in.

use std::path::{Path, PathBuf};

use serde_json::Value;
use strongroom_domain::SecretValue;

use super::Config;
use super::database::{DatabaseEngine, ServerDatabase, TlsMode};
use super::database_url::{DatabaseUrl, ServerUrl, database_url};
use super::fault::{ConfigFaults, Fault, Problem};
use super::keys::KEYS;
use super::parse::{Parsed, text};

/// The section of these keys.
pub(super) const SECTION: &str = "database.";
pub(super) const URL: &str = "database.url";
pub(super) const USER: &str = "database.user";
pub(super) const PASSWORD: &str = "database.password";
const PASSWORD_FILE: &str = "database.passwordFile";
pub(super) const TLS_MODE: &str = "database.tls.mode";
const CA_FILE: &str = "database.tls.caFile";

/// What stands for the data directory at the beginning of a database's path.
const DATA_DIR_PLACEHOLDER: &str = "<dataDir>";

const NO_EFFECT: &str =
    "has no effect: the database is SQLite; leave this out, or name a database server in database.url";
const NO_USER: &str = "has no user; write it before the host, as in `user@host`, or set database.user";
const NO_USER_IN_URL: &str = "has no user; write it before the host, as in `user@host`";
const NEEDS_NO_FILE: &str = "is SQLite, which takes neither a password nor certificates; leave their files out";
const TWO_PASSWORDS: &str = "has a password, and a file of one is given beside it; leave one of them";
const UNUSED_CA_OF_URL: &str = "has a TLS mode that does not check certificates, though a file of them is given; add \
    `?sslmode=verify-full` or `?sslmode=verify-ca`, or leave the file out";
const UNUSED_CA: &str = "has no effect, since this TLS mode does not check certificates; set database.tls.mode to \
    `verify-full` or `verify-ca`, or leave this out";

/// The keys as they were given. Its `Debug` shows no password.
#[derive(Debug, Clone, Default)]
pub(super) struct DatabaseSettings {
    pub(super) url: DatabaseUrl,
    pub(super) user: Option<String>,
    pub(super) password: Option<SecretValue>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) tls_mode: Option<TlsMode>,
    pub(super) ca_file: Option<PathBuf>,
}

/// A user of the database.
pub(super) fn user(value: &Value) -> Parsed<String> {
    text(value).map(|user| user.trim().to_owned())
}

/// The database that the keys name together, or all that is wrong between them.
pub(super) fn engine(config: &Config) -> Result<DatabaseEngine, Vec<Fault>> {
    match &config.database_settings.url {
        DatabaseUrl::Sqlite(path) => {
            let faults = without_effect(config);
            let path = in_data_dir(path, &config.data_dir);
            if faults.is_empty() { Ok(DatabaseEngine::Sqlite { path }) } else { Err(faults) }
        }
        DatabaseUrl::Server(url) => server(config, url).map(DatabaseEngine::Server),
    }
}

/// A path in which a leading `<dataDir>` is the data directory.
pub(super) fn in_data_dir(path: &Path, data_dir: &Path) -> PathBuf {
    path.strip_prefix(DATA_DIR_PLACEHOLDER).map_or_else(|_| path.to_owned(), |rest| data_dir.join(rest))
}

/// The keys that only a server takes.
fn without_effect(config: &Config) -> Vec<Fault> {
    let of_servers = KEYS.iter().map(|key| key.path).filter(|path| path.starts_with(SECTION) && *path != URL);
    let given = of_servers.filter(|path| config.is_given(path));
    given.map(|path| Fault::new(config.place(path), Problem::Rule(NO_EFFECT))).collect()
}

fn server(config: &Config, url: &ServerUrl) -> Result<ServerDatabase, Vec<Fault>> {
    let settings = &config.database_settings;
    let mut faults = given_twice(config, url);
    if settings.has_unused_certificates(url) {
        faults.push(Fault::new(config.place(CA_FILE), Problem::Rule(UNUSED_CA)));
    }
    let server = settings.server(url);
    if server.is_none() {
        faults.push(Fault::new(config.place(URL), Problem::Rule(NO_USER)));
    }
    server.filter(|_| faults.is_empty()).ok_or(faults)
}

impl DatabaseSettings {
    fn tls(&self, url: &ServerUrl) -> TlsMode {
        self.tls_mode.or(url.tls_mode).unwrap_or_else(|| TlsMode::default_for(&url.host))
    }

    fn has_unused_certificates(&self, url: &ServerUrl) -> bool {
        self.ca_file.is_some() && !self.tls(url).verifies()
    }

    /// The server that url and other keys name together; none without a user.
    fn server(&self, url: &ServerUrl) -> Option<ServerDatabase> {
        Some(ServerDatabase {
            kind: url.kind,
            host: url.host.clone(),
            port: url.port,
            name: url.name.clone(),
            user: self.user.as_ref().or(url.user.as_ref())?.clone(),
            password: self.password.as_ref().or(url.password.as_ref()).cloned(),
            password_file: self.password_file.clone(),
            tls: self.tls(url),
            ca_file: self.ca_file.clone(),
        })
    }
}

/// Two places that say the same may say different things, so one of them must go.
fn given_twice(config: &Config, url: &ServerUrl) -> Vec<Fault> {
    let in_url = |word: &str| format!("the {word} in {}", config.place(URL));
    let mut pairs: Vec<(&str, String)> = url.held().map(|(path, word)| (path, in_url(word))).collect();
    if url.password.is_some() {
        pairs.push((PASSWORD_FILE, in_url("password")));
    }
    if config.is_given(PASSWORD) {
        pairs.push((PASSWORD_FILE, config.place(PASSWORD).to_owned()));
    }
    let given = pairs.into_iter().filter(|(path, _)| config.is_given(path));
    given.map(|(path, other)| Fault::new(config.place(path), Problem::Beside(other))).collect()
}

/// A database that a command names by itself, apart from the configuration.
pub(crate) fn named_database(
    flag: &'static str,
    url: &SecretValue,
    password_file: Option<&Path>,
    ca_file: Option<&Path>,
) -> Result<DatabaseEngine, ConfigFaults> {
    let refused = |problem| ConfigFaults(vec![Fault::new(flag, problem)]);
    // REVEAL: the password in it is put into a wrapper again.
    let url = database_url(&Value::from(url.reveal())).map_err(refused)?;
    let settings = DatabaseSettings {
        password_file: password_file.map(Path::to_owned),
        ca_file: ca_file.map(Path::to_owned),
        ..DatabaseSettings::default()
    };
    match url {
        DatabaseUrl::Sqlite(_) if password_file.or(ca_file).is_some() => Err(refused(Problem::Rule(NEEDS_NO_FILE))),
        DatabaseUrl::Sqlite(path) => Ok(DatabaseEngine::Sqlite { path }),
        DatabaseUrl::Server(url) if url.password.is_some() && password_file.is_some() => {
            Err(refused(Problem::Rule(TWO_PASSWORDS)))
        }
        DatabaseUrl::Server(url) if settings.has_unused_certificates(&url) => {
            Err(refused(Problem::Rule(UNUSED_CA_OF_URL)))
        }
        DatabaseUrl::Server(url) => {
            let server = settings.server(&url).ok_or_else(|| refused(Problem::Rule(NO_USER_IN_URL)))?;
            Ok(DatabaseEngine::Server(server))
        }
    }
}

impl Config {
    /// The url in force, with a mask in place of its password.
    pub(super) fn shown_database_url(&self) -> String {
        match (&self.database_settings.url, &self.database.engine) {
            (DatabaseUrl::Server(url), _) => url.shown.clone(),
            (DatabaseUrl::Sqlite(_), engine) => format!("sqlite:{engine}"),
        }
    }

    /// The database server; none where the database is a file.
    pub(super) fn database_server(&self) -> Option<&ServerDatabase> {
        match &self.database.engine {
            DatabaseEngine::Server(server) => Some(server),
            DatabaseEngine::Sqlite { .. } => None,
        }
    }
}
