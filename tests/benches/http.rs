//! How fast the server answers, as ratios to a bare axum handler with a body of the same size in the same rounds.
//!
//! `scripts/bench` builds what this needs and runs it. Rounds alternate between the things compared, since the speed
//! of a machine drifts; the median of the rounds' ratios is what counts.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot go on fails"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long one measurement of one thing takes.
const SLICE: Duration = Duration::from_millis(1500);

/// How many rounds there are.
const ROUNDS: usize = 7;

/// How many connections send requests at once.
const CONNECTIONS: [usize; 3] = [1, 16, 64];

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|argument| argument == "--bare") {
        Some(at) => serve_bare(arguments[at + 1].parse().unwrap()).await,
        None => measure_all().await,
    }
}

/// The yardstick: axum with a fixed body.
async fn serve_bare(body_bytes: usize) {
    let body: axum::body::Bytes = vec![b'x'; body_bytes].into();
    let handler = move || {
        let body = body.clone();
        async move { ([("content-type", "application/json")], body) }
    };
    let router = axum::Router::new().route("/", axum::routing::get(handler));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("listens on http://{}", listener.local_addr().unwrap());
    axum::serve(listener, router).await.unwrap();
}

struct Process {
    child: Child,
    address: String,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().expect("it starts").unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let address = first.rsplit("//").next().unwrap().to_owned();
        Self { child, address }
    }

    fn strongroom(data: &Path) -> Self {
        let binary =
            std::env::var_os("STRONGROOM_BINARY").map_or_else(|| "target/release/strongroom".into(), PathBuf::from);
        Self::start(Command::new(binary).env_clear().env("STRONGROOM_DATA_DIR", data).args(["serve", "--port", "0"]))
    }

    fn resident_megabytes(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes the n-th request of a run.
type Request = Arc<dyn Fn(u64) -> Vec<u8> + Send + Sync>;

/// Something whose speed is measured.
#[derive(Clone)]
struct Subject {
    address: String,
    request: Request,
}

impl Subject {
    fn get(address: &str, path: &str, token: &str) -> Self {
        let text =
            format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n").into_bytes();
        Self { address: address.to_owned(), request: Arc::new(move |_| text.clone()) }
    }

    fn put(address: &str, token: &str) -> Self {
        let (address, token) = (address.to_owned(), token.to_owned());
        let host = address.clone();
        let request = move |number: u64| {
            let body = service(&format!("put-{}", number % 512), &format!("value-{number}"));
            put_request(&host, &token, &body)
        };
        Self { address, request: Arc::new(request) }
    }

    /// Requests a second over this many connections.
    async fn rate(&self, connections: usize) -> f64 {
        let done = Arc::new(AtomicU64::new(0));
        let numbers = Arc::new(AtomicU64::new(0));
        let end = Instant::now() + SLICE;
        let tasks: Vec<_> = (0..connections)
            .map(|_| tokio::spawn(keep_asking(self.clone(), end, Arc::clone(&numbers), Arc::clone(&done))))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        done.load(Ordering::Relaxed) as f64 / SLICE.as_secs_f64()
    }
}

async fn keep_asking(subject: Subject, end: Instant, numbers: Arc<AtomicU64>, done: Arc<AtomicU64>) {
    let mut stream = TcpStream::connect(&subject.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 256 * 1024];
    while Instant::now() < end {
        let request = (subject.request)(numbers.fetch_add(1, Ordering::Relaxed));
        stream.write_all(&request).await.unwrap();
        read_answer(&mut stream, &mut buffer).await;
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads one answer, which must be a success; gives its body.
async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> Vec<u8> {
    let mut length = 0;
    loop {
        length += stream.read(&mut buffer[length..]).await.unwrap();
        let Some(head) = buffer[..length].windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head]).unwrap();
        assert!(text.starts_with("HTTP/1.1 20"), "{}", String::from_utf8_lossy(&buffer[..length]));
        let body =
            text.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |it| it.parse().unwrap());
        while length < head + 4 + body {
            length += stream.read(&mut buffer[length..]).await.unwrap();
        }
        return buffer[head + 4..length].to_vec();
    }
}

async fn once(address: &str, request: Vec<u8>) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&request).await.unwrap();
    read_answer(&mut stream, &mut vec![0; 4 << 20]).await
}

/// A service with three secrets; its plaintext answer has about 1.5 KB.
fn service(name: &str, secret: &str) -> String {
    format!(
        r#"{{"name":"{name}","serviceType":"Mysql","description":"A shop's database, read by the nightly ingestion.","connection":{{"config":{{"username":"reader","hostPort":"db.example.com:3306","databaseSchema":"shop","authType":{{"password":"{secret}"}},"sslConfig":{{"caCertificate":"{secret}-ca","sslKey":"{secret}-key"}}}}}}}}"#
    )
}

fn put_request(host: &str, token: &str, body: &str) -> Vec<u8> {
    format!(
        "PUT /api/v1/services/databaseServices HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn measure_all() {
    let data = tempfile::tempdir().unwrap();
    let server = Process::strongroom(data.path());
    let token = std::fs::read_to_string(data.path().join("admin-token")).unwrap().trim().to_owned();
    once(&server.address, put_request(&server.address, &token, &service("shop", "a-secret-of-some-length"))).await;
    reads(&server, &token).await;
    writes(&server, &token).await;
    drop(server);
    lists().await;
    start().await;
}

async fn reads(server: &Process, token: &str) {
    let path = "/api/v1/services/databaseServices/name/shop";
    let plaintext = Subject::get(&server.address, path, token);
    let masked = Subject::get(&server.address, &format!("{path}?view=masked"), token);
    let size = once(&server.address, (plaintext.request)(0)).await.len();
    let bare = Process::start(Command::new(std::env::current_exe().unwrap()).args(["--bare", &size.to_string()]));
    let yardstick = Subject::get(&bare.address, "/", token);
    println!("GET, {size} bytes, three secrets; ratio to bare axum, median of {ROUNDS} rounds\n");
    println!("| connections | bare axum, requests/s | masked | plaintext, audited |\n|---|---|---|---|");
    for connections in CONNECTIONS {
        let (mut rates, mut masks, mut plain) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let rate = yardstick.rate(connections).await;
            masks.push(masked.rate(connections).await / rate);
            plain.push(plaintext.rate(connections).await / rate);
            rates.push(rate);
        }
        println!("| {connections} | {:.0} | {:.2} | {:.2} |", median(rates), median(masks), median(plain));
    }
}

async fn writes(server: &Process, token: &str) {
    let subject = Subject::put(&server.address, token);
    subject.rate(1).await;
    println!(
        "\nPUT with three new secrets, durable when acknowledged; ratio to one connection, median of {ROUNDS} rounds\n"
    );
    println!("| connections | requests/s | ratio |\n|---|---|---|");
    let mut rates = vec![Vec::new(); CONNECTIONS.len()];
    for _ in 0..ROUNDS {
        for (at, connections) in CONNECTIONS.into_iter().enumerate() {
            rates[at].push(subject.rate(connections).await);
        }
    }
    for (at, connections) in CONNECTIONS.into_iter().enumerate() {
        let ratios = rates[at].iter().zip(&rates[0]).map(|(rate, one)| rate / one).collect();
        println!("| {connections} | {:.0} | {:.2} |", median(rates[at].clone()), median(ratios));
    }
}

/// A server with this many services.
async fn filled(data: &Path, services: u64) -> (Process, String) {
    let server = Process::strongroom(data);
    let token = std::fs::read_to_string(data.join("admin-token")).unwrap().trim().to_owned();
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (address, token, next) = (server.address.clone(), token.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(&address).await.unwrap();
                let mut buffer = vec![0; 64 * 1024];
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= services {
                        break;
                    }
                    let body = service(&format!("service-{number:07}"), "a-secret-of-some-length");
                    stream.write_all(&put_request(&address, &token, &body)).await.unwrap();
                    read_answer(&mut stream, &mut buffer).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    (server, token)
}

async fn lists() {
    let (small_data, large_data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (small, small_token) = filled(small_data.path(), 1_000).await;
    let (large, large_token) = filled(large_data.path(), 100_000).await;
    let path = "/api/v1/services/databaseServices?limit=100&after=c2VydmljZS0wMDAwNTAw";
    let small = (Subject::get(&small.address, path, &small_token), small);
    let large = (Subject::get(&large.address, path, &large_token), large);
    let (mut times, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (of_small, of_large) = (small.0.rate(1).await, large.0.rate(1).await);
        times.push(1000.0 / of_large);
        ratios.push(of_small / of_large);
    }
    println!(
        "\nList of 100 out of 100,000 services: {:.2} ms, {:.2} times the same out of 1,000",
        median(times),
        median(ratios)
    );
}

async fn start() {
    let data = tempfile::tempdir().unwrap();
    drop(filled(data.path(), 10_000).await);
    let (mut times, mut sizes) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let server = Process::strongroom(data.path());
        once(&server.address, b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()).await;
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
        tokio::time::sleep(Duration::from_secs(1)).await;
        sizes.push(server.resident_megabytes());
    }
    println!("\nStart to ready with 10,000 services: {:.0} ms; idle memory: {:.1} MB", median(times), median(sizes));
}
