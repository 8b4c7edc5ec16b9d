//! Requests over kept connections, as fast as answers come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long one measurement of one thing takes.
const SLICE: Duration = Duration::from_millis(1500);

/// Makes the n-th request of a run.
type Request = Arc<dyn Fn(u64) -> Vec<u8> + Send + Sync>;

/// Something whose speed is measured.
#[derive(Clone)]
pub(crate) struct Subject {
    /// Where connections go, in turn.
    addresses: Vec<String>,
    request: Request,
}

impl Subject {
    pub(crate) fn get(address: &str, path: &str, token: &str) -> Self {
        let text =
            format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n").into_bytes();
        Self { addresses: vec![address.to_owned()], request: Arc::new(move |_| text.clone()) }
    }

    pub(crate) fn put(address: &str, token: &str) -> Self {
        let (host, token) = (address.to_owned(), token.to_owned());
        let request = move |number: u64| {
            let body = service(&format!("put-{}", number % 512), &format!("value-{number}"));
            put_request(&host, &token, &body)
        };
        Self { addresses: vec![address.to_owned()], request: Arc::new(request) }
    }

    /// The same over two servers.
    pub(crate) fn and(&self, address: &str) -> Self {
        Self { addresses: [self.addresses.clone(), vec![address.to_owned()]].concat(), ..self.clone() }
    }

    /// Requests a second over this many connections.
    pub(crate) async fn rate(&self, connections: usize) -> f64 {
        let done = Arc::new(AtomicU64::new(0));
        let numbers = Arc::new(AtomicU64::new(0));
        let end = Instant::now() + SLICE;
        let tasks: Vec<_> = (0..connections)
            .map(|number| {
                let address = self.addresses[number % self.addresses.len()].clone();
                let request = Arc::clone(&self.request);
                tokio::spawn(keep_asking(address, request, end, Arc::clone(&numbers), Arc::clone(&done)))
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        done.load(Ordering::Relaxed) as f64 / SLICE.as_secs_f64()
    }

    /// The body of one answer.
    pub(crate) async fn answer(&self) -> Vec<u8> {
        once(&self.addresses[0], (self.request)(0)).await
    }
}

async fn keep_asking(address: String, request: Request, end: Instant, numbers: Arc<AtomicU64>, done: Arc<AtomicU64>) {
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 256 * 1024];
    while Instant::now() < end {
        let request = request(numbers.fetch_add(1, Ordering::Relaxed));
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

/// Sends one request; gives the body of the answer.
pub(crate) async fn once(address: &str, request: Vec<u8>) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&request).await.unwrap();
    read_answer(&mut stream, &mut vec![0; 4 << 20]).await
}

/// Creates services, as many as this, over 64 connections.
pub(crate) async fn fill(address: &str, token: &str, services: u64) {
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (address, token, next) = (address.to_owned(), token.to_owned(), Arc::clone(&next));
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
}

/// A service with three secrets; its plaintext answer has about 1.5 KB.
pub(crate) fn service(name: &str, secret: &str) -> String {
    format!(
        r#"{{"name":"{name}","serviceType":"Mysql","description":"A shop's database, read by the nightly ingestion.","connection":{{"config":{{"username":"reader","hostPort":"db.example.com:3306","databaseSchema":"shop","authType":{{"password":"{secret}"}},"sslConfig":{{"caCertificate":"{secret}-ca","sslKey":"{secret}-key"}}}}}}}}"#
    )
}

pub(crate) fn put_request(host: &str, token: &str, body: &str) -> Vec<u8> {
    format!(
        "PUT /api/v1/services/databaseServices HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
