//! Several servers on one database: what one does, all others know, within a second and whatever happens to them.

mod copies;
mod dumps;
mod keys;
mod start;
mod writes;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::database_server::DatabaseAddress;
use crate::support::server::{Server, command};
use crate::support::{mariadb, postgresql};

/// Runs a test on each server that replicas can share.
macro_rules! on_each_server {
    ($($promise:ident),+ $(,)?) => {
        mod on_postgresql {
            $(#[test]
            fn $promise() {
                super::$promise(&crate::replicas::Shared::postgresql());
            })+
        }
        mod on_mariadb {
            $(#[test]
            fn $promise() {
                super::$promise(&crate::replicas::Shared::mariadb());
            })+
        }
    };
}

use on_each_server;

/// What one replica writes, another serves after this time; a little more, for the test's own requests.
const SOON: Duration = Duration::from_millis(1_100);

/// A database that replicas share, and the key ring that they all have.
pub(crate) struct Shared {
    settings: Vec<(String, String)>,
    ring: TempDir,
}

impl Shared {
    pub(crate) fn postgresql() -> Self {
        Self::on("postgres", &postgresql::fresh_database())
    }

    pub(crate) fn mariadb() -> Self {
        Self::on("mysql", &mariadb::fresh_database())
    }

    fn on(scheme: &str, address: &DatabaseAddress) -> Self {
        let DatabaseAddress { host, port, name, user, password } = address;
        let url = format!("{scheme}://{user}@{host}:{port}/{name}?sslmode=disable");
        let settings = [("STRONGROOM_DATABASE_URL", url), ("STRONGROOM_DATABASE_PASSWORD", password.clone())];
        let settings = settings.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let shared = Self { settings, ring: TempDir::new().unwrap() };
        assert!(shared.run_in(shared.ring.path(), &["keys", "init"]).status.success());
        shared
    }

    /// The same database with one more setting.
    fn with_setting(&self, name: &str, value: &str) -> Self {
        let settings = [self.settings.clone(), vec![(name.to_owned(), value.to_owned())]].concat();
        Self { settings, ring: TempDir::new().unwrap() }
    }

    /// Starts a replica with the key ring of all.
    fn replica(&self) -> Server {
        let folder = TempDir::new().unwrap();
        copy_ring(self.ring.path(), folder.path());
        self.replica_in(folder)
    }

    fn replica_in(&self, folder: TempDir) -> Server {
        let settings: Vec<_> = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Server::start_in(folder, &settings)
    }

    fn run_in(&self, folder: &Path, arguments: &[&str]) -> Output {
        self.command_in(folder, arguments).output().unwrap()
    }

    fn command_in(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = command(folder, &self.settings);
        command.args(arguments);
        command
    }

    /// A new admin's token.
    fn admin(&self) -> String {
        let output = self.run_in(self.ring.path(), &["token", "create", "admin"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

fn copy_ring(from: &Path, to: &Path) {
    let data = to.join("data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::copy(from.join("data/keys"), data.join("keys")).unwrap();
}

const SERVICES: &str = "/services/databaseServices";

fn service(name: &str, password: &str) -> Value {
    let connection = json!({"config": {"username": "u", "hostPort": "h:1", "authType": {"password": password}}});
    json!({"name": name, "serviceType": "Mysql", "connection": connection})
}

fn password_at(server: &Server, name: &str, token: &str) -> String {
    let entity = server.get(&format!("{SERVICES}/name/{name}"), token).expect(200);
    entity["connection"]["config"]["authType"]["password"].as_str().unwrap().to_owned()
}

/// Asks again and again until it is so; fails where that takes longer than another replica may take.
#[track_caller]
fn soon(is_so: impl FnMut() -> bool) {
    within(SOON, is_so);
}

#[track_caller]
fn within(time: Duration, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {time:?}");
    }
    assert!(Instant::now() < deadline + Duration::from_millis(200), "it took longer than {time:?}");
}
