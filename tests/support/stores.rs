//! A fresh database of each engine, seen through the traits of the domain.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use strongroom_database::{
    Database, ServerDatabase, ServerKind, ServerOptions, SqliteDatabase, SqliteOptions, TlsMode,
};
use strongroom_domain::{AuditLog, CiphertextStore, KeyUsageStore, PrincipalStore, SecretValue, ServiceStore};
use tempfile::TempDir;

use super::database_server::DatabaseAddress;
use super::fixtures::fixture;
use super::{mariadb, postgresql};

/// What a database runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    PostgreSql,
    MariaDb,
}

/// A database, and the place it is in. Clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) services: Arc<dyn ServiceStore>,
    pub(crate) principals: Arc<dyn PrincipalStore>,
    pub(crate) ciphertexts: Arc<dyn CiphertextStore>,
    pub(crate) audit: Arc<dyn AuditLog>,
    pub(crate) keys: Arc<dyn KeyUsageStore>,
    /// The whole of it.
    pub(crate) database: Database,
    // Dropped last.
    place: Place,
}

#[derive(Clone)]
enum Place {
    Folder(Arc<TempDir>),
    Server(ServerKind, DatabaseAddress),
}

impl Store {
    /// Opens a new and empty database.
    pub(crate) async fn open(engine: Engine) -> Self {
        Self::open_at(match engine {
            Engine::Sqlite => Place::Folder(Arc::new(TempDir::new().unwrap())),
            Engine::PostgreSql => Place::Server(ServerKind::Postgres, postgresql::fresh_database()),
            Engine::MariaDb => Place::Server(ServerKind::MySql, mariadb::fresh_database()),
        })
        .await
    }

    /// What an earlier version left, brought up to date.
    pub(crate) async fn open_fixture(engine: Engine, name: &str) -> Self {
        let (file_of_fixture, dump) = (fixture(name).join("strongroom.db"), fixture(name).join("dump.sql"));
        Self::open_at(match engine {
            Engine::Sqlite => {
                let folder = TempDir::new().unwrap();
                std::fs::copy(file_of_fixture, file(&folder)).unwrap();
                Place::Folder(Arc::new(folder))
            }
            Engine::PostgreSql => {
                let address = postgresql::fresh_database();
                postgresql::load(&address, &dump);
                Place::Server(ServerKind::Postgres, address)
            }
            Engine::MariaDb => {
                let address = mariadb::fresh_database();
                mariadb::load(&address, &dump);
                Place::Server(ServerKind::MySql, address)
            }
        })
        .await
    }

    /// Opens the same database once more, as another process does.
    pub(crate) async fn open_again(&self) -> Self {
        Self::open_at(self.place.clone()).await
    }

    /// Opens the same database of a server once more, as a process that has one connection.
    pub(crate) async fn open_again_with_one_connection(&self) -> Self {
        let Place::Server(kind, address) = &self.place else { unimplemented!("no test needs it") };
        Self::of(open_server(*kind, address, 1).await.into(), self.place.clone())
    }

    /// Changes rows as somebody does who has the database's password.
    pub(crate) fn change_behind_our_back(&self, sql: &str) {
        match &self.place {
            Place::Folder(folder) => rusqlite::Connection::open(file(folder)).unwrap().execute_batch(sql).unwrap(),
            Place::Server(ServerKind::Postgres, address) => drop(postgresql::query(address, sql)),
            Place::Server(ServerKind::MySql, address) => drop(mariadb::query(address, sql)),
        }
    }

    /// What the server's own client prints for this SQL.
    pub(crate) fn query(&self, sql: &str) -> String {
        match &self.place {
            Place::Folder(_) => unimplemented!("no test needs it"),
            Place::Server(ServerKind::Postgres, address) => postgresql::query(address, sql),
            Place::Server(ServerKind::MySql, address) => mariadb::query(address, sql),
        }
    }

    /// All columns there are, as `table.column`.
    pub(crate) fn columns(&self) -> BTreeSet<String> {
        let of_server = |schema: &str| {
            let columns = "SELECT concat(table_name, '.', column_name) FROM information_schema.columns";
            self.query(&format!("{columns} WHERE table_schema = {schema}")).lines().map(str::to_owned).collect()
        };
        match &self.place {
            Place::Folder(folder) => columns_of_file(&file(folder)),
            Place::Server(ServerKind::Postgres, _) => of_server("current_schema()"),
            Place::Server(ServerKind::MySql, _) => of_server("database()"),
        }
    }

    async fn open_at(place: Place) -> Self {
        match &place {
            Place::Folder(folder) => Self::of(open_sqlite(folder).into(), place),
            Place::Server(kind, address) => Self::of(open_server(*kind, address, 8).await.into(), place),
        }
    }

    fn of(database: Database, place: Place) -> Self {
        Self {
            services: database.services.clone(),
            principals: database.principals.clone(),
            ciphertexts: database.ciphertexts.clone(),
            audit: database.audit.clone(),
            keys: database.keys.clone(),
            database,
            place,
        }
    }
}

fn columns_of_file(path: &Path) -> BTreeSet<String> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let sql = "SELECT t.name || '.' || c.name FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'";
    connection.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn file(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("strongroom.db")
}

fn open_sqlite(folder: &TempDir) -> SqliteDatabase {
    // Generous, so that a busy machine fails no test that is not about time.
    let busy_timeout = Duration::from_secs(20);
    let answer_timeout = Duration::from_secs(30);
    SqliteDatabase::open(&SqliteOptions { busy_timeout, answer_timeout, ..SqliteOptions::new(file(folder)) }).unwrap()
}

/// Opens a database on a server and brings its schema up to date.
async fn open_server(kind: ServerKind, address: &DatabaseAddress, max_connections: u32) -> ServerDatabase {
    let DatabaseAddress { host, port, name, user, password } = address;
    let database = ServerDatabase::connect(&ServerOptions {
        password: Some(SecretValue::new(password.clone())),
        tls: TlsMode::Disable,
        max_connections,
        // Generous, as above.
        answer_timeout: Duration::from_secs(30),
        ..ServerOptions::new(kind, host, *port, name, user)
    });
    database.migrate().await.unwrap();
    database
}
