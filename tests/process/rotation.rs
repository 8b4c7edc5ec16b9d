//! Keys are renewed while the server serves, also where that is interrupted.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{database, refusal, within};
use crate::support::fixtures::fixture;
use crate::support::server::{DATABASES, Server, binary, mysql};

/// Services that nobody writes to during a rotation.
const QUIET: usize = 250;

fn server_with_many() -> Server {
    let server = Server::start_with(&[("LOG_LEVEL", "info")]);
    std::thread::scope(|scope| {
        for start in 0..10 {
            let server = &server;
            scope.spawn(move || {
                for index in (start..QUIET).step_by(10) {
                    let service = mysql(&format!("quiet-{index}"), &format!("quiet-pw-{index}"));
                    server.put(DATABASES, &server.admin(), &service).expect(201);
                }
            });
        }
    });
    server
}

fn status(server: &Server) -> Vec<Value> {
    let text = server.run(&["keys", "status", "--output", "json"]);
    serde_json::from_str::<Value>(&text).unwrap().as_array().unwrap().clone()
}

#[track_caller]
fn password(server: &Server, name: &str) -> String {
    let service = server.get(&format!("{DATABASES}/name/{name}"), &server.admin()).expect(200);
    service["connection"]["config"]["authType"]["password"].as_str().unwrap().to_owned()
}

#[track_caller]
fn everything_is_readable(server: &Server) {
    for index in 0..QUIET {
        assert_eq!(password(server, &format!("quiet-{index}")), format!("quiet-pw-{index}"));
    }
    let health = server.get("/secretsManager/health", &server.admin()).expect(200);
    assert_eq!(health["status"], "ok", "{health}");
}

/// Deletes the line of a key, as `keys rotate` says one may.
fn remove_key(server: &Server, id: &str) {
    let path = server.data().join("keys");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let comment = lines.iter().position(|line| line.contains(&format!("key {id}"))).unwrap();
    let without = [&lines[..comment], &lines[comment + 2..]].concat().join("\n") + "\n";
    std::fs::write(path, without).unwrap();
}

/// Writes and reads one service until it is told to stop; gives how often.
fn write_on(server: &Server, name: &str, stop: &AtomicBool, rounds: &AtomicUsize) {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        let value = format!("{name}-{count}");
        let put = server.put(DATABASES, &server.admin(), &mysql(name, &value));
        assert!([200, 201].contains(&put.status), "{}", put.text);
        assert_eq!(password(server, name), value);
        rounds.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn keys_are_rotated_while_clients_write_and_the_old_key_can_go() {
    let mut server = server_with_many();
    let old = status(&server)[0]["key"].as_str().unwrap().to_owned();
    let (stop, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));

    let report = std::thread::scope(|scope| {
        for writer in 0..4 {
            let (server, stop, rounds) = (&server, &stop, &rounds);
            scope.spawn(move || write_on(server, &format!("busy-{writer}"), stop, rounds));
        }
        within(Duration::from_secs(10), "the writers run", || rounds.load(Ordering::Relaxed) > 8);
        let mut report = server.command(&["keys", "rotate"]);
        // Rows that were written meanwhile may stay with the old key; it then says "run it again".
        if !report.status.success() {
            assert!(String::from_utf8_lossy(&report.stderr).contains("run it again"));
            report = server.command(&["keys", "rotate"]);
        }
        stop.store(true, Ordering::Relaxed);
        report
    });

    let text = String::from_utf8(report.stdout).unwrap();
    assert!(report.status.success(), "{text} {}", String::from_utf8_lossy(&report.stderr));
    assert!(text.contains(&format!("key {old} is no longer needed")), "{text}");
    everything_is_readable(&server);
    let keys = status(&server);
    assert_eq!((keys.len(), &keys[0]["use"]), (2, &"encrypts".into()));
    assert!(keys[1]["key"] == old.as_str() && keys[1]["use"] == "may be removed", "{keys:?}");
    remove_key(&server, &old);
    std::thread::sleep(Duration::from_millis(700));
    everything_is_readable(&server);
    server.kill_and_restart();
    everything_is_readable(&server);
    assert_eq!(status(&server).len(), 1);
    server.put(DATABASES, &server.admin(), &mysql("later", "pw")).expect(201);
}

#[test]
fn a_rotation_that_is_killed_goes_on_with_the_same_new_key() {
    let mut server = server_with_many();
    let mut rotation = Command::new(binary());
    rotation.args(["keys", "rotate"]).env_clear().env("STRONGROOM_DATA_DIR", server.data());
    let mut rotation = rotation.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let connection = database(&server);
    let keys_in_use = "SELECT count(DISTINCT key_id) FROM ciphertexts";
    let is_half_way = || connection.query_row(keys_in_use, [], |row| row.get::<_, i64>(0)).unwrap() == 2;
    // Without a pause between looks: on a quick machine it is half-way for some milliseconds only.
    let begun = Instant::now();
    while !is_half_way() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it was never seen half-way");
    }
    rotation.kill().unwrap();
    rotation.wait().unwrap();
    let between = status(&server);
    assert_eq!(between.len(), 2, "{between:?}");
    everything_is_readable(&server);
    server.kill_and_restart();
    everything_is_readable(&server);

    let report = server.run(&["keys", "rotate", "--output", "json"]);

    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["newest"], &report["removable"][0]), (&between[0]["key"], &between[1]["key"]), "{report}");
    assert_eq!(status(&server).len(), 2, "no third key was made");
    remove_key(&server, between[1]["key"].as_str().unwrap());
    server.kill_and_restart();
    everything_is_readable(&server);
}

#[test]
fn a_rotation_that_was_stopped_between_key_and_first_row_goes_on_too() {
    let server = Server::start();
    server.put(DATABASES, &server.admin(), &mysql("shop", "pw")).expect(201);
    let mut rotation = Command::new(binary());
    rotation.args(["keys", "rotate"]).env_clear().env("STRONGROOM_DATA_DIR", server.data());
    let mut rotation = rotation.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let keys = server.data().join("keys");
    let has_two = || std::fs::read_to_string(&keys).unwrap().matches("# key ").count() == 2;
    within(Duration::from_secs(10), "there is a new key", has_two);
    rotation.kill().unwrap();
    rotation.wait().unwrap();

    server.run(&["keys", "rotate"]);

    assert_eq!(status(&server).len(), 2);
    assert_eq!(password(&server, "shop"), "pw");
}

#[test]
fn a_row_that_does_not_open_keeps_its_key_and_stops_no_other() {
    let server = Server::start();
    for name in ["good", "bad", "ugly"] {
        server.put(DATABASES, &server.admin(), &mysql(name, "pw")).expect(201);
    }
    let change = |sql: &str| assert_eq!(database(&server).execute(sql, []).unwrap(), 1);
    change(
        "UPDATE ciphertexts SET ciphertext = zeroblob(60) WHERE owner_id = (SELECT id FROM services WHERE fqn = 'bad')",
    );
    change("UPDATE services SET revision = 99 WHERE fqn = 'ugly'");

    let line = refusal(&server.command(&["keys", "rotate"]));

    assert!(line.contains("2 rows stay with an older key") && line.contains("secretsManager/health"), "{line}");
    let keys = status(&server);
    assert!(keys[1]["secrets"] == 1 && keys[1]["rows"] == 1 && keys[1]["use"] != "may be removed", "{keys:?}");
    assert_eq!(password(&server, "good"), "pw");
    for name in ["bad", "ugly"] {
        server.put(DATABASES, &server.admin(), &mysql(name, "again")).expect(200);
    }
    assert_eq!(status(&server)[1]["use"], "may be removed");
}

#[test]
fn many_rows_that_are_not_believed_do_not_hide_the_others_from_a_rotation() {
    let server = server_with_many();
    // More than one batch of them, in front of the others.
    let spoiled = 150;
    for (table, change) in [("services", "revision = 99"), ("ciphertexts", "ciphertext = zeroblob(60)")] {
        let sql = format!(
            "UPDATE {table} SET {change} WHERE rowid IN (SELECT rowid FROM {table} ORDER BY rowid LIMIT {spoiled})"
        );
        assert_eq!(database(&server).execute(&sql, []).unwrap(), spoiled);
    }

    let line = refusal(&server.command(&["keys", "rotate"]));

    assert!(line.contains(&format!("{} rows stay", 2 * spoiled)), "{line}");
    let keys = status(&server);
    assert!(keys[1]["secrets"] == spoiled && keys[1]["rows"] == spoiled, "{keys:?}");
    assert_eq!(keys[0]["secrets"], QUIET - spoiled);
}

#[test]
fn a_ring_that_the_server_does_not_follow_is_not_rotated_beside_it() {
    let ring = std::fs::read_to_string(fixture("sqlite-schema-4").join("keys")).unwrap();
    let server = Server::start_with(&[("STRONGROOM_KEY_RING", &ring)]);

    let line = refusal(&server.command(&["keys", "rotate"]));

    assert!(line.contains("stop the server first"), "{line}");
}
