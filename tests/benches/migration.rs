//! How fast secrets move to AWS: beside what the quota alone needs, and how many calls that takes.
//!
//! Run by `cargo bench --bench migration`: moto behind a proxy with quotas, a server in debug or release as it was built.
#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::cast_precision_loss, reason = "counts are small")]

#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use support::aws_proxy::{AwsProxy, Class};
use support::server::{DATABASES, Server};

/// Quotas in writes a second, and how many services with three secrets each move under them. None: no quota.
const RUNS: [(Option<f64>, usize); 5] =
    [(Some(50.0), 400), (Some(30.0), 240), (Some(10.0), 80), (Some(3.0), 30), (None, 200)];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("quota/s  secrets  replicas  time / quota's time  throttled  writes  batched reads");
    for replicas in [1, 2] {
        for (quota, services) in RUNS {
            runtime.block_on(run(quota, services, replicas));
        }
    }
}

async fn run(quota: Option<f64>, services: usize, replicas: usize) {
    let proxy = AwsProxy::start().await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("aws.yaml");
    let per_second = quota.unwrap_or(1_000.0);
    let parameters = format!("{{endpointUrl: \"{}\", writesPerSecond: \"{per_second}\"}}", proxy.url);
    std::fs::write(&file, format!("secretsManagerConfiguration: {{parameters: {parameters}}}")).unwrap();
    let address = support::postgresql::fresh_database();
    let url = format!("postgres://{}@{}:{}/{}?sslmode=disable", address.user, address.host, address.port, address.name);
    let cluster = format!("c{}", Uuid::new_v4().simple());
    let settings = [
        ("STRONGROOM_CONFIG", file.to_str().unwrap()),
        ("STRONGROOM_DATABASE_URL", &url),
        ("STRONGROOM_DATABASE_PASSWORD", &address.password),
        ("STRONGROOM_KEY_RING", "4xbf0Yy3fEby04O+pEHuSzRkEbrmryF9rMkuhNCJsOs="),
        ("OM_SM_REGION", "eu-west-1"),
        ("OM_SM_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("OM_SM_ACCESS_KEY", "the key of a benchmark"),
        ("OPENMETADATA_CLUSTER_NAME", &cluster),
        ("LOG_LEVEL", "warn"),
    ];
    let start = |kind: &str| {
        let all: Vec<_> = settings.into_iter().chain([("SECRET_MANAGER", kind)]).collect();
        Server::start_in(TempDir::new().unwrap(), &all)
    };
    let mut first = start("db");
    let admin = first.admin();
    for number in 0..services {
        first.put(DATABASES, &admin, &service(number)).expect(201);
    }
    first.terminate();
    if let Some(quota) = quota {
        proxy.limit(Class::Write, quota);
    }
    proxy.reset_counts();
    let servers: Vec<_> = (0..replicas).map(|_| start("managed-aws")).collect();
    while proxy.calls_of("CreateSecret") == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let begun = Instant::now();
    wait(&servers[0], &admin).await;
    let (secrets, took) = (services * 3, begun.elapsed().as_secs_f64());
    let ratio = quota.map_or(f64::NAN, |quota| took / (secrets as f64 / quota));
    let writes = proxy.calls_of("CreateSecret");
    println!(
        "{per_second:7}  {secrets:7}  {replicas:8}  {ratio:19.3}  {:8.1}%  {writes:6}  {:13}  ({:.0}/s)",
        100.0 * proxy.throttled() as f64 / writes as f64,
        proxy.calls_of("BatchGetSecretValue"),
        secrets as f64 / took,
    );
}

async fn wait(server: &Server, admin: &str) {
    loop {
        let progress = server.get("/secretsManager/migration", admin).expect(200);
        if progress["status"] == "done" && progress["finished"] == true {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn service(number: usize) -> Value {
    json!({"name": format!("shop-{number}"), "serviceType": "Mysql", "connection": {"config": {
        "username": "reader", "hostPort": "db:3306", "authType": {"password": format!("password-{number}")},
        "connectionOptions": {"token": format!("token-{number}"), "apiSecret": format!("secret-{number}")}}}})
}
