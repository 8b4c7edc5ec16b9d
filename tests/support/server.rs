//! A real server process in a folder of its own, and a plain client for it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
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
        let (child, base) = spawn(directory.path(), &settings);
        Self { directory, base, settings, child }
    }

    /// Kills the process (SIGKILL) and starts another on the same data directory.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        let (child, base) = spawn(self.directory.path(), &self.settings);
        self.child = child;
        self.base = base;
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

    /// Sends a request as it is; `path` begins behind `/api/v1`, or is a whole path.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let path = if path.starts_with("/api") || path.ends_with('z') { path.to_owned() } else { format!("/api/v1{path}") };
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
        let headers = headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
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

/// The binary with nothing of this process's environment but what is given.
fn command(directory: &Path, settings: &[(String, String)]) -> Command {
    let mut command = Command::new(binary());
    command.env_clear().current_dir(directory).env("STRONGROOM_DATA_DIR", directory.join("data"));
    command.env("LOG_LEVEL", "debug").envs(settings.iter().map(|(key, value)| (key, value)));
    command
}

fn spawn(directory: &Path, settings: &[(String, String)]) -> (Child, String) {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(directory.join("log")).unwrap();
    let mut child = command(directory, settings)
        .args(["serve", "--port", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::from(log))
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().and_then(Result::ok);
    let first = first.unwrap_or_else(|| panic!("it did not start: {}", std::fs::read_to_string(directory.join("log")).unwrap()));
    // The rest is read on, or the server would wait for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    let base = first.rsplit(' ').next().unwrap().to_owned();
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

/// The route of database services.
pub(crate) const DATABASES: &str = "/services/databaseServices";
