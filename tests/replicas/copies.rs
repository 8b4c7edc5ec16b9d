//! An installation that began on the embedded database moves to a server that replicas share.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use super::{SERVICES, Shared, copy_ring, on_each_server, password_at, service};
use crate::support::fixtures::fixture;
use crate::support::postgresql;
use crate::support::server::{Server, command};

on_each_server!(
    an_embedded_installation_moves_to_a_server_though_the_copy_is_killed_again_and_again,
    a_copy_is_refused_while_the_source_is_served,
);

const SERVICES_THERE: usize = 600;

fn embedded() -> Server {
    let server = Server::start();
    let admin = server.admin();
    thread::scope(|scope| {
        for start in 0..8 {
            let (server, admin) = (&server, &admin);
            scope.spawn(move || {
                for number in (start..SERVICES_THERE).step_by(8) {
                    let new = service(&format!("shop-{number}"), &format!("pw-{number}"));
                    server.put(SERVICES, admin, &new).expect(201);
                }
            });
        }
    });
    server
}

/// The command that copies the file of a server into the shared database, which its environment names.
fn copying(shared: &Shared, folder: &Path) -> Command {
    let from = format!("sqlite:{}", folder.join("data/strongroom.db").display());
    let mut copy = command(folder, &shared.settings);
    copy.args(["database", "copy", "--output", "json", "--from", &from]);
    copy
}

fn an_embedded_installation_moves_to_a_server_though_the_copy_is_killed_again_and_again(shared: &Shared) {
    let mut old = embedded();
    let admin = old.admin();
    let worker = old.bot("worker", "worker");
    old.kill();
    let folder = old.directory.path();

    for moment in ["copying principals", "copying services", "copying audit_entries", "comparing services"] {
        kill_at(moment, copying(shared, folder));
        is_refused_as_half(&shared.run_in(folder, &["check"]));
    }
    let copied = copying(shared, folder).output().unwrap();

    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    let tables: Value = serde_json::from_slice(&copied.stdout).unwrap();
    let services = tables.as_array().unwrap().iter().find(|table| table["table"] == "services").unwrap();
    assert_eq!(services["rows"], SERVICES_THERE);
    copy_ring(folder, shared.ring.path());
    let replicas = [shared.replica(), shared.replica()];
    for number in [0, 1, 299, 598, 599] {
        assert_eq!(password_at(&replicas[number % 2], &format!("shop-{number}"), &admin), format!("pw-{number}"));
    }
    let list = replicas[1].get(&format!("{SERVICES}?limit=1"), &admin).expect(200);
    assert_eq!(list["paging"]["total"], SERVICES_THERE);
    replicas[0].get(&format!("{SERVICES}/name/shop-7"), &worker).expect(200);
    replicas[0].put(SERVICES, &admin, &service("shop-7", "changed")).expect(200);
    assert_eq!(password_at(&replicas[0], "shop-7", &admin), "changed");
}

/// Kills the copy (SIGKILL) when it logs this.
fn kill_at(moment: &str, mut copy: Command) {
    let mut copy = copy.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = BufReader::new(copy.stderr.take().unwrap()).lines();
    assert!(log.map_while(Result::ok).any(|line| line.contains(moment)), "{moment}");
    copy.kill().unwrap();
    copy.wait().unwrap();
}

#[track_caller]
fn is_refused_as_half(check: &Output) {
    let text = String::from_utf8_lossy(&check.stderr);
    assert_eq!(check.status.code(), Some(1), "{text}");
    assert!(text.contains("holds only part of a copy from") && text.contains("strongroom database copy"), "{text}");
}

fn a_copy_is_refused_while_the_source_is_served(shared: &Shared) {
    let served = Server::start();

    let refused = copying(shared, served.directory.path()).output().unwrap();

    let text = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(text.contains("stop its server"), "{text}");
}

#[test]
fn a_copy_that_is_refused_leaves_the_schema_to_the_servers_of_the_older_version() {
    let address = postgresql::fresh_database();
    postgresql::load(&address, &fixture("postgres-schema-5").join("dump.sql"));
    let in_a_year = "CAST(EXTRACT(EPOCH FROM now()) * 1000 AS BIGINT) + 31536000000";
    postgresql::query(&address, &format!("INSERT INTO replicas VALUES (gen_random_uuid(), '[]', 'k', {in_a_year})"));
    let shared = Shared::on("postgres", &address);
    let folder = TempDir::new().unwrap();

    let to = format!("sqlite:{}", folder.path().join("copy.db").display());
    let refused = shared.run_in(folder.path(), &["database", "copy", "--to", &to]);

    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(text.contains("1 servers run on the database"), "{text}");
    assert_eq!(postgresql::query(&address, "SELECT max(number) FROM schema_migrations").trim(), "5");
}
