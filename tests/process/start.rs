//! How it starts, what it refuses to start with, and how it stops.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{refusal, strongroom, within};
use crate::support::server::{DATABASES, Server, binary, mysql};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A data directory whose server has stopped, with one service in it.
fn stopped_server() -> Server {
    let mut server = Server::start();
    server.put(DATABASES, &server.admin(), &mysql("shop", "s3cret-of-the-shop")).expect(201);
    assert!(server.terminate().success());
    server
}

#[test]
fn a_first_start_makes_everything_for_its_owner_only() {
    let server = Server::start();

    server.put(DATABASES, &server.admin(), &mysql("shop", "pw")).expect(201);

    assert_eq!(mode(&server.data()), 0o700);
    let mut names = Vec::new();
    for file in fs::read_dir(server.data()).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    names.sort();
    let files = ["", "-shm", "-wal", ".lock"].map(|end| format!("strongroom.db{end}"));
    assert_eq!(names, [vec!["admin-token".to_owned(), "keys".to_owned()], files.to_vec()].concat());
    assert_eq!(fs::read_to_string(server.data().join("admin-token")).unwrap().lines().count(), 1);
}

#[test]
fn a_data_directory_that_others_can_read_is_closed_to_them() {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("data")).unwrap();
    fs::set_permissions(directory.path().join("data"), Permissions::from_mode(0o755)).unwrap();

    let server = Server::start_in(directory, &[]);

    assert_eq!(mode(&server.data()), 0o700);
}

#[test]
fn nothing_secret_is_printed_and_the_last_line_works_when_pasted() {
    let directory = tempfile::Builder::new().prefix("it's a $(path) & \"more\" ").tempdir().unwrap();
    let server = Server::start_in(directory, &[("LOG_LEVEL", "trace")]);
    within(Duration::from_secs(5), "the curl line", || server.printed().contains("\ncurl "));

    let printed = server.printed();
    let pasted = Command::new("sh").args(["-c", printed.lines().last().unwrap()]).output().unwrap();

    let answer: serde_json::Value = serde_json::from_slice(&pasted.stdout).unwrap();
    assert_eq!(answer["paging"]["total"], 0);
    let keys = fs::read_to_string(server.data().join("keys")).unwrap();
    let key = keys.lines().find(|line| line.len() > 40 && !line.starts_with('#')).unwrap();
    for secret in [&server.admin(), key] {
        assert!(!printed.contains(secret) && !server.log().contains(secret));
    }
}

#[test]
fn a_second_start_finds_everything_again() {
    let mut server = stopped_server();
    let token = server.admin();
    let keys = fs::read(server.data().join("keys")).unwrap();

    server.start_again();

    assert_eq!(server.admin(), token);
    assert_eq!(fs::read(server.data().join("keys")).unwrap(), keys);
    let service = server.get(&format!("{DATABASES}/name/shop"), &token).expect(200);
    assert_eq!(service["connection"]["config"]["authType"]["password"], "s3cret-of-the-shop");
}

#[test]
fn a_second_server_on_the_same_file_is_refused_with_a_line_that_says_who_has_it() {
    let server = Server::start();
    let link = server.directory.path().join("link");
    std::os::unix::fs::symlink(server.data(), &link).unwrap();

    for data in [server.data(), link] {
        let second = strongroom(server.directory.path(), &[], &["--port", "0", "--data-dir", data.to_str().unwrap()]);

        let refused = refusal(&second);
        assert!(refused.contains(&format!("(pid {} on ", server.pid())), "{refused}");
    }
    server.get(DATABASES, &server.admin()).expect(200);
}

#[test]
fn another_address_than_loopback_needs_insecure_http() {
    let directory = TempDir::new().unwrap();
    for address in ["0.0.0.0", "::", "192.0.2.1"] {
        let refused = refusal(&strongroom(directory.path(), &[("SERVER_HOST", address)], &["--port", "0"]));

        assert!(refused.contains("SERVER_HOST") && refused.contains("--insecure-http"), "{refused}");
    }
    let settings = [("SERVER_HOST", "0.0.0.0"), ("STRONGROOM_INSECURE_HTTP", "true")];
    let server = Server::start_in(directory, &settings);
    within(Duration::from_secs(5), "the curl line", || server.printed().contains("\ncurl "));
    assert!(server.printed().contains(" http://127.0.0.1:"), "{}", server.printed());
}

#[test]
fn a_key_ring_that_is_not_there_is_named_with_the_keys_that_are_needed() {
    let server = stopped_server();
    let status = server.run(&["keys", "status", "--output", "json"]);
    let needed = serde_json::from_str::<serde_json::Value>(&status).unwrap()[0]["key"].as_str().unwrap().to_owned();
    let keys = server.data().join("keys");
    fs::rename(&keys, server.data().join("elsewhere")).unwrap();

    for arguments in [&["--port", "0"][..], &["token", "create", "admin"], &["check"]] {
        let line = refusal(&server.command(arguments));

        assert!(line.contains("is missing") && line.contains(&needed) && line.contains("back-up"), "{line}");
        assert!(!keys.exists(), "a ring must not be made where one is lost");
    }
}

#[test]
fn a_key_ring_that_lacks_a_key_or_holds_a_weak_one_is_refused() {
    let server = stopped_server();
    let keys = server.data().join("keys");
    let good = fs::read_to_string(&keys).unwrap();
    let other = "u+Xv5qfJbFMeBuhAN9RS1kM0dIKNE9gzt+nZBKX6cAM=";
    let public = "jJ/9sz0g0OHxsfxOoSfdFdmk3ysNmPRnH3TUAbz3IHA=";
    let short = "c2hvcnQgb25lIG9mIDE2IQ==";
    let cases = [
        (other.to_owned(), "lacks the keys"),
        (format!("{public}\n{good}"), "publicly known"),
        (format!("{good}\n{short}"), "it has 16 bytes and a key has 32"),
        (format!("{good}\n{}", "A".repeat(43)), "can be guessed"),
        (String::new(), "holds no key"),
    ];
    for (ring, reason) in cases {
        fs::write(&keys, &ring).unwrap();

        let line = refusal(&server.command(&["--port", "0"]));

        assert!(line.contains(reason), "{line}");
        assert!([other, public, short].iter().all(|key| !line.contains(key)), "{line}");
    }
    fs::write(&keys, good).unwrap();
    server.run(&["check"]);
}

#[test]
fn a_key_ring_that_others_can_read_is_refused_with_the_command_that_helps() {
    let server = stopped_server();
    let keys = server.data().join("keys");
    for open in [0o640, 0o604, 0o620, 0o666] {
        fs::set_permissions(&keys, Permissions::from_mode(open)).unwrap();

        let line = refusal(&server.command(&["--port", "0"]));

        assert!(line.contains(&format!("chmod 600 {}", keys.display())), "{line}");
    }
    fs::set_permissions(&keys, Permissions::from_mode(0o400)).unwrap();
    server.run(&["check"]);
}

#[test]
fn a_fernet_key_is_refused_and_not_repeated() {
    let directory = TempDir::new().unwrap();
    let key = "jJ/9sz0g0OHxsfxOoSfdFdmk3ysNmPRnH3TUAbz3IHA=";

    let line = refusal(&strongroom(directory.path(), &[("FERNET_KEY", key)], &["--port", "0"]));

    assert!(line.contains("FERNET_KEY") && line.contains("key ring") && line.contains("public"), "{line}");
    assert!(!line.contains(key));
}

#[test]
fn secrets_are_kept_in_memory_only_where_there_are_none_yet() {
    let server = stopped_server();
    let line = refusal(&strongroom(server.directory.path(), &[("SECRET_MANAGER", "in-memory")], &["--port", "0"]));
    assert!(line.contains("in-memory") && line.contains("use db"), "{line}");

    let mut memory = Server::start_with(&[("SECRET_MANAGER", "in-memory")]);
    memory.put(DATABASES, &memory.admin(), &mysql("shop", "pw")).expect(201);
    let service = memory.get(&format!("{DATABASES}/name/shop"), &memory.admin()).expect(200);
    assert_eq!(service["connection"]["config"]["authType"]["password"], "pw");
    assert!(memory.terminate().success());
    refusal(&memory.command(&["--port", "0"]));
}

#[test]
fn all_faults_of_a_configuration_are_told_at_once_with_suggestions() {
    let directory = TempDir::new().unwrap();
    let text = "servr:\n  port: 1\nserver:\n  prot: 1\n  maxBodyBytes: many\nlog:\n  level: inof\n";
    fs::write(directory.path().join("c.yaml"), text).unwrap();
    let settings = [("FERNET_KEY", "x"), ("SERVER_HOST", "0.0.0.0"), ("SECRET_MANAGER", "bd")];

    let report = refusal(&strongroom(directory.path(), &settings, &["--config", "c.yaml", "check"]));

    let told = [
        ("servr", "`server`"),
        ("server.prot", "`port`"),
        ("server.maxBodyBytes", "must be"),
        ("log.level", "`info`"),
        ("FERNET_KEY", "key ring"),
        ("SERVER_HOST", "--insecure-http"),
        ("SECRET_MANAGER", "`db`"),
    ];
    for (place, help) in told {
        let is_told = report.lines().any(|line| line.contains(&format!("{place}:")) && line.contains(help));
        assert!(is_told, "{place}: {report}");
    }
    assert!(!directory.path().join("data").exists(), "nothing is made before the configuration is right");
}

/// As another user than root: only then does `/proc` show who may read the memory of a process.
#[test]
fn neither_a_core_file_nor_another_process_of_the_same_user_gets_its_memory() {
    use std::os::unix::process::CommandExt;
    let directory = TempDir::new().unwrap();
    let program = directory.path().join("strongroom");
    fs::copy(binary(), &program).unwrap();
    let mut command = Command::new(&program);
    command.env_clear().current_dir(directory.path()).args(["--port", "0"]);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        std::os::unix::fs::chown(directory.path(), Some(65534), Some(65534)).unwrap();
        command.uid(65534).gid(65534);
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut start = [0; 10];
    child.stdout.as_mut().unwrap().read_exact(&mut start).unwrap();

    let process = Path::new("/proc").join(child.id().to_string());
    let limits = fs::read_to_string(process.join("limits")).unwrap();
    let owner_of_memory = fs::metadata(process.join("mem")).unwrap().uid();

    child.kill().unwrap();
    child.wait().unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
    assert_eq!(owner_of_memory, 0, "it is dumpable");
}

#[test]
fn check_warns_while_the_first_token_is_in_use_and_fails_with_a_line_per_fault() {
    let server = Server::start();
    let text = server.run(&["check"]);
    let warning = text.lines().find(|line| line.contains("warning")).unwrap();
    let revoke = warning.split("strongroom token revoke ").nth(1).unwrap().trim();

    server.run(&["token", "revoke", revoke]);

    assert!(!server.run(&["check"]).contains("warning"));
    let json: serde_json::Value = serde_json::from_str(&server.run(&["check", "--output", "json"])).unwrap();
    assert!(json.as_array().unwrap().iter().all(|it| it["ok"] == true), "{json}");
    fs::set_permissions(server.data().join("keys"), Permissions::from_mode(0o644)).unwrap();
    let faults = refusal(&server.command(&["check"]));
    assert!(faults.contains("fault  ") && faults.contains("chmod 600"), "{faults}");
}

fn head(server: &Server, length: usize) -> String {
    let token = server.admin();
    format!(
        "PUT /api/v1{DATABASES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

#[test]
fn sigterm_lets_a_running_request_finish_and_takes_no_new_ones() {
    let mut server = Server::start();
    let body = mysql("shop", "pw").to_string();
    let mut slow = TcpStream::connect(server.base.strip_prefix("http://").unwrap()).unwrap();
    let (first, rest) = body.split_at(20);
    slow.write_all(format!("{}{first}", head(&server, body.len())).as_bytes()).unwrap();
    let idle = TcpStream::connect(server.base.strip_prefix("http://").unwrap()).unwrap();
    std::thread::sleep(Duration::from_millis(300));

    server.signal("TERM");
    std::thread::sleep(Duration::from_millis(700));
    assert!(TcpStream::connect(server.base.strip_prefix("http://").unwrap()).is_err(), "it still listens");
    slow.write_all(rest.as_bytes()).unwrap();

    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let since = Instant::now();
    within(Duration::from_secs(2), "it ends though a client is connected and says nothing", || !server.is_running());
    assert!(server.terminate().success(), "after {:?}", since.elapsed());
    drop(idle);
    server.start_again();
    server.get(&format!("{DATABASES}/name/shop"), &server.admin()).expect(200);
}

#[test]
fn sigterm_does_not_wait_for_a_request_that_never_ends() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("c.yaml"), "server:\n  drainSeconds: 1\n").unwrap();
    let mut server = Server::start_in(directory, &[("STRONGROOM_CONFIG", "c.yaml")]);
    let mut slow = TcpStream::connect(server.base.strip_prefix("http://").unwrap()).unwrap();
    slow.write_all(head(&server, 100).as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));

    let start = Instant::now();
    let status = server.terminate();

    assert!(status.success() && start.elapsed() < Duration::from_secs(3), "{status} after {:?}", start.elapsed());
}
