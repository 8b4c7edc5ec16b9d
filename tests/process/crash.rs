//! Killed in the middle of writing, again and again.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use ureq::http::Request;

use super::{database, within};
use crate::support::server::{DATABASES, Server, mysql};

/// Services that are written to, over and over, each by one thread.
const WRITERS: usize = 6;

/// How often the process is killed; `STRONGROOM_CRASH_ROUNDS` sets another number.
fn rounds() -> usize {
    std::env::var("STRONGROOM_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(15)
}

/// What the server has told its clients so far.
#[derive(Default)]
struct Told {
    /// By service: the last value that was acknowledged, and those that were sent after it without success.
    values: BTreeMap<String, (Option<String>, Vec<String>)>,
    /// Request ids of plaintext answers that arrived.
    reads: Vec<String>,
    /// Services that were deleted for good, with the answer.
    deleted: Vec<String>,
}

/// One attempt, without a retry: an answer, or nothing where the process died.
fn attempt(
    agent: &ureq::Agent,
    server: &(String, String),
    method: &str,
    path: &str,
    body: &str,
) -> Option<(u16, String)> {
    let (base, token) = server;
    let request = Request::builder().method(method).uri(format!("{base}/api/v1{path}"));
    let request = request.header("authorization", format!("Bearer {token}")).header("content-type", "application/json");
    let mut answer = agent.run(request.body(body).unwrap()).ok()?;
    let status = answer.status().as_u16();
    let id = answer.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    // An answer counts when it has arrived as a whole.
    answer.body_mut().read_to_string().ok()?;
    Some((status, id))
}

fn write_until_killed(server: &(String, String), writer: usize, round: usize, stop: &AtomicBool, told: &Mutex<Told>) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(5)));
    let agent: ureq::Agent = config.build().into();
    let name = format!("service-{writer}");
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        let value = format!("value-{writer}-{round}-{count}-{}", "x".repeat(count % 7 * 50));
        told.lock().unwrap().values.entry(name.clone()).or_default().1.push(value.clone());
        let put = attempt(&agent, server, "PUT", DATABASES, &mysql(&name, &value).to_string());
        let Some((200 | 201, _)) = put else { continue };
        told.lock().unwrap().values.insert(name.clone(), (Some(value), Vec::new()));
        if let Some((200, id)) = attempt(&agent, server, "GET", &format!("{DATABASES}/name/{name}"), "") {
            told.lock().unwrap().reads.push(id);
        }
        let passing = format!("passing-{writer}-{round}-{count}");
        attempt(&agent, server, "PUT", DATABASES, &mysql(&passing, "gone").to_string());
        let delete = format!("{DATABASES}/name/{passing}?hardDelete=true");
        if let Some((200, _)) = attempt(&agent, server, "DELETE", &delete, "") {
            told.lock().unwrap().deleted.push(passing);
        }
    }
}

#[test]
fn every_acknowledged_write_and_audited_read_outlives_kill_9() {
    let mut server = Server::start_with(&[("LOG_LEVEL", "warn")]);
    let told = Mutex::new(Told::default());
    for round in 0..rounds() {
        let stop = AtomicBool::new(false);
        let reached = (server.base.clone(), server.admin());
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (reached, stop, told) = (&reached, &stop, &told);
                scope.spawn(move || write_until_killed(reached, writer, round, stop, told));
            }
            let answers = 10 + round * 7 % 30;
            within(Duration::from_secs(20), "enough answers", || told.lock().unwrap().reads.len() >= answers);
            server.kill();
            stop.store(true, Ordering::Relaxed);
        });
        server.start_again();
        check(&server, &mut told.lock().unwrap(), round);
    }
}

fn check(server: &Server, told: &mut Told, round: usize) {
    for (name, (acknowledged, unanswered)) in &mut told.values {
        let answer = server.get(&format!("{DATABASES}/name/{name}"), &server.admin());
        if acknowledged.is_none() && answer.status == 404 {
            continue;
        }
        let found = answer.expect(200)["connection"]["config"]["authType"]["password"].as_str().unwrap().to_owned();
        let is_known = Some(&found) == acknowledged.as_ref() || unanswered.contains(&found);
        assert!(
            is_known,
            "round {round}: {name} has {found}; {acknowledged:?} was acknowledged, then {unanswered:?} sent"
        );
        (*acknowledged, *unanswered) = (Some(found), Vec::new());
    }
    let connection = database(server);
    let audited = "SELECT count(*) FROM audit_entries WHERE request_id = ?1 AND action = 'read'";
    for id in &told.reads {
        let entries: i64 = connection.query_row(audited, [id], |row| row.get(0)).unwrap();
        assert_eq!(entries, 1, "round {round}: the answer {id} arrived and has no audit entry");
    }
    for name in &told.deleted {
        assert_eq!(
            server.get(&format!("{DATABASES}/name/{name}"), &server.admin()).status,
            404,
            "round {round}: {name}"
        );
    }
    nothing_dangles(server, &connection, round);
    told.reads.clear();
    told.deleted.clear();
}

fn nothing_dangles(server: &Server, connection: &rusqlite::Connection, round: usize) {
    let health = server.get("/secretsManager/health", &server.admin()).expect(200);
    assert_eq!((&health["status"], &health["unreadable"]), (&"ok".into(), &Value::Array(Vec::new())), "round {round}");
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let orphans =
        "SELECT count(*) FROM ciphertexts WHERE owner_kind = 'service' AND owner_id NOT IN (SELECT id FROM services)";
    assert_eq!(count(orphans), 0, "round {round}: ciphertexts without a service");
    assert_eq!(count("SELECT count(*) FROM ciphertexts"), count("SELECT count(*) FROM services"), "round {round}");
    let totals = "SELECT sum(services) FROM service_totals";
    assert_eq!(count(totals), count("SELECT count(*) FROM services"), "round {round}: the totals are wrong");
    let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok", "round {round}");
}
