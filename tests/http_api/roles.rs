//! Every route with every role.

use serde_json::{Value, json};

use crate::support::server::{DATABASES, Server, mysql};

/// A method and path, a body, and the status for an admin, a worker, a user and a bot without a role. `{id}` and
/// `{name}` are those of a service made for the call, `{new}` is a name that is free, `{gone}` is the id of a service
/// that was soft-deleted.
type Row = (&'static str, &'static str, fn() -> Value, [u16; 4]);

/// Every route under `/api`, with what each role gets.
pub(super) const ROUTES: &[Row] = &[
    ("GET", "/openapi.json", nothing, [200; 4]),
    ("GET", "/system/version", nothing, [200; 4]),
    ("GET", "/users/loggedInUser", nothing, [200; 4]),
    ("PUT", "/tables/bulk", nothing, [200; 4]),
    ("DELETE", "/tables/deleteStale", nothing, [200; 4]),
    ("GET", "/connectionTypes", nothing, [200; 4]),
    ("GET", "/connectionTypes/database", nothing, [200; 4]),
    ("GET", "/connectionTypes/database/Mysql", nothing, [200; 4]),
    ("GET", "/services/testConnectionDefinitions/name/Mysql.testConnectionDefinition", nothing, [200; 4]),
    ("GET", "/services/databaseServices", nothing, [200; 4]),
    ("POST", "/services/databaseServices", new_service, [201, 201, 403, 403]),
    ("PUT", "/services/databaseServices", new_service, [201, 201, 403, 403]),
    ("PUT", "/services/databaseServices", same_service, [200, 200, 403, 403]),
    ("GET", "/services/databaseServices/{id}", nothing, [200; 4]),
    ("GET", "/services/databaseServices/name/{name}", nothing, [200; 4]),
    ("PATCH", "/services/databaseServices/{id}", description, [200, 403, 403, 403]),
    ("PATCH", "/services/databaseServices/name/{name}", description, [200, 403, 403, 403]),
    ("DELETE", "/services/databaseServices/{id}", nothing, [200, 403, 403, 403]),
    ("DELETE", "/services/databaseServices/{id}?hardDelete=true", nothing, [200, 403, 403, 403]),
    ("DELETE", "/services/databaseServices/name/{name}", nothing, [200, 403, 403, 403]),
    ("DELETE", "/services/databaseServices/async/{id}", nothing, [202, 403, 403, 403]),
    ("DELETE", "/services/databaseServices/async/name/{name}", nothing, [202, 403, 403, 403]),
    ("PUT", "/services/databaseServices/restore", deleted_service, [200, 403, 403, 403]),
    ("GET", "/services/databaseServices/{id}/versions", nothing, [200; 4]),
    ("GET", "/services/databaseServices/{id}/versions/0.1", nothing, [200; 4]),
    ("PUT", "/services/databaseServices/{id}/testConnectionResult", test_result, [200, 200, 403, 403]),
    ("GET", "/audit", nothing, [200, 403, 403, 403]),
    ("GET", "/tokens", nothing, [200, 403, 403, 403]),
    ("DELETE", "/tokens/00000000-0000-4000-8000-000000000000", nothing, [404, 403, 403, 403]),
    ("GET", "/secretsManager/health", nothing, [200, 403, 403, 403]),
    ("GET", "/secretsManager/migration", nothing, [200, 403, 403, 403]),
];

fn nothing() -> Value {
    Value::Null
}

fn new_service() -> Value {
    mysql("{new}", "canary")
}

fn same_service() -> Value {
    mysql("{name}", "canary")
}

fn deleted_service() -> Value {
    json!({"id": "{gone}"})
}

fn description() -> Value {
    json!([{"op": "add", "path": "/description", "value": "changed"}])
}

fn test_result() -> Value {
    json!({"status": "Successful", "steps": [{"name": "CheckAccess", "mandatory": true, "passed": true}]})
}

/// Makes the services that a row speaks of, and puts their names in.
fn prepared(server: &Server, number: usize, path: &str, body: &Value) -> (String, Option<Value>) {
    let admin = server.admin();
    let name = format!("shop{number}");
    let id = server.put(DATABASES, &admin, &mysql(&name, "canary")).expect(201)["id"].clone();
    let mut gone = Value::Null;
    if body.to_string().contains("{gone}") {
        gone = server.put(DATABASES, &admin, &mysql(&format!("gone{number}"), "canary")).expect(201)["id"].clone();
        server.delete(&format!("{DATABASES}/{}", gone.as_str().unwrap()), &admin).expect(200);
    }
    let fill = |text: &str| {
        let text = text.replace("{id}", id.as_str().unwrap()).replace("{gone}", gone.as_str().unwrap_or_default());
        text.replace("{name}", &name).replace("{new}", &format!("new{number}"))
    };
    let body = (!body.is_null()).then(|| serde_json::from_str(&fill(&body.to_string())).unwrap());
    (fill(path), body)
}

#[test]
fn every_route_answers_each_role_as_the_table_says() {
    let server = Server::start();
    let callers = [server.admin(), server.bot("worker", "worker"), server.user("ada"), server.bot("profiler", "none")];
    let mut number = 0;
    for (method, path, body, statuses) in ROUTES {
        for (caller, status) in callers.iter().zip(statuses) {
            number += 1;
            let (path, body) = prepared(&server, number, path, &body());

            let answer = server.call(method, &path, caller, body.as_ref());

            assert_eq!(answer.status, *status, "{method} {path}: {}", answer.text);
            let is_admin = *caller == callers[0];
            assert!(is_admin || !answer.text.contains("reader"), "{method} {path}: {}", answer.text);
            assert!(!answer.text.contains("canary") || (is_admin && *method == "GET"), "{method} {path}");
            if *status == 403 {
                assert_eq!(answer.json()["code"], 403);
                assert_eq!(answer.json()["errorType"], "forbidden");
            }
        }
    }
}

#[test]
fn a_refused_write_leaves_the_service_as_it_was() {
    let server = Server::start();
    let admin = server.admin();
    let id = server.put(DATABASES, &admin, &mysql("shop", "canary")).expect(201)["id"].clone();
    let path = format!("{DATABASES}/{}", id.as_str().unwrap());
    let before = server.get(&path, &admin).expect(200);
    for caller in [server.bot("worker", "worker"), server.user("ada"), server.bot("profiler", "none")] {
        server.patch(&path, &caller, &description()).expect(403);
        server.delete(&path, &caller).expect(403);
        server.delete(&format!("{path}?hardDelete=true"), &caller).expect(403);
        server.put(&format!("{DATABASES}/restore"), &caller, &json!({"id": id})).expect(403);

        assert_eq!(server.get(&path, &admin).expect(200), before);
    }
}

/// Ways to be nobody: the value of `Authorization`, or none.
fn nobodies(server: &Server) -> Vec<(&'static str, Option<String>)> {
    let live = server.admin();
    let revoked = server.user("revoked");
    let list: Value = serde_json::from_str(&server.run(&["token", "list", "--output", "json"])).unwrap();
    let id = list.as_array().unwrap().iter().find(|token| token["owner"] == "revoked").unwrap()["id"].clone();
    server.run(&["token", "revoke", id.as_str().unwrap()]);
    let disabled = server.user("disabled");
    server.run(&["user", "disable", "disabled"]);
    server.run(&["bot", "create", "expired", "--role", "worker"]);
    let expired = server.run(&["token", "create", "expired", "--expires", "1s"]).trim().to_owned();
    let mut unknown = live.clone();
    let first = if unknown.as_bytes()[15] == b'A' { "B" } else { "A" };
    unknown.replace_range(15..16, first);
    wait_until_refused(server, &expired);
    vec![
        ("no header", None),
        ("an empty header", Some(String::new())),
        ("no token", Some("Bearer ".to_owned())),
        ("garbage", Some("Bearer garbage".to_owned())),
        ("a token of our form that was never made", Some(format!("Bearer {unknown}"))),
        ("a token cut short", Some(format!("Bearer {}", &live[..live.len() - 1]))),
        ("a token in the other case", Some(format!("Bearer {}", live.to_uppercase()))),
        ("a token under another scheme", Some(format!("Basic {live}"))),
        ("a token without a scheme", Some(live)),
        ("a revoked token", Some(format!("Bearer {revoked}"))),
        ("a token of a disabled user", Some(format!("Bearer {disabled}"))),
        ("an expired token", Some(format!("Bearer {expired}"))),
    ]
}

fn wait_until_refused(server: &Server, token: &str) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while server.get("/system/version", token).status == 200 {
        assert!(std::time::Instant::now() < deadline, "the token does not end");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn whoever_has_no_valid_token_gets_the_same_answer_for_every_reason() {
    let server = Server::start();
    let mut bodies = Vec::new();
    for (reason, header) in nobodies(&server) {
        let headers: Vec<_> = header.iter().map(|value| ("authorization", value.as_str())).collect();

        let answer = server.send("GET", "/system/version", &headers, b"");

        let mut body = answer.expect(401);
        assert_eq!(body["code"], 401);
        assert_eq!(
            body.as_object_mut().unwrap().remove("requestId").unwrap(),
            answer.header("x-request-id"),
            "{reason}"
        );
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{reason}");
        bodies.push((body, answer.header("content-type").to_owned()));
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

#[test]
fn every_route_refuses_anonymous_garbage_and_revoked_tokens_before_it_looks_at_anything_else() {
    let server = Server::start();
    let revoked = server.user("revoked");
    let tokens = server.get("/tokens", &server.admin()).expect(200);
    let token = tokens["data"].as_array().unwrap().iter().find(|token| token["owner"] == "revoked").unwrap();
    server.delete(&format!("/tokens/{}", token["id"].as_str().unwrap()), &server.admin()).expect(204);
    let unknown: &[Row] = &[("GET", "/nothing", nothing, [404; 4]), ("PUT", "/audit", nothing, [405; 4])];
    for (method, path, body, _) in ROUTES.iter().chain(unknown) {
        for token in ["", "garbage", revoked.as_str()] {
            let answer = server.call(method, path, token, Some(&body()));

            assert_eq!(answer.status, 401, "{method} {path} as {token:?}: {}", answer.text);
        }
    }
}

#[test]
fn health_needs_no_token_and_says_nothing() {
    let server = Server::start();
    for path in ["/healthz", "/readyz"] {
        let answer = server.send("GET", path, &[], b"");

        assert_eq!(answer.expect(200), json!({"status": "ok"}), "{path}");
    }
}
