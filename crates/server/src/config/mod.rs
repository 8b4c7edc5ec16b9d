//! What an operator can set: read from defaults, file, environment and command line, checked as a whole.
//!
//! Every key is one entry of the table in `keys.rs`; loading, faults, suggestions, `config show` and the checks of the
//! documentation derive from it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;
use strongroom_domain::SecretValue;

mod database;
mod database_settings;
mod database_url;
mod draft;
mod fault;
mod file;
mod interpolation;
mod keys;
mod parse;
mod provenance;
mod rules;
mod sources;
mod suggestion;
mod yaml;

pub(crate) use database::{DatabaseConfig, DatabaseEngine, ServerDatabase, ServerKind, TlsMode};
use database_settings::DatabaseSettings;
pub(crate) use database_settings::named_database;
pub(crate) use fault::ConfigFaults;
use provenance::Source;
pub(crate) use provenance::as_text;
pub(crate) use sources::Sources;

use draft::Draft;

/// The configuration in force. Its `Debug` shows neither a password nor a parameter of a secrets manager.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    /// The cluster's name, part of the names of secrets.
    pub(crate) cluster_name: String,
    /// Where the server keeps its files.
    pub(crate) data_dir: PathBuf,
    /// The version the handshake answers: three numbers with dots between.
    pub(crate) catalog_version: String,
    /// Where the keys are that encrypt secrets.
    pub(crate) key_ring: KeyRingConfig,
    /// The operator's own connection types.
    pub(crate) connection_types_dir: Option<PathBuf>,
    /// Further words that mark a key of a free map as secret.
    pub(crate) secret_field_names: Vec<String>,
    /// The listener.
    pub(crate) server: ServerConfig,
    /// Where services are stored.
    pub(crate) database: DatabaseConfig,
    /// Where secrets are kept.
    pub(crate) secrets_manager: SecretsManagerConfig,
    /// References that users type.
    pub(crate) references: ReferencesConfig,
    /// How durable an audit entry is.
    pub(crate) audit: AuditConfig,
    /// What is logged, and how.
    pub(crate) log: LogConfig,
    /// What is held in memory.
    pub(crate) cache: CacheConfig,
    /// What is accepted but will surprise the operator; each a sentence to log at start.
    pub(crate) warnings: Vec<String>,
    /// What the keys of the database say each, of which `database` is made.
    database_settings: DatabaseSettings,
    /// Where each value came from, by path.
    origins: BTreeMap<String, Source>,
}

/// The listener and its limits.
#[derive(Debug, Clone)]
pub(crate) struct ServerConfig {
    /// The address to listen on; a loopback address, unless `insecure_http` is set.
    pub(crate) host: IpAddr,
    /// The port to listen on; 0 is any free one.
    pub(crate) port: u16,
    /// Accepted because operators set it; there is no admin port.
    pub(crate) admin_port: Option<u16>,
    /// Whether HTTP without TLS may leave this machine.
    pub(crate) insecure_http: bool,
    /// The base of `href`s without a slash at its end; else it is made from the `Host` header.
    pub(crate) public_url: Option<String>,
    /// Whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Connections that are open at once.
    pub(crate) max_connections: usize,
    /// How long a client may take to send the head of a request.
    pub(crate) header_timeout: Duration,
    /// How long a request may take.
    pub(crate) request_timeout: Duration,
    /// The largest body that is read.
    pub(crate) max_body_bytes: usize,
    /// How long running requests may go on after SIGTERM.
    pub(crate) drain: Duration,
}

impl Default for ServerConfig {
    /// Nothing set yet: the table of keys holds the defaults an operator sees.
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            admin_port: None,
            insecure_http: false,
            public_url: None,
            trusted_proxies: Vec::new(),
            max_connections: 0,
            header_timeout: Duration::ZERO,
            request_timeout: Duration::ZERO,
            max_body_bytes: 0,
            drain: Duration::ZERO,
        }
    }
}

/// Where secrets are kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct SecretsManagerConfig {
    /// Which one.
    pub(crate) kind: SecretsManagerKind,
    /// The first level of the names of secrets; may be empty.
    pub(crate) prefix: String,
    /// Tags that secrets get in the store, in order.
    pub(crate) tags: Vec<(String, String)>,
    /// For how long values from a store outside of the database are remembered; zero: not at all.
    pub(crate) cache: Duration,
    /// For how long after that they are still given while the store is away.
    pub(crate) stale: Duration,
    /// What the store needs to be reached. Any of them may be a credential.
    pub(crate) parameters: BTreeMap<String, SecretString>,
}

/// The secrets managers this version serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum SecretsManagerKind {
    /// Encrypted in the database, `db`.
    #[default]
    Database,
    /// In memory, gone when the server ends: for tests.
    InMemory,
    /// AWS Secrets Manager.
    AwsSecretsManager(Keeps),
    /// The Parameter Store of AWS Systems Manager.
    AwsParameterStore(Keeps),
}

/// What a store outside of the database is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// The secrets of all services.
    Secrets,
    /// What users refer to; secrets of services stay in the database.
    References,
}

impl SecretsManagerKind {
    /// The name an operator writes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Database => "db",
            Self::InMemory => "in-memory",
            Self::AwsSecretsManager(Keeps::Secrets) => "managed-aws",
            Self::AwsSecretsManager(Keeps::References) => "aws",
            Self::AwsParameterStore(Keeps::Secrets) => "managed-aws-ssm",
            Self::AwsParameterStore(Keeps::References) => "aws-ssm",
        }
    }

    /// The kind of the store outside of the database, and what it is for.
    pub(crate) fn outside(self) -> Option<(&'static str, Keeps)> {
        match self {
            Self::Database => None,
            Self::InMemory => Some(("in-memory", Keeps::Secrets)),
            Self::AwsSecretsManager(keeps) => Some(("managed-aws", keeps)),
            Self::AwsParameterStore(keeps) => Some(("managed-aws-ssm", keeps)),
        }
    }
}

/// References that users type.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReferencesConfig {
    /// What their names must begin with; none: nobody may type one.
    pub(crate) allowed_prefixes: Vec<String>,
}

/// Where the key ring is. Its `Debug` shows no key.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyRingConfig {
    /// The file; the server makes it only in its data directory.
    pub(crate) file: PathBuf,
    /// Whether somebody else fills the file.
    pub(crate) is_mounted: bool,
    /// The ring itself, which then never changes.
    pub(crate) keys: Option<SecretValue>,
}

/// How durable an audit entry is.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditConfig {
    /// When an entry counts as written.
    pub(crate) sync: AuditSync,
}

/// When an audit entry counts as written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum AuditSync {
    /// When it outlives the end of the process.
    #[default]
    Normal,
    /// When it outlives a power cut too.
    Always,
}

/// What is logged, and how.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogConfig {
    /// A filter that `tracing_subscriber::EnvFilter` parses.
    pub(crate) filter: String,
    /// The form of a line.
    pub(crate) format: LogFormat,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// What is held in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct CacheConfig {
    /// For documents and ciphertext of services; 0 is no cache.
    pub(crate) max_megabytes: u64,
}

impl CacheConfig {
    /// The limit in bytes.
    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_megabytes * 1024 * 1024
    }
}

impl Config {
    /// Reads and checks all sources; a later one overrides an earlier: defaults, file, environment, command line.
    ///
    /// Fails with every fault of every source, also of a value that a later source overrides.
    pub(crate) fn load(sources: &Sources) -> Result<Self, ConfigFaults> {
        let mut draft = Draft::with_defaults();
        if let Some(file) = sources.config_file() {
            draft.read_file(&file, &sources.environment);
        }
        draft.read_environment(&sources.environment);
        draft.read_flags(&sources.flags);
        draft.finish()
    }
}

#[cfg(test)]
mod tests;
