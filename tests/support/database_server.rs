//! Starts a real server for the tests of this process, and sees to it that it ends with them.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use uuid::Uuid;

/// How long a server may take until it answers; its data folder is made in this time too.
const START_TIMEOUT: Duration = Duration::from_mins(2);

/// Database servers refuse to run as root.
const UNPRIVILEGED_USER: &str = "nobody";

/// Runs the server (`"$@"`) until its own standard input ends, which it does with the process that holds the other end,
/// however that process ends. It leads the process group whose members it stops. The folder goes when the last of them
/// has ended and so closed the pipe that all have as 3: one that is still about to end would write to it anew.
const WATCHDOG: &str = r#"
    trap : TERM INT
    "$@" </dev/null 3>&1 >&2 | (trap '' TERM INT; exec cat >/dev/null 2>&1) &
    exec 2>/dev/null
    cat >/dev/null
    kill -TERM 0
    # For PostgreSQL: do not wait for clients.
    kill -INT 0
    until wait; do :; done
    rm -rf "$FOLDER"
"#;

/// How a client reaches a database.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseAddress {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) name: String,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl DatabaseAddress {
    /// The address on a server of the tests, by a name that no other test has.
    pub(crate) fn of_new_database(server: &DatabaseServer) -> Self {
        Self { name: format!("test_{}", Uuid::new_v4().simple()), ..Self::of(server, "") }
    }

    /// The address of a database that is there already.
    pub(crate) fn of(server: &DatabaseServer, name: &str) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: server.port,
            name: name.to_owned(),
            user: "strongroom".to_owned(),
            password: "strongroom's password".to_owned(),
        }
    }
}

/// A server on a loopback port of its own, with its data in a folder of its own.
pub(crate) struct DatabaseServer {
    pub(crate) port: u16,
    // Holds the pipe that keeps the server alive.
    _watchdog: Child,
}

impl DatabaseServer {
    /// Runs a shell script that ends in `exec` of the server, with these programs and `PORT` as variables, in an empty
    /// folder; waits until the server has logged `ready`.
    pub(crate) fn start(script: &str, programs: &[(&str, PathBuf)], ready: &str) -> Self {
        Self::start_as(unprivileged, script, programs, ready)
    }

    /// The same as the user who runs the tests: for programs in that user's own folders.
    pub(crate) fn start_as_self(script: &str, programs: &[(&str, PathBuf)], ready: &str) -> Self {
        Self::start_as(|_| Vec::new(), script, programs, ready)
    }

    fn start_as(
        user: impl FnOnce(&Path) -> Vec<String>,
        script: &str,
        programs: &[(&str, PathBuf)],
        ready: &str,
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("strongroom-test-").tempdir().unwrap();
        let port = free_port();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", WATCHDOG, "sh"]).args(user(folder.path())).args(["/bin/sh", "-c", script, "sh"]);
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path))).env("LC_ALL", "C");
        command.env("FOLDER", folder.path()).env("PORT", port.to_string());
        command.envs(programs.iter().map(|(name, path)| (name, path))).current_dir(folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut watchdog = command.spawn().unwrap();
        // From here on the watchdog removes it.
        let _ = folder.keep();
        wait_until_logged(ready, &log_of(&mut watchdog));
        Self { port, _watchdog: watchdog }
    }
}

/// What a server logs, line by line; ends when the server does. It is read on for as long as the server runs, or the
/// server would wait for a reader.
fn log_of(watchdog: &mut Child) -> Receiver<String> {
    let log = BufReader::new(watchdog.stderr.take().unwrap());
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in log.split(b'\n').map_while(Result::ok) {
            let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
        }
    });
    lines
}

fn wait_until_logged(ready: &str, lines: &Receiver<String>) {
    let deadline = Instant::now() + START_TIMEOUT;
    let mut logged = Vec::new();
    while !logged.last().is_some_and(|line: &String| line.contains(ready)) {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => logged.push(line),
            Err(error) => panic!("the server did not start ({error}):\n{}", logged.join("\n")),
        }
    }
}

/// A loopback port that nobody listens on. It is outside of the range from which systems give ports to those who ask
/// for any, as the other tests of this process do, so that it is still free when the server has come so far.
fn free_port() -> u16 {
    let candidates = std::iter::repeat_with(|| 10_000 + (Uuid::new_v4().as_u128() % 20_000) as u16);
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    candidates.take(1_000).find(is_free).unwrap()
}

/// What goes before a command so that it runs as an ordinary user, to whom the folder is given.
fn unprivileged(folder: &Path) -> Vec<String> {
    if id(&["-u"]) != 0 {
        return Vec::new();
    }
    let (user, group) = (id(&["-u", UNPRIVILEGED_USER]), id(&["-g", UNPRIVILEGED_USER]));
    std::os::unix::fs::chown(folder, Some(user), Some(group)).unwrap();
    let setpriv = find_program("setpriv", "util-linux").to_str().unwrap().to_owned();
    vec![setpriv, format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()]
}

fn id(arguments: &[&str]) -> u32 {
    run(Command::new("id").args(arguments)).trim().parse().unwrap()
}

/// Runs a command that must succeed; gives its standard output.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The path of a program, which may stand outside of PATH. A missing one is a failure, never a skip.
pub(crate) fn find_program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // The newest PostgreSQL, and all of its programs from one folder: they do not work with those of another version.
    let folders = postgresql_folders().into_iter().chain(std::env::split_paths(&path)).chain(["/usr/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file()).unwrap_or_else(|| {
        panic!("{name} is not installed: Debian's package {package} has it, `make test-databases` installs it")
    })
}

/// Where Debian keeps the programs of each version, newest first.
fn postgresql_folders() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().map_while(Result::ok);
    let version = |folder: &PathBuf| folder.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let mut folders: Vec<PathBuf> = versions.map(|entry| entry.path()).collect();
    folders.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
    folders.into_iter().map(|folder| folder.join("bin")).collect()
}
