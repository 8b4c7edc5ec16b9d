//! AWS as strict as it is: in front of moto, refuses what AWS refuses and moto lets pass, does what networks and quotas
//! do, and counts.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::moto;

/// What a fault does to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An answer with this status, in the form of AWS.
    Status(u16),
    /// The call is carried out, and its answer lost.
    CutAfter,
    /// The connection ends before the call is carried out.
    CutBefore,
    /// No answer for as long as anybody waits.
    Stall,
}

/// A proxy on a loopback port of its own; it ends with the process.
#[derive(Clone)]
pub(crate) struct AwsProxy {
    /// What `endpointUrl` is set to.
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// How often each action reached AWS, whether it was refused or not.
    calls: BTreeMap<String, usize>,
    throttled: usize,
    faults: Vec<(Option<String>, Fault)>,
    denied: HashSet<String>,
    latency: Duration,
    buckets: BTreeMap<Class, Bucket>,
    /// Names of secrets that are scheduled for deletion.
    scheduled: HashSet<String>,
    /// Names of parameters of the advanced tier.
    advanced: HashSet<String>,
}

/// What quotas are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Write,
    Read,
    BatchRead,
}

struct Bucket {
    per_second: f64,
    filled: f64,
    since: Instant,
}

impl Bucket {
    fn takes_a_call(&mut self) -> bool {
        let now = Instant::now();
        let added = now.duration_since(self.since).as_secs_f64() * self.per_second;
        (self.filled, self.since) = ((self.filled + added).min(self.per_second.max(1.0)), now);
        let is_taken = self.filled >= 1.0;
        self.filled -= if is_taken { 1.0 } else { 0.0 };
        is_taken
    }
}

/// A call as it came in.
struct Call {
    action: String,
    head: Vec<u8>,
    body: Vec<u8>,
    json: Value,
}

impl Call {
    /// Another call in place of this one; moto checks no signature.
    fn changed(&self, action: &str, json: Value) -> Self {
        let body = json.to_string().into_bytes();
        let head = String::from_utf8_lossy(&self.head).into_owned();
        let mut lines: Vec<String> = head.trim_end().lines().map(ToOwned::to_owned).collect();
        lines.retain(|line| !line.to_ascii_lowercase().starts_with("content-length:"));
        lines.push(format!("content-length: {}\r\n\r\n", body.len()));
        let head = lines.join("\r\n").replace(&format!(".{}", self.action), &format!(".{action}"));
        Self { action: action.to_owned(), head: head.into_bytes(), body, json }
    }
}

/// What is sent back: status and body; none: the connection ends.
type Reply = Option<(u16, Vec<u8>)>;

impl AwsProxy {
    /// A proxy in front of the moto of this process.
    pub(crate) async fn start() -> Self {
        let moto = tokio::task::spawn_blocking(moto::url).await.unwrap();
        let moto: SocketAddr = moto.trim_start_matches("http://").parse().unwrap();
        // A thread of its own, so that it outlives the runtime of the test that started it.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let proxy = Self { url, state: Arc::default() };
        let served = proxy.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(served.serve(listener, moto));
        });
        proxy
    }

    /// The next call, or the next one of this action, meets a fault.
    pub(crate) fn inject(&self, action: Option<&str>, fault: Fault) {
        self.state().faults.push((action.map(ToOwned::to_owned), fault));
    }

    /// Takes the permission for an action away, for example `CreateSecret`.
    pub(crate) fn deny(&self, action: &str) {
        self.state().denied.insert(action.to_owned());
    }

    /// Gives all permissions back.
    pub(crate) fn allow_all(&self) {
        self.state().denied.clear();
    }

    /// Throttles calls of a class that come faster than this.
    pub(crate) fn limit(&self, class: Class, per_second: f64) {
        let bucket = Bucket { per_second, filled: per_second.max(1.0), since: Instant::now() };
        self.state().buckets.insert(class, bucket);
    }

    /// Lets each answer take this time.
    pub(crate) fn slow_down(&self, latency: Duration) {
        self.state().latency = latency;
    }

    /// How often an action was called.
    pub(crate) fn calls_of(&self, action: &str) -> usize {
        self.state().calls.get(action).copied().unwrap_or_default()
    }

    /// How often anything was called.
    pub(crate) fn calls(&self) -> usize {
        self.state().calls.values().sum()
    }

    /// How many calls were throttled.
    pub(crate) fn throttled(&self) -> usize {
        self.state().throttled
    }

    /// Counts from zero again.
    pub(crate) fn reset_counts(&self) {
        let mut state = self.state();
        state.calls.clear();
        state.throttled = 0;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self, listener: std::net::TcpListener, moto: SocketAddr) {
        let listener = TcpListener::from_std(listener).unwrap();
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let proxy = self.clone();
            tokio::spawn(async move {
                // A client that is gone is no fault.
                let _ = proxy.serve_connection(client, moto).await;
            });
        }
    }

    async fn serve_connection(&self, mut client: TcpStream, moto: SocketAddr) -> std::io::Result<()> {
        client.set_nodelay(true)?;
        while let Some((head, body)) = read_message(&mut client).await? {
            let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let call = Call { action: action_of(&head, &body), head, body, json };
            let Some((status, body)) = self.answer(&call, moto).await? else { return Ok(()) };
            let head = format!(
                "HTTP/1.1 {status} x\r\ncontent-type: {}\r\nx-amzn-requestid: proxy-{}\r\ncontent-length: {}\r\n\r\n",
                if call.json.is_null() { "text/xml" } else { "application/x-amz-json-1.1" },
                uuid::Uuid::new_v4(),
                body.len()
            );
            client.write_all(head.as_bytes()).await?;
            client.write_all(&body).await?;
        }
        Ok(())
    }

    async fn answer(&self, call: &Call, moto: SocketAddr) -> std::io::Result<Reply> {
        let (latency, fault) = {
            let mut state = self.state();
            *state.calls.entry(call.action.clone()).or_default() += 1;
            let (latency, fault) = (state.latency, state.take_fault(&call.action));
            if fault.is_none()
                && let Some(refusal) = state.refusal(call)
            {
                return Ok(Some(refusal));
            }
            (latency, fault)
        };
        tokio::time::sleep(latency).await;
        match fault {
            Some(Fault::Status(status)) => return Ok(Some(refused(status, "InternalServiceError"))),
            Some(Fault::CutBefore) => return Ok(None),
            Some(Fault::Stall) => {
                tokio::time::sleep(Duration::from_mins(1)).await;
                return Ok(None);
            }
            Some(Fault::CutAfter) | None => {}
        }
        let (status, body) = match call.action.as_str() {
            "GetSecretValue" => current_value(call, moto).await?,
            "BatchGetSecretValue" => current_values(call, moto).await?,
            _ => forward(call, moto).await?,
        };
        if status == 200 {
            self.state().learn(call);
        }
        Ok((fault != Some(Fault::CutAfter)).then_some((status, body)))
    }
}

impl State {
    fn take_fault(&mut self, action: &str) -> Option<Fault> {
        let is_meant = |meant: &Option<String>| meant.as_deref().is_none_or(|meant| meant == action);
        let index = self.faults.iter().position(|(meant, _)| is_meant(meant))?;
        Some(self.faults.remove(index).1)
    }

    /// What AWS would answer, and moto does not.
    fn refusal(&mut self, call: &Call) -> Option<(u16, Vec<u8>)> {
        if self.denied.contains(&call.action) {
            return Some(refused(400, "AccessDeniedException"));
        }
        let bucket = self.buckets.get_mut(&class_of(&call.action));
        if bucket.is_some_and(|bucket| !bucket.takes_a_call()) {
            self.throttled += 1;
            return Some(refused(400, "ThrottlingException"));
        }
        let code = self.secrets_manager_rule(call).or_else(|| self.parameter_store_rule(call));
        code.map(|code| refused(400, code))
    }

    fn secrets_manager_rule(&self, call: &Call) -> Option<&'static str> {
        const INVALID: Option<&str> = Some("InvalidParameterException");
        const SCHEDULED: Option<&str> = Some("InvalidRequestException");
        let text = |key: &str| call.json[key].as_str();
        let name = text("Name").or_else(|| text("SecretId")).unwrap_or_default();
        match call.action.as_str() {
            "CreateSecret" | "PutSecretValue" => {
                let value = text("SecretString").unwrap_or_default();
                if !is_secret_name(name) || !(1..=65_536).contains(&value.len()) {
                    return INVALID;
                }
                if self.scheduled.contains(name) { SCHEDULED } else { None }
            }
            "GetSecretValue" | "DescribeSecret" if !is_secret_name(name) => INVALID,
            "UpdateSecretVersionStage" | "TagResource" if self.scheduled.contains(name) => SCHEDULED,
            "BatchGetSecretValue" => {
                let names = call.json["SecretIdList"].as_array().map(Vec::as_slice).unwrap_or_default();
                let is_valid = |name: &Value| name.as_str().is_some_and(is_secret_name);
                if names.len() > 20 || !names.iter().all(is_valid) { INVALID } else { None }
            }
            _ => None,
        }
    }

    fn parameter_store_rule(&self, call: &Call) -> Option<&'static str> {
        const INVALID: Option<&str> = Some("ValidationException");
        match call.action.as_str() {
            "PutParameter" => {
                let name = call.json["Name"].as_str().unwrap_or_default();
                let value = call.json["Value"].as_str().unwrap_or_default();
                let is_standard = call.json["Tier"].as_str().unwrap_or("Standard") == "Standard";
                let is_too_long = value.len() > if is_standard { 4_096 } else { 8_192 };
                if name.matches('/').count() > 15 {
                    return Some("HierarchyLevelLimitExceededException");
                }
                let is_downgrade = is_standard && call.json["Overwrite"] == true && self.advanced.contains(name);
                let is_reference = value.split_once("{{").is_some_and(|(_, rest)| rest.contains("}}"));
                let is_refused = !is_parameter_name(name) || value.is_empty() || is_too_long;
                if is_refused || is_downgrade || is_reference { INVALID } else { None }
            }
            "GetParameters" => {
                let names = call.json["Names"].as_array().map(Vec::as_slice).unwrap_or_default();
                let is_distinct = names.iter().collect::<HashSet<_>>().len() == names.len();
                let is_valid = |name: &Value| name.as_str().is_some_and(is_parameter_name);
                if names.len() > 10 || !is_distinct || !names.iter().all(is_valid) { INVALID } else { None }
            }
            _ => None,
        }
    }

    fn learn(&mut self, call: &Call) {
        let name = |key: &str| call.json[key].as_str().unwrap_or_default().to_owned();
        match call.action.as_str() {
            "DeleteSecret" if call.json["ForceDeleteWithoutRecovery"] == true => {
                self.scheduled.remove(&name("SecretId"));
            }
            "DeleteSecret" => {
                self.scheduled.insert(name("SecretId"));
            }
            "RestoreSecret" => {
                self.scheduled.remove(&name("SecretId"));
            }
            "PutParameter" if call.json["Tier"] == "Advanced" => {
                self.advanced.insert(name("Name"));
            }
            "DeleteParameter" => {
                self.advanced.remove(&name("Name"));
            }
            _ => {}
        }
    }
}

fn is_secret_name(name: &str) -> bool {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/_+=.@-".contains(character);
    (1..=512).contains(&name.len()) && name.chars().all(is_plain)
}

/// Also with a version behind it.
fn is_parameter_name(name: &str) -> bool {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/_.-:".contains(character);
    (1..=1_011).contains(&name.len()) && name.chars().all(is_plain)
}

fn class_of(action: &str) -> Class {
    match action {
        "BatchGetSecretValue" | "GetParameters" => Class::BatchRead,
        action if ["Get", "Describe", "List"].iter().any(|start| action.starts_with(start)) => Class::Read,
        _ => Class::Write,
    }
}

/// An error as AWS answers it.
fn refused(status: u16, code: &str) -> (u16, Vec<u8>) {
    (status, json!({"__type": code, "message": "canary-4e1b8a: refused by the proxy of the tests"}).to_string().into())
}

fn action_of(head: &[u8], body: &[u8]) -> String {
    let target =
        header(head, "x-amz-target").and_then(|target| target.rsplit_once('.').map(|(_, action)| action.to_owned()));
    // STS takes forms.
    let form =
        || String::from_utf8_lossy(body).split('&').find_map(|pair| Some(pair.strip_prefix("Action=")?.to_owned()));
    target.or_else(form).unwrap_or_default()
}

/// Moto gives those who name no version the one that was put last, wherever the label is.
async fn current_value(call: &Call, moto: SocketAddr) -> std::io::Result<(u16, Vec<u8>)> {
    if !call.json["VersionId"].is_null() || !call.json["VersionStage"].is_null() {
        return forward(call, moto).await;
    }
    let mut json = call.json.clone();
    json["VersionStage"] = "AWSCURRENT".into();
    forward(&call.changed("GetSecretValue", json), moto).await
}

async fn current_values(call: &Call, moto: SocketAddr) -> std::io::Result<(u16, Vec<u8>)> {
    let (status, body) = forward(call, moto).await?;
    let Ok(mut answer) = serde_json::from_slice::<Value>(&body) else { return Ok((status, body)) };
    for entry in answer["SecretValues"].as_array_mut().into_iter().flatten() {
        let json = json!({"SecretId": entry["Name"], "VersionStage": "AWSCURRENT"});
        let (_, body) = forward(&call.changed("GetSecretValue", json), moto).await?;
        *entry = serde_json::from_slice(&body)?;
    }
    Ok((status, answer.to_string().into()))
}

async fn forward(call: &Call, moto: SocketAddr) -> std::io::Result<(u16, Vec<u8>)> {
    let mut connection = TcpStream::connect(moto).await?;
    connection.set_nodelay(true)?;
    connection.write_all(&call.head).await?;
    connection.write_all(&call.body).await?;
    let (head, body) = read_message(&mut connection).await?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = String::from_utf8_lossy(&head).split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.unwrap_or(502), body))
}

/// A request or an answer with a `content-length`: head with its empty line, and body. None: the other side is done.
async fn read_message(stream: &mut TcpStream) -> std::io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let mut body = bytes.split_off(end);
    let length = header(&bytes, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Some((bytes, body)))
}

fn header(head: &[u8], name: &str) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
}
