//! Servers that are measured, on each engine. Database servers keep their usual promises here: they flush to disk.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::database_server::{DatabaseAddress, DatabaseServer};
use crate::{mariadb, postgresql};

/// What a database runs on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    PostgreSql,
    MariaDb,
}

/// A database server of the benchmark's own; none for an embedded database.
pub(crate) struct Databases {
    engine: Engine,
    server: Option<DatabaseServer>,
}

/// A database and a folder for each server on it.
pub(crate) struct Installation {
    folders: Vec<TempDir>,
    database: Option<(DatabaseAddress, &'static str)>,
}

/// A running server.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: String,
}

impl Databases {
    pub(crate) fn start(engine: Engine) -> Self {
        let server = match engine {
            Engine::Sqlite => None,
            Engine::PostgreSql => Some(postgresql::start("")),
            Engine::MariaDb => Some(mariadb::start("")),
        };
        Self { engine, server }
    }

    /// A new and empty database.
    pub(crate) fn installation(&self) -> Installation {
        let database = self.server.as_ref().map(|server| match self.engine {
            Engine::MariaDb => (mariadb::new_database(server), "mysql"),
            Engine::Sqlite | Engine::PostgreSql => (postgresql::new_database(server), "postgres"),
        });
        let installation = Installation { folders: vec![TempDir::new().unwrap()], database };
        if installation.database.is_some() {
            assert!(installation.command(installation.data()).args(["keys", "init"]).status().unwrap().success());
        }
        installation
    }

    /// How many statements the database server has seen so far, where it can say so.
    pub(crate) fn statements(&self, of: &Installation) -> f64 {
        let (address, _) = of.database.as_ref().unwrap();
        let text = match self.engine {
            Engine::MariaDb => mariadb::query(
                address,
                "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'COM_STMT_EXECUTE'",
            ),
            // Each statement is a transaction of its own, when nothing is written.
            Engine::Sqlite | Engine::PostgreSql => postgresql::query(
                address,
                "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()",
            ),
        };
        text.trim().parse().unwrap()
    }
}

impl Installation {
    /// The data directory of the first server.
    pub(crate) fn data(&self) -> &Path {
        self.folders[0].path()
    }

    /// Starts the first server.
    pub(crate) fn server(&self) -> Process {
        Process::start(self.command(self.data()).args(["serve", "--port", "0"]))
    }

    /// Starts another server on the same database, with this setting.
    pub(crate) fn replica(&mut self, (name, value): (&str, &str)) -> Process {
        let folder = TempDir::new().unwrap();
        std::fs::copy(self.data().join("keys"), folder.path().join("keys")).unwrap();
        let process = Process::start(self.command(folder.path()).args(["serve", "--port", "0"]).env(name, value));
        self.folders.push(folder);
        process
    }

    /// The first admin's token.
    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.data().join("admin-token")).unwrap().trim().to_owned()
    }

    fn command(&self, data: &Path) -> Command {
        let binary =
            std::env::var_os("STRONGROOM_BINARY").map_or_else(|| "target/release/strongroom".into(), PathBuf::from);
        let mut command = Command::new(binary);
        command.env_clear().env("STRONGROOM_DATA_DIR", data).stdout(Stdio::null());
        if let Some((DatabaseAddress { host, port, name, user, password }, scheme)) = &self.database {
            let url = format!("{scheme}://{user}@{host}:{port}/{name}?sslmode=disable");
            command.env("STRONGROOM_DATABASE_URL", url).env("STRONGROOM_DATABASE_PASSWORD", password);
        }
        command
    }
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().expect("it starts").unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let address = first.rsplit("//").next().unwrap().to_owned();
        Self { child, address }
    }

    pub(crate) fn resident_megabytes(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
