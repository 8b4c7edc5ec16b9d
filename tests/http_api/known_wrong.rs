//! What is known to go wrong in other servers of this API: each once, here it does not.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::{CANARY, faulty_paths};
use crate::support::server::{DATABASES, Server, mysql};

/// A server with the service `shop`, whose password is a canary, and the path of that.
fn shop() -> (Server, String) {
    let server = Server::start();
    let service = server.put(DATABASES, &server.admin(), &mysql("shop", CANARY)).expect(201);
    (server, format!("{DATABASES}/{}", service["id"].as_str().unwrap()))
}

fn password(server: &Server, path: &str) -> Value {
    let service = server.get(&format!("{path}?include=all"), &server.admin()).expect(200);
    service["connection"]["config"]["authType"]["password"].clone()
}

/// The ciphertexts in the database.
fn ciphertexts(server: &Server) -> Vec<Vec<u8>> {
    let database = Connection::open(server.data().join("strongroom.db")).unwrap();
    let mut query = database.prepare("SELECT ciphertext FROM ciphertexts").unwrap();
    query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_mask_does_not_overwrite_a_secret_with_stars() {
    let (server, path) = shop();
    for stars in ["*********", "**********"] {
        let operation = json!([{"op": "replace", "path": "/connection/config/authType/password", "value": stars}]);

        server.put(DATABASES, &server.admin(), &mysql("shop", stars)).expect(200);
        server.patch(&path, &server.admin(), &operation).expect(200);

        assert_eq!(password(&server, &path), CANARY);
    }
}

#[test]
fn no_answer_and_no_error_carries_a_ciphertext_or_a_reference() {
    let (server, path) = shop();
    let (admin, user, worker) = (server.admin(), server.user("ada"), server.bot("ingestion", "worker"));
    let change = json!([{"op": "add", "path": "/description", "value": "x"}]);
    let failing = json!([{"op": "replace", "path": "/connection/config/authType/nothing/here", "value": "x"}]);
    let failing_test = json!([{"op": "test", "path": "/connection", "value": {}}]);
    let id = json!({"id": path.rsplit('/').next().unwrap()});
    for caller in [&user, &worker, &admin] {
        let answers = [
            server.patch(&path, caller, &change),
            server.patch(&path, caller, &failing),
            server.patch(&path, caller, &failing_test),
            server.put(DATABASES, caller, &mysql("shop", "*********")),
            server.delete(&path, caller),
            server.put(&format!("{DATABASES}/restore"), caller, &id),
            server.get(&format!("{path}/versions"), caller),
            server.get(DATABASES, caller),
        ];
        for answer in answers {
            for word in [CANARY, "secret:", "fernet:", "cipher"] {
                assert!(!answer.text.contains(word), "{word}: {}", answer.text);
            }
            let password = answer.json()["connection"]["config"]["authType"]["password"].clone();
            assert!(password.is_null() || (password == "*********" && *caller == admin), "{}", answer.text);
        }
    }
}

#[test]
fn secrets_in_free_maps_and_those_that_no_schema_marks_are_shown_to_nobody_in_clear() {
    let (server, _) = shop();
    let config = json!({"username": "reader", "hostPort": "db:1",
        "authType": {"awsConfig": {"awsRegion": "eu-west-1", "awsSessionToken": CANARY}},
        "connectionOptions": {"sslpassword": CANARY}, "connectionArguments": {"headers": {"Authorization": CANARY}}});
    let body = json!({"name": "maps", "serviceType": "Mysql", "connection": {"config": config}});
    let created = server.put(DATABASES, &server.admin(), &body);
    assert!(created.status == 201 && !created.text.contains(CANARY), "{}", created.text);
    for caller in
        [server.admin(), server.user("ada"), server.bot("ingestion", "worker"), server.bot("profiler", "none")]
    {
        let list = server.get(DATABASES, &caller);

        list.expect(200);
        assert!(!list.text.contains(CANARY), "{}", list.text);
    }
}

#[test]
fn a_password_of_a_wrong_type_is_refused_and_not_shown() {
    let (server, path) = shop();
    for wrong in [json!({"value": CANARY}), json!([CANARY]), json!(12_345_678), json!(true)] {
        let mut body = mysql("shop", "x");
        body["connection"]["config"]["authType"]["password"] = wrong;

        let answer = server.put(DATABASES, &server.admin(), &body);

        assert!(!faulty_paths(&answer).is_empty());
        assert!(!answer.text.contains(CANARY) && !answer.text.contains("12345678"), "{}", answer.text);
    }
    assert_eq!(password(&server, &path), CANARY);
}

#[test]
fn a_bot_reads_no_plaintext_neither_now_nor_in_old_versions() {
    let (server, path) = shop();
    server.put(DATABASES, &server.admin(), &mysql("shop", "canary-2")).expect(200);
    for role in ["worker", "none"] {
        let bot = server.bot(role, role);
        for tail in ["", "/versions", "/versions/0.1", "/versions/0.2", "?include=all&fields=*"] {
            let answer = server.get(&format!("{path}{tail}"), &bot);

            answer.expect(200);
            assert!(!answer.text.contains("canary"), "{role} {tail}: {}", answer.text);
        }
    }
}

#[test]
fn the_history_keeps_no_old_ciphertext() {
    let (server, path) = shop();
    let first = ciphertexts(&server);
    for number in 0..5 {
        server.put(DATABASES, &server.admin(), &mysql("shop", &format!("canary-{number}"))).expect(200);
    }

    let last = ciphertexts(&server);

    assert_eq!((first.len(), last.len()), (1, 1));
    assert!(!last.contains(&first[0]));
    server.delete(&format!("{path}?hardDelete=true"), &server.admin()).expect(200);
    assert!(ciphertexts(&server).is_empty());
}

#[test]
fn a_soft_delete_keeps_the_secret_until_a_hard_one() {
    let (server, path) = shop();
    let id = json!({"id": path.rsplit('/').next().unwrap()});

    server.delete(&path, &server.admin()).expect(200);
    assert_eq!(password(&server, &path), CANARY);
    server.put(&format!("{DATABASES}/restore"), &server.admin(), &id).expect(200);
    assert_eq!(password(&server, &path), CANARY);
}

#[test]
fn a_change_of_nothing_but_the_password_is_a_new_version() {
    let (server, path) = shop();

    let by_put = server.put(DATABASES, &server.admin(), &mysql("shop", "canary-2"));
    let operation = json!([{"op": "replace", "path": "/connection/config/authType/password", "value": "canary-3"}]);
    let by_patch = server.patch(&path, &server.admin(), &operation);

    for (answer, version) in [(by_put, 0.2), (by_patch, 0.3)] {
        assert_eq!(answer.header("x-openmetadata-change"), "entityUpdated");
        assert_eq!(answer.expect(200)["version"], version);
        assert_eq!(answer.json()["changeDescription"]["fieldsUpdated"], json!([{"name": "connection"}]));
    }
}
