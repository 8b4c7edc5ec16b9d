//! The move of all secrets to AWS at the start of a server: each once and none lost, whatever happens on the way.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::aws_proxy::{AwsProxy, Class, Fault};
use crate::support::database_server::DatabaseAddress;
use crate::support::server::{DATABASES, Server, mysql};
use crate::support::{mariadb, postgresql};

/// Services with a secret each.
const SERVICES: usize = 24;

/// How long a move may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// An installation whose secrets are in its database, and an AWS that they can move to.
struct Installation {
    proxy: AwsProxy,
    database: Vec<(String, String)>,
    aws: Vec<(String, String)>,
    // Holds the configuration file.
    #[allow(dead_code)]
    folder: TempDir,
    admin: String,
}

impl Installation {
    /// On the embedded database, or on a server.
    async fn with_services(database: Option<(&str, DatabaseAddress)>, count: usize) -> (Self, Server) {
        let proxy = AwsProxy::start().await;
        let database = database.map_or_else(Vec::new, |(scheme, address)| {
            let DatabaseAddress { host, port, name, user, password } = address;
            let url = format!("{scheme}://{user}@{host}:{port}/{name}?sslmode=disable");
            [("STRONGROOM_DATABASE_URL", url), ("STRONGROOM_DATABASE_PASSWORD", password)]
                .map(|(name, value)| (name.to_owned(), value))
                .to_vec()
        });
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("aws.yaml");
        let parameters = format!("{{endpointUrl: \"{}\", writesPerSecond: 1000}}", proxy.url);
        std::fs::write(&file, format!("secretsManagerConfiguration: {{parameters: {parameters}}}")).unwrap();
        let cluster = format!("c{}", Uuid::new_v4().simple());
        let aws = [
            ("STRONGROOM_CONFIG", file.display().to_string()),
            ("SECRET_MANAGER", "managed-aws".to_owned()),
            ("OM_SM_REGION", "eu-west-1".to_owned()),
            ("OM_SM_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE".to_owned()),
            ("OM_SM_ACCESS_KEY", "the key of a test".to_owned()),
            ("OPENMETADATA_CLUSTER_NAME", cluster),
            ("LOG_LEVEL", "info".to_owned()),
        ];
        let aws = aws.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let mut this = Self { proxy, database, aws, folder, admin: String::new() };
        let server = this.server(&[("SECRET_MANAGER", "db")]);
        this.admin = server.admin();
        for number in 0..count {
            server.put(DATABASES, &this.admin, &mysql(&name(number), &password(number))).expect(201);
        }
        (this, server)
    }

    /// Another server of it, with these settings instead.
    fn server(&self, settings: &[(&str, &str)]) -> Server {
        let all = self.database.iter().chain(&self.aws).map(|(name, value)| (name.as_str(), value.as_str()));
        let key = ("STRONGROOM_KEY_RING", KEY);
        let all: Vec<_> = all.chain([key]).chain(settings.iter().copied()).collect();
        Server::start_in(TempDir::new().unwrap(), &all)
    }

    fn progress(&self, server: &Server) -> Value {
        server.get("/secretsManager/migration", &self.admin).expect(200)
    }

    /// Waits until all is moved, or set aside.
    fn wait(&self, server: &Server) -> Value {
        let begun = Instant::now();
        loop {
            let progress = self.progress(server);
            if progress["status"] == "done" && progress["finished"] == true {
                return progress;
            }
            assert!(begun.elapsed() < PATIENCE, "{progress}\n{}", server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Every service reads back, and each secret has one version in AWS.
    fn all_is_there_once(&self, server: &Server) {
        for number in 0..SERVICES {
            assert_eq!(self.password_of(server, &name(number)), password(number));
        }
        let verified = server.command(&["secrets", "verify", "--output", "json"]);
        let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
        assert_eq!((&report["differences"], &report["leftOver"]), (&json!([]), &json!([])), "{report}");
    }

    fn password_of(&self, server: &Server, name: &str) -> String {
        let entity = server.get(&format!("{DATABASES}/name/{name}"), &self.admin).expect(200);
        entity["connection"]["config"]["authType"]["password"].as_str().unwrap().to_owned()
    }
}

/// A key ring of one key, made for tests.
const KEY: &str = "4xbf0Yy3fEby04O+pEHuSzRkEbrmryF9rMkuhNCJsOs=";

fn name(number: usize) -> String {
    format!("shop-{number}")
}

fn password(number: usize) -> String {
    format!("canary-{number}-of-the-move")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_secret_is_created_once_read_back_in_batches_and_erased_here() {
    let (installation, mut server) = Installation::with_services(None, SERVICES).await;

    server.restart_with(&[("SECRET_MANAGER", "managed-aws")]);
    let progress = installation.wait(&server);

    assert_eq!(
        (&progress["moved"], &progress["left"], &progress["setAside"]),
        (&json!(SERVICES), &json!(0), &json!(0))
    );
    let proxy = &installation.proxy;
    assert_eq!(proxy.calls_of("CreateSecret"), SERVICES);
    assert!(proxy.calls_of("BatchGetSecretValue") <= 2, "{}", proxy.calls_of("BatchGetSecretValue"));
    assert_eq!(proxy.calls_of("GetSecretValue") + proxy.calls_of("PutSecretValue"), 0);
    installation.all_is_there_once(&server);
    let rows: i64 = rusqlite::Connection::open(server.data().join("strongroom.db"))
        .unwrap()
        .query_row("SELECT count(*) FROM ciphertexts", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 0);
    // Nothing moves twice.
    let calls = proxy.calls_of("CreateSecret");
    server.restart_with(&[]);
    installation.all_is_there_once(&server);
    assert_eq!(proxy.calls_of("CreateSecret"), calls);
}

/// Kills the server at many writes, until nothing is left to move.
fn killed_again_and_again(installation: &Installation, mut server: Server) {
    let proxy = &installation.proxy;
    proxy.slow_down(Duration::from_millis(15));
    server.terminate();
    let mut server = installation.server(&[]);
    // Each time the lease has to end first.
    for stop in [2, 13] {
        let begun = Instant::now();
        while proxy.calls_of("CreateSecret") < stop && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        server.kill();
        server.start_again();
    }
    proxy.slow_down(Duration::ZERO);

    installation.wait(&server);

    installation.all_is_there_once(&server);
    // One that was being made when the server died is asked for once more, and no second version comes of it.
    assert!(proxy.calls_of("CreateSecret") <= 6 * SERVICES);
    assert_eq!(proxy.calls_of("PutSecretValue"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_killed_goes_on_where_it_stopped_on_postgresql() {
    let database = Some(("postgres", postgresql::fresh_database()));
    let (installation, server) = Installation::with_services(database, SERVICES).await;

    killed_again_and_again(&installation, server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_killed_goes_on_where_it_stopped_on_mariadb() {
    let (installation, server) =
        Installation::with_services(Some(("mysql", mariadb::fresh_database())), SERVICES).await;

    killed_again_and_again(&installation, server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_killed_goes_on_where_it_stopped_on_sqlite() {
    let (installation, mut server) = Installation::with_services(None, SERVICES).await;
    let proxy = &installation.proxy;
    proxy.slow_down(Duration::from_millis(15));
    server.restart_with(&[("SECRET_MANAGER", "managed-aws")]);
    for stop in [1, 2, 7, 13, 19, SERVICES] {
        let begun = Instant::now();
        while proxy.calls_of("CreateSecret") < stop && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        server.kill_and_restart();
    }
    proxy.slow_down(Duration::ZERO);

    installation.wait(&server);

    installation.all_is_there_once(&server);
    assert_eq!(proxy.calls_of("PutSecretValue"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn throttles_faults_and_lost_answers_lose_no_secret_and_double_none() {
    let (installation, mut server) = Installation::with_services(None, SERVICES).await;
    let proxy = &installation.proxy;
    proxy.limit(Class::Write, 20.0);
    for fault in [Fault::CutAfter, Fault::Status(500), Fault::CutBefore, Fault::Status(503), Fault::CutAfter] {
        proxy.inject(Some("CreateSecret"), fault);
    }

    server.restart_with(&[("SECRET_MANAGER", "managed-aws")]);
    installation.wait(&server);

    installation.all_is_there_once(&server);
    assert_eq!(proxy.calls_of("PutSecretValue"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_move_once_between_them_and_another_goes_on_where_the_leader_is_killed() {
    let database = Some(("postgres", postgresql::fresh_database()));
    let (installation, mut old) = Installation::with_services(database, SERVICES).await;
    let proxy = &installation.proxy;
    proxy.slow_down(Duration::from_millis(40));
    let mut replicas = [installation.server(&[]), installation.server(&[])];

    let begun = Instant::now();
    while proxy.calls_of("CreateSecret") < 5 && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(1));
    }
    // The one that is configured otherwise neither reads nor writes secrets any more.
    std::thread::sleep(Duration::from_secs(1));
    let refused = old.get(&format!("{DATABASES}/name/{}", name(0)), &installation.admin);
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{}", refused.text);
    assert_eq!(old.put(DATABASES, &installation.admin, &mysql("late", "late")).status, 503);
    let leader = replicas.iter().position(|it| it.log().contains("moving secrets")).unwrap_or(0);
    replicas[leader].kill();
    old.terminate();
    proxy.slow_down(Duration::ZERO);

    let survivor = &replicas[1 - leader];
    installation.wait(survivor);

    installation.all_is_there_once(survivor);
    assert_eq!(proxy.calls_of("PutSecretValue"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_admin_writes_meanwhile_wins() {
    let (installation, mut server) = Installation::with_services(None, SERVICES).await;
    installation.proxy.slow_down(Duration::from_millis(150));
    server.restart_with(&[("SECRET_MANAGER", "managed-aws")]);

    for number in 0..SERVICES {
        let body = mysql(&name(number), &format!("edited-{number}"));
        server.put(DATABASES, &installation.admin, &body).expect(200);
    }
    installation.proxy.slow_down(Duration::ZERO);
    installation.wait(&server);

    for number in 0..SERVICES {
        assert_eq!(installation.password_of(&server, &name(number)), format!("edited-{number}"));
    }
    server.run(&["secrets", "gc"]);
    server.run(&["secrets", "verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_the_store_cannot_hold_is_set_aside_and_the_rest_moves() {
    let (installation, mut server) = Installation::with_services(None, 3).await;
    let long = "x".repeat(8_193);
    server.put(DATABASES, &installation.admin, &mysql("long", &long)).expect(201);

    server.restart_with(&[("SECRET_MANAGER", "managed-aws-ssm")]);
    let progress = installation.wait(&server);

    assert_eq!((&progress["moved"], &progress["setAside"]), (&json!(3), &json!(1)), "{progress}");
    assert_eq!(progress["reasons"][0]["service"], "long");
    assert_eq!(installation.password_of(&server, "long"), long);
    let ready = server.send("GET", "/readyz", &[], b"").expect(200);
    assert_eq!(ready["status"], "degraded", "{ready}");
    let refused = server.put(DATABASES, &installation.admin, &mysql("longer", &long));
    assert!(refused.expect(400).to_string().contains("8192"), "{}", refused.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_moves_back_but_by_the_command_that_says_so() {
    let (installation, mut server) = Installation::with_services(None, 3).await;
    server.restart_with(&[("SECRET_MANAGER", "managed-aws")]);
    installation.wait(&server);
    server.terminate();

    let refused = installation.in_the_same_place(&server, &["serve", "--port", "0"]);
    assert!(refused.contains("strongroom secrets move --to db --yes"), "{refused}");
    let unconfirmed = installation.in_the_same_place(&server, &["secrets", "move", "--to", "db"]);
    assert!(unconfirmed.contains("add --yes"), "{unconfirmed}");
    installation.in_the_same_place(&server, &["secrets", "move", "--to", "db", "--yes"]);
    server.restart_with(&[("SECRET_MANAGER", "db")]);

    let read: BTreeSet<_> = (0..3).map(|number| installation.password_of(&server, &name(number))).collect();
    assert_eq!(read, (0..3).map(password).collect());
}

impl Installation {
    /// What a command says, on the data directory of a server that has ended and with `db` configured.
    fn in_the_same_place(&self, server: &Server, arguments: &[&str]) -> String {
        let mut settings = self.aws.clone();
        settings.push(("STRONGROOM_KEY_RING".to_owned(), KEY.to_owned()));
        settings.push(("SECRET_MANAGER".to_owned(), "db".to_owned()));
        let output = crate::support::server::command(server.directory.path(), &settings).args(arguments).output();
        let output = output.unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }
}
