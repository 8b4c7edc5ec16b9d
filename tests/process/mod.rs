//! Real server processes, treated badly: what holds when disks, clocks, neighbours and clients misbehave.

mod commands;
mod crash;
mod encryption;
mod fixtures;
mod leaks;
mod robust;
mod rotation;
mod start;

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::support::server::{Server, command};

/// The database of a server, as somebody else on the machine opens it.
fn database(server: &Server) -> Connection {
    let connection = Connection::open(server.data().join("strongroom.db")).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    connection
}

/// Runs `strongroom` where no server need run, to its end.
fn strongroom(directory: &Path, settings: &[(&str, &str)], arguments: &[&str]) -> Output {
    let settings: Vec<_> = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    command(directory, &settings).args(arguments).output().unwrap()
}

/// What a command wrote on standard error, after checking that it failed with exit 1.
#[track_caller]
fn refusal(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    text
}

/// Waits until something holds, and fails if it does not in time. Gives how long it took.
#[track_caller]
fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    start.elapsed()
}
