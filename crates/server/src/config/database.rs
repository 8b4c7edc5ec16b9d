//! Where services are stored: a file of this machine, or a database server.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use strongroom_domain::SecretValue;

/// Where services are stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct DatabaseConfig {
    /// Which database.
    pub(crate) engine: DatabaseEngine,
    /// Connections to a database server that are open at once; `SQLite` does not use it.
    pub(crate) max_connections: u32,
}

impl DatabaseConfig {
    /// The file of the `SQLite` database; none where a server is the database.
    pub(crate) fn sqlite_path(&self) -> Option<&Path> {
        match &self.engine {
            DatabaseEngine::Sqlite { path } => Some(path),
            DatabaseEngine::Server(_) => None,
        }
    }
}

/// The kinds of database there are. Its `Display` tells where it is, without user and password.
#[derive(Debug, Clone)]
pub(crate) enum DatabaseEngine {
    /// In this process.
    Sqlite {
        /// The file.
        path: PathBuf,
    },
    /// A process of its own, here or elsewhere.
    Server(ServerDatabase),
}

impl Default for DatabaseEngine {
    /// Nothing set yet: the table of keys holds the default an operator sees.
    fn default() -> Self {
        Self::Sqlite { path: PathBuf::new() }
    }
}

impl fmt::Display for DatabaseEngine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path } => write!(out, "{}", path.display()),
            Self::Server(server) => server.fmt(out),
        }
    }
}

/// A database on a server, and how it is reached. Its `Debug` shows no password.
#[derive(Debug, Clone)]
pub(crate) struct ServerDatabase {
    /// Whose protocol and SQL it speaks.
    pub(crate) kind: ServerKind,
    /// A name or an IP address, the latter without brackets.
    pub(crate) host: String,
    /// Where it listens.
    pub(crate) port: u16,
    /// The database's name on the server.
    pub(crate) name: String,
    /// Who asks.
    pub(crate) user: String,
    /// The user's password, where it stands in the configuration; never beside `password_file`.
    pub(crate) password: Option<SecretValue>,
    /// The file that holds the password; whoever connects reads it, without the line break at its end.
    pub(crate) password_file: Option<PathBuf>,
    /// How much TLS must prove.
    pub(crate) tls: TlsMode,
    /// Certificates (PEM) of authorities that are trusted beside those that browsers trust.
    pub(crate) ca_file: Option<PathBuf>,
}

impl fmt::Display for ServerDatabase {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, host, port, name, .. } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        write!(out, "{}://{host}:{port}/{}", kind.name(), name.escape_debug())
    }
}

/// The database servers this version speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerKind {
    /// `PostgreSQL`.
    Postgres,
    /// `MySQL` and `MariaDB`.
    MySql,
}

impl ServerKind {
    /// The name an operator writes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
        }
    }

    /// Where such a server listens unless told otherwise.
    pub(super) fn default_port(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::MySql => 3306,
        }
    }
}

/// How much TLS must prove before anything is sent, from nothing to everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS where the server has it, without a look at who it is.
    Prefer,
    /// TLS, without a look at who the server is.
    Require,
    /// TLS with a certificate of a known authority.
    VerifyCa,
    /// TLS with such a certificate for this very host.
    VerifyFull,
}

impl TlsMode {
    /// The words operators write.
    pub(super) const WORDS: [(&'static str, Self); 5] = [
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];

    /// What is safe without a setting: nobody listens between here and loopback.
    pub(super) fn default_for(host: &str) -> Self {
        let is_loopback =
            host.parse().map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |ip: IpAddr| ip.is_loopback());
        if is_loopback { Self::Prefer } else { Self::VerifyFull }
    }

    /// Whether the server's certificate is checked.
    pub(super) fn verifies(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}
