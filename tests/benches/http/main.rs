//! How fast the server answers, as ratios to a bare axum handler with a body of the same size in the same rounds.
//!
//! `scripts/bench` builds what this needs and runs it. Rounds alternate between the things compared, since the speed
//! of a machine drifts; the median of the rounds' ratios is what counts.
#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a measurement that cannot go on fails; the tests use more of what both share"
)]

#[path = "../../support/database_server.rs"]
mod database_server;
mod installation;
mod load;
#[path = "../../support/mariadb.rs"]
mod mariadb;
#[path = "../../support/postgresql.rs"]
mod postgresql;

use std::process::Command;
use std::time::{Duration, Instant};

use self::installation::{Databases, Engine, Installation, Process};
use self::load::{Subject, fill, once, put_request, service};

/// How many rounds there are.
const ROUNDS: usize = 7;

/// How many connections send requests at once.
const CONNECTIONS: [usize; 3] = [1, 16, 64];

/// How long an idle server is watched.
const IDLE: Duration = Duration::from_secs(20);

const ENGINES: [(&str, Engine); 3] =
    [("sqlite", Engine::Sqlite), ("postgresql", Engine::PostgreSql), ("mariadb", Engine::MariaDb)];

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--bare") {
        return serve_bare(arguments[at + 1].parse().unwrap()).await;
    }
    let is_named = |name: &str| arguments.iter().any(|argument| argument == name);
    let names_none = !ENGINES.iter().any(|(name, _)| is_named(name));
    for (name, engine) in ENGINES.into_iter().filter(|(name, _)| names_none || is_named(name)) {
        println!("\n# {name}\n");
        measure_all(&Databases::start(engine), engine).await;
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

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn measure_all(databases: &Databases, engine: Engine) {
    let mut installation = databases.installation();
    let server = installation.server();
    let token = installation.token();
    once(&server.address, put_request(&server.address, &token, &service("shop", "a-secret-of-some-length"))).await;
    if engine == Engine::Sqlite {
        reads(&server, None, &token).await;
        writes(&server, &token).await;
    } else {
        let uncached = installation.replica(("STRONGROOM_CACHE_MAX_MEGABYTES", "0"));
        reads(&server, Some(&uncached), &token).await;
        drop(uncached);
        writes(&server, &token).await;
        replicas(&mut installation, &server, &token).await;
        idle(databases, &installation).await;
    }
    drop(server);
    lists(databases).await;
    start(databases).await;
}

async fn reads(server: &Process, uncached: Option<&Process>, token: &str) {
    let path = "/api/v1/services/databaseServices/name/shop";
    let masked_path = format!("{path}?view=masked");
    let plaintext = Subject::get(&server.address, path, token);
    let mut subjects = vec![("masked", Subject::get(&server.address, &masked_path, token))];
    subjects.extend(uncached.map(|it| ("masked, without a cache", Subject::get(&it.address, &masked_path, token))));
    let size = plaintext.answer().await.len();
    subjects.push(("plaintext, audited", plaintext));
    let bare = Process::start(Command::new(std::env::current_exe().unwrap()).args(["--bare", &size.to_string()]));
    let yardstick = Subject::get(&bare.address, "/", token);
    println!("GET, {size} bytes, three secrets; ratio to bare axum, median of {ROUNDS} rounds\n");
    let names: Vec<_> = subjects.iter().map(|(name, _)| *name).collect();
    println!("| connections | bare axum, requests/s | {} |", names.join(" | "));
    println!("|---|---|{}", "---|".repeat(subjects.len()));
    for connections in CONNECTIONS {
        let (mut rates, mut ratios) = (Vec::new(), vec![Vec::new(); subjects.len()]);
        for _ in 0..ROUNDS {
            let rate = yardstick.rate(connections).await;
            for (ratios, (_, subject)) in ratios.iter_mut().zip(&subjects) {
                ratios.push(subject.rate(connections).await / rate);
            }
            rates.push(rate);
        }
        let ratios: Vec<_> = ratios.into_iter().map(|ratios| format!("{:.3}", median(ratios))).collect();
        println!("| {connections} | {:.0} | {} |", median(rates), ratios.join(" | "));
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

/// Two servers together against one of them alone, with as many connections in all.
async fn replicas(installation: &mut Installation, server: &Process, token: &str) {
    let other = installation.replica(("LOG_LEVEL", "info"));
    let path = "/api/v1/services/databaseServices/name/shop";
    println!("\nTwo replicas; ratio to one, 16 connections in all, median of {ROUNDS} rounds\n");
    println!("| what | one, requests/s | ratio |\n|---|---|---|");
    for (what, one) in [
        ("masked", Subject::get(&server.address, &format!("{path}?view=masked"), token)),
        ("plaintext, audited", Subject::get(&server.address, path, token)),
        ("PUT", Subject::put(&server.address, token)),
    ] {
        let two = one.and(&other.address);
        let (mut rates, mut ratios) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let rate = one.rate(16).await;
            ratios.push(two.rate(16).await / rate);
            rates.push(rate);
        }
        println!("| {what} | {:.0} | {:.2} |", median(rates), median(ratios));
    }
}

/// What a server asks when nobody asks it.
async fn idle(databases: &Databases, installation: &Installation) {
    // What was done before is told by then.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let before = databases.statements(installation);
    tokio::time::sleep(IDLE).await;
    let statements = databases.statements(installation) - before;
    println!("\nOne idle server: {:.1} queries a second", statements / IDLE.as_secs_f64());
}

/// A server with this many services.
async fn filled(databases: &Databases, services: u64) -> (Installation, Process) {
    let installation = databases.installation();
    let server = installation.server();
    fill(&server.address, &installation.token(), services).await;
    (installation, server)
}

async fn lists(databases: &Databases) {
    let (small, large) = (filled(databases, 1_000).await, filled(databases, 100_000).await);
    let path = "/api/v1/services/databaseServices?limit=100&after=c2VydmljZS0wMDAwNTAw";
    let of =
        |(installation, server): &(Installation, Process)| Subject::get(&server.address, path, &installation.token());
    let (of_small, of_large) = (of(&small), of(&large));
    let (mut times, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (small, large) = (of_small.rate(1).await, of_large.rate(1).await);
        times.push(1000.0 / large);
        ratios.push(small / large);
    }
    println!(
        "\nList of 100 out of 100,000 services: {:.2} ms, {:.2} times the same out of 1,000",
        median(times),
        median(ratios)
    );
}

async fn start(databases: &Databases) {
    let (installation, server) = filled(databases, 10_000).await;
    drop(server);
    let (mut times, mut sizes) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let server = installation.server();
        once(&server.address, b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()).await;
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
        tokio::time::sleep(Duration::from_secs(1)).await;
        sizes.push(server.resident_megabytes());
    }
    println!("\nStart to ready with 10,000 services: {:.0} ms; idle memory: {:.1} MB", median(times), median(sizes));
}
