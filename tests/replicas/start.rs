//! Replicas that start.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::thread;

use super::{SERVICES, Shared, copy_ring, on_each_server, password_at, service};

on_each_server!(replicas_that_start_at_once_make_one_schema_and_one_admin, a_replica_finds_what_was_there_before);

fn replicas_that_start_at_once_make_one_schema_and_one_admin(shared: &Shared) {
    let servers: Vec<_> = thread::scope(|scope| {
        let starting: Vec<_> = (0..3).map(|_| scope.spawn(|| shared.replica())).collect();
        starting.into_iter().map(|starting| starting.join().unwrap()).collect()
    });

    let with_token = servers.iter().filter(|server| server.data().join("admin-token").exists()).count();
    let token = servers.iter().find(|server| server.data().join("admin-token").exists()).unwrap().admin();

    assert_eq!(with_token, 1);
    for server in &servers {
        server.get(SERVICES, &token).expect(200);
        server.get("/readyz", "").expect(200);
    }
}

fn a_replica_finds_what_was_there_before(shared: &Shared) {
    let mut first = shared.replica();
    let admin = first.admin();
    first.put(SERVICES, &admin, &service("shop", "s3cret")).expect(201);
    first.terminate();

    let second = shared.replica();

    assert_eq!(password_at(&second, "shop", &admin), "s3cret");
}

#[test]
fn on_a_server_no_replica_makes_a_key_ring_of_its_own() {
    let shared = Shared::postgresql();
    let folder = tempfile::TempDir::new().unwrap();

    let output = shared.run_in(folder.path(), &["serve", "--port", "0"]);

    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(error.contains("strongroom keys init"), "{error}");
    assert!(!folder.path().join("data/keys").exists());
}

#[test]
fn a_key_ring_is_made_once() {
    let shared = Shared::postgresql();
    let before = std::fs::read(shared.ring.path().join("data/keys")).unwrap();

    let output = shared.run_in(shared.ring.path(), &["keys", "init"]);

    assert!(!output.status.success());
    assert_eq!(std::fs::read(shared.ring.path().join("data/keys")).unwrap(), before);
}

#[test]
fn a_replica_whose_ring_lacks_a_key_says_which() {
    let shared = Shared::postgresql();
    let first = shared.replica();
    first.put(SERVICES, &first.admin(), &service("shop", "s3cret")).expect(201);
    let other = Shared::postgresql();
    let folder = tempfile::TempDir::new().unwrap();
    copy_ring(other.ring.path(), folder.path());

    let output = shared.run_in(folder.path(), &["serve", "--port", "0"]);

    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(error.contains("lacks the keys"), "{error}");
}

#[test]
fn a_server_waits_for_a_database_that_does_not_answer_yet() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let shared = Shared::postgresql();
    let url = format!("postgres://strongroom@{nobody}/x?sslmode=disable");
    let mut server = shared.command_in(shared.ring.path(), &["serve", "--port", "0", "--database-url", &url]);
    let mut server = server.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);

    let waits = log.by_ref().filter(|line| line.contains("the database does not answer yet")).take(2).count();

    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(waits, 2);
}
