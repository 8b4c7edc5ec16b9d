//! Keys among replicas: nobody encrypts with a key that another lacks.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{SERVICES, Shared, copy_ring, on_each_server, password_at, service, within};
use crate::support::server::Server;

on_each_server!(
    a_key_that_one_replica_lacks_encrypts_nothing,
    a_rotation_waits_until_all_replicas_have_the_key_and_then_moves_every_row,
    a_ring_in_the_environment_is_read_only_and_rotated_by_whoever_sets_it,
    a_replica_finishes_a_rotation_whose_leader_was_paused_and_that_one_writes_nothing_more,
);

fn a_key_that_one_replica_lacks_encrypts_nothing(shared: &Shared) {
    let with_one_key = shared.replica();
    let folder = TempDir::new().unwrap();
    copy_ring(shared.ring.path(), folder.path());
    put_before(&key_of_another_ring(), &folder.path().join("data/keys"));
    let with_two_keys = shared.replica_in(folder);
    let admin = shared.admin();

    with_two_keys.put(SERVICES, &admin, &service("shop", "s3cret")).expect(201);

    assert_eq!(password_at(&with_one_key, "shop", &admin), "s3cret");
    with_one_key.get("/readyz", "").expect(200);
}

fn a_rotation_waits_until_all_replicas_have_the_key_and_then_moves_every_row(shared: &Shared) {
    let replicas = [shared.replica(), shared.replica()];
    let admin = shared.admin();
    replicas[0].put(SERVICES, &admin, &service("shop", "s3cret")).expect(201);
    let ring = shared.ring.path().join("data/keys");
    let before = fs::read(&ring).unwrap();

    let rotated = thread::scope(|scope| {
        let rotation = scope.spawn(|| shared.run_in(shared.ring.path(), &["keys", "rotate", "--output", "json"]));
        within(Duration::from_secs(5), || fs::read(&ring).unwrap() != before);
        for replica in &replicas {
            hand_over(&ring, replica);
        }
        rotation.join().unwrap()
    });

    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    let report: Value = serde_json::from_slice(&rotated.stdout).unwrap();
    assert_eq!(report["left"], Value::from(Vec::<Value>::new()), "{report}");
    for (number, replica) in replicas.iter().enumerate() {
        assert_eq!(password_at(replica, "shop", &admin), "s3cret");
        replica.put(SERVICES, &admin, &service(&format!("shop-{number}"), "new")).expect(201);
    }
    let keys: Value = serde_json::from_str(&replicas[0].run(&["keys", "status", "--output", "json"])).unwrap();
    assert_eq!((&keys[0]["key"], &keys[0]["secrets"]), (&report["newest"], &Value::from(3)), "{keys}");
    assert_eq!(keys[1]["secrets"], 0, "{keys}");
}

fn a_ring_in_the_environment_is_read_only_and_rotated_by_whoever_sets_it(shared: &Shared) {
    let old = fs::read_to_string(shared.ring.path().join("data/keys")).unwrap();
    let with_old = shared.with_setting("STRONGROOM_KEY_RING", &old);
    let mut replica = with_old.replica_in(TempDir::new().unwrap());
    let admin = replica.admin();
    replica.put(SERVICES, &admin, &service("shop", "s3cret")).expect(201);
    let nothing_to_do = replica.command(&["keys", "rotate"]);
    replica.terminate();
    assert!(!replica.data().join("keys").exists());

    let with_both = shared.with_setting("STRONGROOM_KEY_RING", &format!("{}\n{old}", key_of_another_ring()));
    let replica = with_both.replica_in(TempDir::new().unwrap());
    let rotated = replica.run(&["keys", "rotate"]);

    assert_eq!(nothing_to_do.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nothing_to_do.stderr).contains("put a new key first"));
    assert!(rotated.contains("is no longer needed"), "{rotated}");
    let with_new = shared.with_setting("STRONGROOM_KEY_RING", &only_the_first(&with_both));
    assert_eq!(password_at(&with_new.replica_in(TempDir::new().unwrap()), "shop", &admin), "s3cret");
}

fn only_the_first(shared: &Shared) -> String {
    let (_, ring) = shared.settings.iter().find(|(name, _)| name == "STRONGROOM_KEY_RING").unwrap();
    ring.lines().next().unwrap().to_owned()
}

fn a_replica_finishes_a_rotation_whose_leader_was_paused_and_that_one_writes_nothing_more(shared: &Shared) {
    let replicas = [shared.replica(), shared.replica()];
    let admin = shared.admin();
    for number in 0..300 {
        replicas[number % 2].put(SERVICES, &admin, &service(&format!("shop-{number}"), "s3cret")).expect(201);
    }
    let ring = shared.ring.path().join("data/keys");
    let before = fs::read(&ring).unwrap();
    let mut leader = shared.command_in(shared.ring.path(), &["keys", "rotate"]);
    let mut leader = leader.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    within(Duration::from_secs(5), || fs::read(&ring).unwrap() != before);
    for replica in &replicas {
        hand_over(&ring, replica);
    }
    let mut log = BufReader::new(leader.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(log.any(|line| line.contains("moving rows of key")));
    signal(&leader, "STOP");
    assert_ne!(of_old_key(&replicas[0]), 0, "it was stopped too late");

    within(Duration::from_secs(30), || {
        thread::sleep(Duration::from_millis(500));
        of_old_key(&replicas[0]) == 0
    });

    signal(&leader, "CONT");
    assert_eq!(leader.wait().unwrap().code(), Some(1));
    let last = log.last().unwrap();
    assert!(last.contains("another process has taken over"), "{last}");
    for number in [0, 150, 299] {
        assert_eq!(password_at(&replicas[number % 2], &format!("shop-{number}"), &admin), "s3cret");
    }
}

#[test]
fn a_rotation_that_was_killed_before_all_had_the_key_goes_on_when_they_have_it() {
    let shared = Shared::postgresql();
    let replicas = [shared.replica(), shared.replica()];
    let admin = shared.admin();
    replicas[0].put(SERVICES, &admin, &service("shop", "s3cret")).expect(201);
    let (ring, before) = (replicas[0].data().join("keys"), fs::read(replicas[0].data().join("keys")).unwrap());
    let mut command = shared.command_in(replicas[0].directory.path(), &["keys", "rotate"]);
    let mut command = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    within(Duration::from_secs(5), || fs::read(&ring).unwrap() != before);
    command.kill().unwrap();
    command.wait().unwrap();
    let untouched = of_old_key(&replicas[0]);

    hand_over(&ring, &replicas[1]);

    assert_ne!(untouched, 0);
    within(Duration::from_secs(40), || {
        thread::sleep(Duration::from_millis(500));
        of_old_key(&replicas[0]) == 0
    });
    assert_eq!(password_at(&replicas[1], "shop", &admin), "s3cret");
}

/// How many rows the older key of the two still has.
fn of_old_key(replica: &Server) -> u64 {
    let keys: Value = serde_json::from_str(&replica.run(&["keys", "status", "--output", "json"])).unwrap();
    keys[1]["secrets"].as_u64().unwrap() + keys[1]["rows"].as_u64().unwrap()
}

fn signal(process: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// Puts the ring in the place of a replica's, whole.
fn hand_over(ring: &Path, replica: &Server) {
    let part = replica.data().join("keys.new");
    fs::copy(ring, &part).unwrap();
    fs::rename(part, replica.data().join("keys")).unwrap();
}

fn key_of_another_ring() -> String {
    let other = Shared::postgresql();
    let ring = fs::read_to_string(other.ring.path().join("data/keys")).unwrap();
    ring.lines().find(|line| !line.is_empty() && !line.starts_with('#')).unwrap().to_owned()
}

fn put_before(line: &str, ring: &Path) {
    let older = fs::read_to_string(ring).unwrap();
    fs::write(ring, format!("{line}\n{older}")).unwrap();
}
