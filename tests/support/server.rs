//! A real server process in a folder of its own, and a plain client for it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// The binary that `make test` built, beside this test binary.
pub(crate) fn binary() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    let binary = path.join("strongroom");
    assert!(binary.exists(), "{} is missing: run `cargo build` first, as `make test` does", binary.display());
    binary
}

/// A server and its data directory; the process is killed on drop.
pub(crate) struct Server {
    pub(crate) directory: TempDir,
    pub(crate) base: String,
    settings: Vec<(String, String)>,
    child: Child,
    printed: Arc<Mutex<String>>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text))
    }

    /// The body, after checking the status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// A header, or an empty text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

impl Server {
    /// Starts a server on an empty data directory.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with these environment variables set.
    pub(crate) fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_in(TempDir::new().unwrap(), settings)
    }

    /// Starts a server on a data directory that may hold something.
    pub(crate) fn start_in(directory: TempDir, settings: &[(&str, &str)]) -> Self {
        let settings: Vec<_> = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let printed = Arc::default();
        let (child, base) = spawn(command(directory.path(), &settings).args(SERVE), directory.path(), &printed);
        Self { directory, base, settings, child, printed }
    }

    /// Starts a server as `sh` does with this text, in which `"$@"` is the server's command line.
    pub(crate) fn start_by_shell(directory: TempDir, text: &str, settings: &[(&str, &str)]) -> Self {
        let settings: Vec<_> = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let printed = Arc::default();
        let mut shell = command_of("/bin/sh", directory.path(), &settings);
        let shell = shell.args(["-c", text, "sh"]).arg(binary()).args(SERVE);
        let (child, base) = spawn(shell, directory.path(), &printed);
        Self { directory, base, settings, child, printed }
    }

    /// Kills the process (SIGKILL) and starts another on the same data directory.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        self.start_again();
    }

    /// Ends the process in an orderly way, and starts another that has these settings too, the last of a name counting.
    pub(crate) fn restart_with(&mut self, settings: &[(&str, &str)]) {
        self.terminate();
        self.settings.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        self.start_again();
    }

    /// Starts another process on the data directory of one that has ended.
    pub(crate) fn start_again(&mut self) {
        let mut command = command(self.directory.path(), &self.settings);
        let (child, base) = spawn(command.args(SERVE), self.directory.path(), &self.printed);
        self.child = child;
        self.base = base;
    }

    /// Asks the process to end (SIGTERM) and waits until it has.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        if self.is_running() {
            self.signal("TERM");
        }
        self.child.wait().unwrap()
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Whether the process still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Kills the process (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The id of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it keeps everything.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// What it printed on standard output so far.
    pub(crate) fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    /// The first admin's token.
    pub(crate) fn admin(&self) -> String {
        std::fs::read_to_string(self.data().join("admin-token")).unwrap().trim().to_owned()
    }

    /// A new bot of this role, and a token for it.
    pub(crate) fn bot(&self, name: &str, role: &str) -> String {
        self.run(&["bot", "create", name, "--role", role]);
        self.run(&["token", "create", name]).trim().to_owned()
    }

    /// A new user who is no admin, and a token for it.
    pub(crate) fn user(&self, name: &str) -> String {
        self.run(&["user", "create", name, "--email", "someone@example.com"]);
        self.run(&["token", "create", name]).trim().to_owned()
    }

    /// Runs a command of `strongroom` on the same data directory, which must succeed; gives its standard output.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command of `strongroom` on the same data directory.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        command(self.directory.path(), &self.settings).args(arguments).output().unwrap()
    }

    /// Sends a request. A body is sent as JSON, or as a JSON Patch where the method is PATCH.
    pub(crate) fn call(&self, method: &str, path: &str, token: &str, body: Option<&Value>) -> Answer {
        let media_type = if method == "PATCH" { "application/json-patch+json" } else { "application/json" };
        let text = body.map(Value::to_string);
        let headers = [("authorization", format!("Bearer {token}")), ("content-type", media_type.to_owned())];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.send(method, path, &headers, text.as_deref().unwrap_or_default().as_bytes())
    }

    /// `GET` as somebody.
    pub(crate) fn get(&self, path: &str, token: &str) -> Answer {
        self.call("GET", path, token, None)
    }

    /// `PUT` as somebody.
    pub(crate) fn put(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.call("PUT", path, token, Some(body))
    }

    /// `POST` as somebody.
    pub(crate) fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.call("POST", path, token, Some(body))
    }

    /// `PATCH` as somebody.
    pub(crate) fn patch(&self, path: &str, token: &str, operations: &Value) -> Answer {
        self.call("PATCH", path, token, Some(operations))
    }

    /// `DELETE` as somebody.
    pub(crate) fn delete(&self, path: &str, token: &str) -> Answer {
        self.call("DELETE", path, token, None)
    }

    /// Sends a request as it is; `path` begins behind `/api/v1`, or is a whole path.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let is_whole = path.starts_with("/api") || ["/", "/healthz", "/readyz"].contains(&path);
        let path = if is_whole { path.to_owned() } else { format!("/api/v1{path}") };
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        let mut answer = agent.run(request.body(body).unwrap()).unwrap();
        let headers = answer.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        Answer {
            status: answer.status().as_u16(),
            headers: headers.collect(),
            text: answer.body_mut().with_config().limit(100_000_000).read_to_string().unwrap(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a server is started here: on any free port.
const SERVE: [&str; 3] = ["serve", "--port", "0"];

/// The binary with nothing of this process's environment but what is given.
pub(crate) fn command(directory: &Path, settings: &[(String, String)]) -> Command {
    command_of(binary(), directory, settings)
}

fn command_of(program: impl AsRef<OsStr>, directory: &Path, settings: &[(String, String)]) -> Command {
    let mut command = Command::new(program);
    command.env_clear().current_dir(directory).env("STRONGROOM_DATA_DIR", directory.join("data"));
    command.env("LOG_LEVEL", "debug").envs(settings.iter().map(|(key, value)| (key, value)));
    command
}

fn spawn(command: &mut Command, directory: &Path, printed: &Arc<Mutex<String>>) -> (Child, String) {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(directory.join("log")).unwrap();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::from(log)).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().and_then(Result::ok);
    let first = first
        .unwrap_or_else(|| panic!("it did not start: {}", std::fs::read_to_string(directory.join("log")).unwrap()));
    let base = first.rsplit(' ').next().unwrap().to_owned();
    let printed = Arc::clone(printed);
    // The rest is read on, or the server would wait for a reader.
    std::thread::spawn(move || {
        for line in std::iter::once(Ok(first)).chain(lines).map_while(Result::ok) {
            printed.lock().unwrap().push_str(&(line + "\n"));
        }
    });
    (child, base)
}

/// The smallest connection of a MySQL service with a password.
pub(crate) fn mysql(name: &str, password: &str) -> Value {
    serde_json::json!({
        "name": name,
        "serviceType": "Mysql",
        "connection": {"config": {"username": "reader", "hostPort": "db:3306", "authType": {"password": password}}},
    })
}

/// A name as it stands in a path: everything but letters, digits and `-` percent-encoded.
pub(crate) fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The route of database services.
pub(crate) const DATABASES: &str = "/services/databaseServices";
