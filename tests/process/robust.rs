//! Clients that stall, a database that is locked or gone, a disk that is full.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::{database, within};
use crate::support::server::{Answer, DATABASES, Server, mysql};

/// What an answer may take that says "try again".
const REFUSED_WITHIN: Duration = Duration::from_millis(1500);

fn with_config(yaml: &str) -> Server {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("c.yaml"), yaml).unwrap();
    Server::start_in(directory, &[("STRONGROOM_CONFIG", "c.yaml"), ("LOG_LEVEL", "info")])
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.base.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn put_head(token: &str, length: &str) -> String {
    format!(
        "PUT /api/v1{DATABASES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\n{length}\r\n\r\n"
    )
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let outcome = work();
    (outcome, start.elapsed())
}

#[track_caller]
fn is_try_again((answer, time): (Answer, Duration)) {
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(!answer.header("retry-after").is_empty(), "{:?}", answer.headers);
    assert!(!answer.text.contains("s3cret"), "{}", answer.text);
    assert!(time < REFUSED_WITHIN, "{time:?}");
}

fn shop(server: &Server, view: &str) -> Answer {
    server.get(&format!("{DATABASES}/name/shop?view={view}"), &server.admin())
}

/// Writes and audited reads are refused in time, whatever reason there is; other reads go on.
#[track_caller]
fn refuses_writes_and_audited_reads(server: &Server) {
    let admin = server.admin();
    is_try_again(timed(|| server.put(DATABASES, &admin, &mysql("shop", "s3cret-2"))));
    is_try_again(timed(|| server.put(DATABASES, &admin, &mysql("new", "s3cret-3"))));
    is_try_again(timed(|| server.call("DELETE", &format!("{DATABASES}/name/shop"), &admin, None)));
    is_try_again(timed(|| shop(server, "plaintext")));
    is_try_again(timed(|| server.get(&format!("{DATABASES}?view=plaintext"), &admin)));
    let (masked, time) = timed(|| shop(server, "masked"));
    masked.expect(200);
    assert!(time < REFUSED_WITHIN, "{time:?}");
    server.get(DATABASES, &admin).expect(200);
    server.get("/healthz", "").expect(200);
}

/// Everything is as it was before the trouble, and works again.
#[track_caller]
fn is_as_before(server: &Server, password: &str) {
    let answer = shop(server, "plaintext").expect(200);
    assert_eq!(answer["connection"]["config"]["authType"]["password"], password);
    assert_eq!(server.get(&format!("{DATABASES}/name/new"), &server.admin()).status, 404);
    assert_eq!(server.get("/secretsManager/health", &server.admin()).expect(200)["status"], "ok");
    assert_eq!(server.get("/readyz", "").status, 200);
}

fn with_shop(server: Server) -> Server {
    server.put(DATABASES, &server.admin(), &mysql("shop", "s3cret-1")).expect(201);
    shop(&server, "plaintext").expect(200);
    server
}

/// A connection that says nothing, something, or a byte now and then, but never all of a head.
fn stall(server: &Server, index: usize) -> TcpStream {
    let mut stream = connect(server);
    let head = ["", "G", "GET /api/v1/system/version HTTP/1.1\r\nHost: x\r\nX-Slow: "][index % 3];
    // It may have been closed already: that is the point.
    let _ = stream.write_all(head.as_bytes());
    stream
}

#[test]
fn thousands_of_stalled_connections_keep_nobody_waiting() {
    let server = with_shop(Server::start_with(&[("LOG_LEVEL", "info")]));
    let mut stalled = Vec::new();
    std::thread::scope(|scope| {
        let opened = scope.spawn(|| (0..1500).map(|index| stall(&server, index)).collect::<Vec<_>>());
        while !opened.is_finished() {
            let (answer, time) = timed(|| shop(&server, "plaintext"));
            answer.expect(200);
            assert!(time < Duration::from_secs(1), "{time:?}");
        }
        stalled = opened.join().unwrap();
    });

    for round in 0..20 {
        let (answer, time) = timed(|| shop(&server, "plaintext"));
        answer.expect(200);
        assert!(time < Duration::from_secs(1), "round {round}: {time:?}");
        for stream in stalled.iter_mut().skip(2).step_by(3) {
            let _ = stream.write_all(b"x");
        }
    }
}

#[test]
fn a_head_that_does_not_come_in_time_ends_its_connection() {
    let server = with_config("server:\n  headerTimeoutSeconds: 1\n");
    let start = Instant::now();
    let mut stalled: Vec<_> = (0..30).map(|index| stall(&server, index)).collect();
    while start.elapsed() < Duration::from_millis(1500) {
        stalled.iter_mut().skip(2).step_by(3).for_each(|stream| drop(stream.write_all(b"x")));
        std::thread::sleep(Duration::from_millis(100));
    }

    for stream in &mut stalled {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    }
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn a_body_that_is_slower_than_the_deadline_is_answered_and_the_connection_closed() {
    let server = with_config("server:\n  requestTimeoutSeconds: 1\n");
    for length in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
        let mut slow = connect(&server);
        slow.write_all(put_head(&server.admin(), length).as_bytes()).unwrap();
        slow.write_all(b"5\r\n{\"nam\r\n").unwrap();

        let mut answer = String::new();
        let (read, time) = timed(|| slow.read_to_string(&mut answer));

        read.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503") && answer.to_lowercase().contains("retry-after"), "{answer}");
        assert!(time < Duration::from_secs(3), "{time:?}");
    }
    let mut stranger = connect(&server);
    stranger.write_all(put_head("nobody", "Content-Length: 1000").as_bytes()).unwrap();
    let mut start = [0; 12];
    let ((), time) = timed(|| stranger.read_exact(&mut start).unwrap());
    assert!(&start == b"HTTP/1.1 401" && time < Duration::from_millis(900), "a body is not waited for: {time:?}");
}

#[test]
fn a_body_over_the_limit_is_refused_however_it_is_sent() {
    let server = Server::start();
    let filler = |length: usize| {
        let start = mysql("shop", "pw").to_string();
        format!("{start}{}", " ".repeat(length - start.len()))
    };
    let (bearer, limit) = (format!("Bearer {}", server.admin()), 1024 * 1024);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];

    assert_eq!(server.send("PUT", DATABASES, &headers, filler(limit).as_bytes()).status, 201);
    server.send("PUT", DATABASES, &headers, filler(limit + 1).as_bytes()).expect(413);
    server.send("PUT", "/tables/bulk", &headers, &vec![b'x'; 5 * limit]).expect(200);

    let mut chunked = connect(&server);
    chunked.write_all(put_head(&server.admin(), "Transfer-Encoding: chunked").as_bytes()).unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for _ in 0..40 {
        if chunked.write_all(chunk.as_bytes()).is_err() {
            break;
        }
    }
    let mut start = [0; 12];
    chunked.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
}

#[test]
fn a_locked_database_is_503_within_a_second_and_recovers() {
    let server = with_shop(Server::start());
    let fresh = server.bot("fresh", "admin");
    let other = database(&server);
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();

    is_try_again(timed(|| server.put(DATABASES, &fresh, &mysql("shop", "s3cret-2"))));
    refuses_writes_and_audited_reads(&server);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| is_try_again(timed(|| server.put(DATABASES, &server.admin(), &mysql("shop", "s3cret-2")))));
        }
    });
    other.execute_batch("COMMIT").unwrap();

    within(Duration::from_secs(1), "it recovers", || shop(&server, "plaintext").status == 200);
    std::thread::sleep(Duration::from_millis(500));
    is_as_before(&server, "s3cret-1");
}

#[test]
fn a_short_lock_is_waited_for() {
    let server = with_shop(Server::start());
    let other = database(&server);
    for round in 0..5 {
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let value = format!("s3cret-{round}");
        let put = std::thread::scope(|scope| {
            let put = scope.spawn(|| server.put(DATABASES, &server.admin(), &mysql("shop", &value)));
            std::thread::sleep(Duration::from_millis(150));
            other.execute_batch("COMMIT").unwrap();
            put.join().unwrap()
        });

        put.expect(200);
        is_as_before(&server, &value);
    }
}

#[test]
fn a_database_file_that_was_moved_is_503_until_it_is_back() {
    let server = with_shop(Server::start());
    for file in ["strongroom.db", "strongroom.db-wal"] {
        let (place, elsewhere) = (server.data().join(file), server.directory.path().join("elsewhere"));
        fs::rename(&place, &elsewhere).unwrap();

        is_try_again(timed(|| server.put(DATABASES, &server.admin(), &mysql("shop", "s3cret-2"))));
        is_try_again(timed(|| server.put(DATABASES, &server.admin(), &mysql("new", "s3cret-3"))));
        is_try_again(timed(|| shop(&server, "plaintext")));
        server.get("/healthz", "").expect(200);
        assert_eq!(server.get("/readyz", "").status, 503);
        fs::rename(&elsewhere, &place).unwrap();

        within(Duration::from_secs(2), "it recovers", || shop(&server, "plaintext").status == 200);
        is_as_before(&server, "s3cret-1");
    }
    server.put(DATABASES, &server.admin(), &mysql("shop", "s3cret-9")).expect(200);
    is_as_before(&server, "s3cret-9");
}

/// Fills what is free of the disk, then writes until the server cannot any more.
fn write_until_full(server: &Server) -> String {
    let mut last = "s3cret-1".to_owned();
    for count in 0..200 {
        let value = format!("s3cret-{count}{}", "x".repeat(5000));
        let (answer, time) = timed(|| server.put(DATABASES, &server.admin(), &mysql("shop", &value)));
        if answer.status != 200 {
            is_try_again((answer, time));
            return last;
        }
        last = value;
    }
    panic!("the disk never got full");
}

#[test]
fn where_files_cannot_grow_nothing_is_half_written_and_it_recovers_by_itself() {
    let shell = "trap '' XFSZ; exec \"$@\"";
    let mut server = with_shop(Server::start_by_shell(TempDir::new().unwrap(), shell, &[]));
    let limit = |bytes: &str| {
        let pid = server.pid().to_string();
        let limited = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:")]).status();
        assert!(limited.unwrap().success());
    };
    let size = fs::metadata(server.data().join("strongroom.db-wal")).unwrap().len();
    limit(&(size + 50_000).to_string());

    let last = write_until_full(&server);
    limit("4096");
    refuses_writes_and_audited_reads(&server);
    limit("unlimited");

    within(Duration::from_secs(2), "it recovers", || shop(&server, "plaintext").status == 200);
    is_as_before(&server, &last);
    server.put(DATABASES, &server.admin(), &mysql("shop", "s3cret-9")).expect(200);
    server.kill_and_restart();
    is_as_before(&server, "s3cret-9");
}

/// A file system of its own for a data directory, gone on drop. Where mounting is not allowed, the test above says
/// the same of a limit instead of a disk.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: std::path::PathBuf) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs"]).arg(&at).output();
        mount.is_ok_and(|mount| mount.status.success()).then_some(Self(at))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_503_with_nothing_half_written_and_it_recovers_by_itself() {
    let directory = TempDir::new().unwrap();
    let Some(disk) = SmallDisk::mount(directory.path().join("data")) else { return };
    // The log lies on the same disk, as it often does.
    let shell = "exec \"$@\" 2>data/log";
    let mut server = with_shop(Server::start_by_shell(directory, shell, &[("LOG_LEVEL", "trace")]));
    let ballast = disk.0.join("ballast");
    fs::write(&ballast, vec![0; 1_000_000]).unwrap();

    let last = write_until_full(&server);
    let mut rest = fs::OpenOptions::new().append(true).open(&ballast).unwrap();
    while rest.write_all(&[0; 512]).is_ok() {}
    drop(rest);
    // The smallest write there is takes what is left of the last blocks.
    within(Duration::from_secs(5), "it is full", || shop(&server, "plaintext").status == 503);
    refuses_writes_and_audited_reads(&server);
    assert!(server.is_running());
    fs::remove_file(ballast).unwrap();

    within(Duration::from_secs(2), "it recovers", || shop(&server, "plaintext").status == 200);
    is_as_before(&server, &last);
    server.kill_and_restart();
    is_as_before(&server, &last);
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    let server = Server::start_by_shell(TempDir::new().unwrap(), "exec \"$@\" 2>/dev/full", &[("LOG_LEVEL", "trace")]);
    let server = with_shop(server);
    is_as_before(&server, "s3cret-1");
    let closed = Server::start_by_shell(TempDir::new().unwrap(), "exec \"$@\" 2>&-", &[("LOG_LEVEL", "trace")]);
    is_as_before(&with_shop(closed), "s3cret-1");
}

#[test]
fn without_an_audit_there_is_no_plaintext() {
    let server = with_shop(Server::start());
    let connection = database(&server);
    let stop = "CREATE TRIGGER stop BEFORE INSERT ON audit_entries BEGIN SELECT RAISE(ABORT, 'no'); END";
    for (spoil, mend) in [
        (stop, "DROP TRIGGER stop"),
        ("ALTER TABLE audit_entries RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO audit_entries"),
    ] {
        connection.execute_batch(spoil).unwrap();

        let plaintext =
            [shop(&server, "plaintext"), server.get(&format!("{DATABASES}?view=plaintext"), &server.admin())];
        let put = server.put(DATABASES, &server.admin(), &mysql("shop", "s3cret-2"));

        for answer in plaintext {
            assert_eq!(answer.status, 503, "{}", answer.text);
            assert!(!answer.text.contains("s3cret") && !answer.text.contains("db:3306"), "{}", answer.text);
        }
        assert!(put.status >= 500, "{}", put.text);
        shop(&server, "masked").expect(200);
        connection.execute_batch(mend).unwrap();
        is_as_before(&server, "s3cret-1");
    }
}

#[test]
fn a_change_by_another_process_is_seen_within_a_second_also_by_who_remembers() {
    let server = with_shop(Server::start());
    shop(&server, "plaintext").expect(200);
    let row = "UPDATE services SET document = replace(document, 'reader', 'writer') WHERE fqn = 'shop'";
    assert_eq!(database(&server).execute(row, []).unwrap(), 1);

    within(Duration::from_secs(1), "it is not believed", || shop(&server, "plaintext").status == 424);
    let body = shop(&server, "plaintext").expect(424);
    assert_eq!(body["faults"][0]["path"], json!("connection"), "{body}");
}
