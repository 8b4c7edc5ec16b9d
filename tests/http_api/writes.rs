//! Writes at the same time, what the audit says of them, and what some families take besides.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{CANARY, audit_of, faulty_paths};
use crate::support::server::{DATABASES, Server, mysql};

#[test]
fn every_write_is_audited_with_who_did_what_to_which_secrets() {
    let server = Server::start();
    let (admin, worker) = (server.admin(), server.bot("ingestion", "worker"));
    let created = server.put(DATABASES, &worker, &mysql("shop", "canary")).expect(201);
    let path = format!("{DATABASES}/{}", created["id"].as_str().unwrap());
    let result = json!({"status": "Successful", "steps": []});
    server.put(&format!("{path}/testConnectionResult"), &worker, &result).expect(200);
    server.put(DATABASES, &admin, &mysql("shop", "another")).expect(200);
    server.put(DATABASES, &admin, &mysql("shop", "another")).expect(200);
    server.patch(&path, &admin, &json!([{"op": "add", "path": "/description", "value": "x"}])).expect(200);
    server.delete(&path, &admin).expect(200);
    server.put(&format!("{DATABASES}/restore"), &admin, &json!({"id": created["id"]})).expect(200);
    server.delete(&format!("{path}?hardDelete=true"), &admin).expect(200);

    let entries = audit_of(&server, "shop");

    let password = json!(["/config/authType/password"]);
    let expected = [
        ("hardDelete", "admin", password.clone()),
        ("restore", "admin", json!([])),
        ("softDelete", "admin", json!([])),
        ("update", "admin", json!([])),
        ("update", "admin", password.clone()),
        ("testResult", "ingestion", json!([])),
        ("create", "ingestion", password),
    ];
    let found: Vec<_> =
        entries.iter().map(|entry| (&entry["action"], &entry["actor"], &entry["secretPaths"])).collect();
    let expected: Vec<_> = expected.iter().map(|(action, actor, paths)| (json!(action), json!(actor), paths)).collect();
    assert_eq!(found, expected.iter().map(|(action, actor, paths)| (action, actor, *paths)).collect::<Vec<_>>());
    assert!(entries.iter().all(|entry| entry["subjectId"] == created["id"] && entry["requestId"] != ""));
    assert!(!Value::from(entries).to_string().contains("canary"));
}

#[test]
fn a_refused_request_leaves_no_entry_of_a_change() {
    let server = Server::start();
    let admin = server.admin();
    server.put(DATABASES, &admin, &mysql("shop", "canary")).expect(201);
    let before = audit_of(&server, "shop").len();

    server.put(DATABASES, &admin, &json!({"name": "shop", "serviceType": "Postgres"})).expect(400);
    server.delete(&format!("{DATABASES}/name/shop"), &server.user("ada")).expect(403);
    server.post(DATABASES, &admin, &mysql("shop", "canary")).expect(409);

    assert_eq!(audit_of(&server, "shop").len(), before);
}

#[test]
fn patches_at_the_same_time_all_take_effect() {
    let server = Server::start();
    let admin = server.admin();
    let mut body = mysql("shop", "canary");
    body["connection"]["config"]["connectionArguments"] = json!({"password": "canary-2"});
    server.put(DATABASES, &admin, &body).expect(201);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (server, admin) = (&server, &admin);
            scope.spawn(move || {
                let path = format!("/connection/config/connectionArguments/token{number}");
                let operation = json!([{"op": "add", "path": path, "value": format!("value {number}")}]);
                server.patch(&format!("{DATABASES}/name/shop"), admin, &operation).expect(200);
            });
        }
    });

    let service = server.get(&format!("{DATABASES}/name/shop"), &admin).expect(200);

    let arguments = &service["connection"]["config"]["connectionArguments"];
    for number in 0..4 {
        assert_eq!(arguments[format!("token{number}")], format!("value {number}"));
    }
    assert_eq!((&arguments["password"], &service["version"]), (&"canary-2".into(), &json!(0.5)));
}

#[test]
fn of_creates_at_the_same_time_one_wins_and_all_see_the_same_service() {
    let server = Server::start();
    let admin = server.admin();
    let outcomes: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let (server, admin) = (&server, &admin);
        let put = |number: usize| {
            move || {
                let method = if number.is_multiple_of(2) { "PUT" } else { "POST" };
                let answer = server.call(method, DATABASES, admin, Some(&mysql("shop", &format!("value {number}"))));
                (answer.status, answer.json()["id"].clone())
            }
        };
        let running: Vec<_> = (0..8).map(|number| scope.spawn(put(number))).collect();
        running.into_iter().map(|it| it.join().unwrap()).collect()
    });

    assert_eq!(outcomes.iter().filter(|(status, _)| *status == 201).count(), 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|(status, _)| [200, 201, 409].contains(status)), "{outcomes:?}");
    let ids: BTreeSet<_> = outcomes.iter().filter_map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(server.get(DATABASES, &admin).expect(200)["paging"]["total"], 1);
}

#[test]
fn pipelines_take_what_their_clients_send_and_others_do_not() {
    let server = Server::start();
    let admin = server.admin();
    let extra = json!({"scheduleInterval": "0 0 * * *", "lifeCycle": {"created": {"timestamp": 1}}});
    let mut pipeline = json!({"name": "flow", "serviceType": "Dagster"});
    pipeline.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let mut database = mysql("shop", "canary");
    database.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());

    let created = server.post("/services/pipelineServices", &admin, &pipeline).expect(201);

    assert!(created.get("scheduleInterval").is_none() && created.get("lifeCycle").is_none(), "{created}");
    assert_eq!(faulty_paths(&server.post(DATABASES, &admin, &database)), ["scheduleInterval", "lifeCycle"]);
    let styled = json!({"name": "api", "serviceType": "Rest", "style": {"color": "#fff"}});
    assert_eq!(faulty_paths(&server.post("/services/apiServices", &admin, &styled)), ["style"]);
}

#[test]
fn an_operator_can_add_words_that_mark_a_secret() {
    let server = Server::start_with(&[("STRONGROOM_SECRET_FIELD_NAMES", "sessionNr,keyspace")]);
    let mut body = mysql("shop", "x");
    body["connection"]["config"]["connectionArguments"] =
        json!({"my_session-nr": CANARY, "keyspace": CANARY, "port": 1});

    let created = server.put(DATABASES, &server.admin(), &body);

    let arguments = &created.expect(201)["connection"]["config"]["connectionArguments"];
    assert_eq!(*arguments, json!({"my_session-nr": "*********", "keyspace": "*********", "port": 1}));
}

#[test]
fn an_operator_can_add_connection_types_and_override_ours() {
    let own = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(own.path().join("database")).unwrap();
    let schema = |properties: Value| json!({"title": "Own", "type": "object", "properties": properties, "required": ["type"], "additionalProperties": false});
    let of_type = |name: &str| json!({"type": "string", "const": name, "default": name});
    let word = json!({"type": "string", "format": "password"});
    let mine =
        schema(json!({"type": of_type("Mine"), "word": word, "aws": {"$ref": "../shared/aws-credentials.json"}}));
    let sqlite = schema(json!({"type": of_type("SQLite"), "word": word}));
    std::fs::write(own.path().join("database/Mine.json"), mine.to_string()).unwrap();
    std::fs::write(own.path().join("database/SQLite.json"), sqlite.to_string()).unwrap();
    let server = Server::start_with(&[("STRONGROOM_CONNECTION_TYPES_DIR", own.path().to_str().unwrap())]);
    let admin = server.admin();
    for service_type in ["Mine", "SQLite"] {
        let body =
            json!({"name": service_type, "serviceType": service_type, "connection": {"config": {"word": CANARY}}});

        let created = server.post(DATABASES, &admin, &body).expect(201);

        assert_eq!(created["connection"]["config"], json!({"type": service_type, "word": "*********"}));
        let plain = server.get(&format!("{DATABASES}/name/{service_type}"), &admin).expect(200);
        assert_eq!(plain["connection"]["config"]["word"], CANARY);
    }
    server.get("/connectionTypes/database/Mine", &admin).expect(200);
    server.get("/services/testConnectionDefinitions/name/Mine.testConnectionDefinition", &admin).expect(200);
}
