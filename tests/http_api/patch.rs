//! JSON Patch on services.

use serde_json::{Value, json};

use super::server_with_references;
use super::{CANARY, faulty_paths};
use crate::support::server::{Answer, DATABASES, Server, mysql};

/// A server with the service `shop`: a secret in a field, in a free map and in a URL, and a typed reference.
fn shop() -> Server {
    let server = server_with_references();
    let mut body = mysql("shop", CANARY);
    let config = body["connection"]["config"].as_object_mut().unwrap();
    config.insert("connectionOptions".to_owned(), json!({"a/b~c password": CANARY, "charset": "utf8"}));
    config.insert("connectionArguments".to_owned(), json!({"list": [{"token": CANARY}, {"x": 1}]}));
    config.insert("databaseSchema".to_owned(), "secret:/team/schema".into());
    config.insert("databaseName".to_owned(), format!("mysql://reader:{CANARY}@db").into());
    server.put(DATABASES, &server.admin(), &body).expect(201);
    server
}

fn patch(server: &Server, operations: &Value) -> Answer {
    let answer = server.patch(&format!("{DATABASES}/name/shop"), &server.admin(), operations);
    assert!(!answer.text.contains(CANARY), "{}", answer.text);
    answer
}

fn config(server: &Server) -> Value {
    server.get(&format!("{DATABASES}/name/shop"), &server.admin()).expect(200)["connection"]["config"].clone()
}

/// Where the secrets of `shop` are, and what lies above and below them.
const SECRETS: [&str; 10] = [
    "",
    "/connection",
    "/connection/config",
    "/connection/config/authType",
    "/connection/config/authType/password",
    "/connection/config/connectionOptions/a~1b~0c password",
    "/connection/config/connectionArguments/list/0",
    "/connection/config/connectionArguments/list/0/token",
    "/connection/config/databaseSchema",
    "/connection/config/databaseName",
];

#[test]
fn testing_copying_and_moving_secrets_is_refused() {
    let server = shop();
    let before = config(&server);
    for secret in SECRETS.iter().copied().chain(["/connection/config/authType/password/x"]) {
        let operations = [
            json!({"op": "test", "path": secret, "value": CANARY}),
            json!({"op": "test", "path": secret, "value": "*********"}),
            json!({"op": "test", "path": secret, "value": null}),
            json!({"op": "copy", "from": secret, "path": "/description"}),
            json!({"op": "move", "from": secret, "path": "/description"}),
            json!({"op": "copy", "from": "/name", "path": secret}),
            json!({"op": "move", "from": "/connection/config/username", "path": secret}),
        ];
        for operation in operations {
            let answer = patch(&server, &json!([operation]));

            assert!(!faulty_paths(&answer).is_empty(), "{operation}");
            let after_another = json!([{"op": "add", "path": "/description", "value": "x"}, operation]);
            faulty_paths(&patch(&server, &after_another));
        }
    }
    assert_eq!(config(&server), before);
    let service = server.get(&format!("{DATABASES}/name/shop"), &server.admin()).expect(200);
    assert_eq!((&service["version"], service.get("description")), (&json!(0.1), None));
}

#[test]
fn a_guess_in_a_test_gets_the_same_answer_whether_it_is_right_or_wrong() {
    let server = shop();
    let guess = |value: &str| {
        let operation = json!([{"op": "test", "path": "/connection/config/authType/password", "value": value}]);
        let mut body = patch(&server, &operation).expect(400);
        body.as_object_mut().unwrap().remove("requestId");
        body
    };

    assert_eq!(guess(CANARY), guess("wrong"));
}

#[test]
fn a_secret_cannot_be_reached_by_first_moving_what_is_around_it() {
    let server = shop();
    let chains = [
        json!([{"op": "remove", "path": "/connection/config/connectionArguments/list/1"},
            {"op": "copy", "from": "/connection/config/connectionArguments/list/0/token", "path": "/description"}]),
        json!([{"op": "add", "path": "/connection/config/connectionArguments/list/0", "value": {}},
            {"op": "copy", "from": "/connection/config/connectionArguments/list/1/token", "path": "/description"}]),
        json!([{"op": "add", "path": "/connection/config/connectionArguments/list/0", "value": {}},
            {"op": "copy", "from": "/connection/config/connectionArguments/list/1/token",
             "path": "/connection/config/databaseName"}]),
    ];
    for operations in chains {
        patch(&server, &operations);
        let service = server.get(&format!("{DATABASES}/name/shop?view=hidden"), &server.admin());
        assert!(!service.text.contains(CANARY), "{}", service.text);
        let name = &config(&server)["databaseName"];
        assert_eq!(*name, format!("mysql://reader:{CANARY}@db"), "it holds no other secret");
    }
}

#[test]
fn secrets_can_be_added_replaced_and_removed() {
    let server = shop();
    let at = |path: &str| format!("/connection/config/{path}");
    let password = |value: &str| json!({"op": "replace", "path": at("authType/password"), "value": value});

    patch(&server, &json!([password("new-1")])).expect(200);
    assert_eq!(config(&server)["authType"]["password"], "new-1");
    patch(&server, &json!([{"op": "replace", "path": at("authType"), "value": {"password": "new-2"}}])).expect(200);
    assert_eq!(config(&server)["authType"]["password"], "new-2");
    patch(&server, &json!([{"op": "remove", "path": at("authType")}])).expect(200);
    assert_eq!(config(&server).get("authType"), None);
    patch(&server, &json!([{"op": "add", "path": at("authType"), "value": {"password": "new-3"}}])).expect(200);
    assert_eq!(config(&server)["authType"]["password"], "new-3");
    patch(&server, &json!([{"op": "add", "path": at("connectionOptions/apiKey"), "value": "new-4"}])).expect(200);
    assert_eq!(config(&server)["connectionOptions"]["apiKey"], "new-4");
    assert_eq!(config(&server)["connectionOptions"]["a/b~c password"], CANARY);
    let both = json!([{"op": "remove", "path": at("connectionOptions/a~1b~0c password")},
        {"op": "add", "path": at("connectionOptions/other password"), "value": "new-5"}]);
    patch(&server, &both).expect(200);
    assert_eq!(
        config(&server)["connectionOptions"],
        json!({"charset": "utf8", "apiKey": "new-4", "other password": "new-5"})
    );
}

#[test]
fn the_connection_itself_can_be_removed_and_added() {
    let server = shop();
    let whole = mysql("shop", "new-1")["connection"].clone();

    patch(&server, &json!([{"op": "remove", "path": "/connection"}])).expect(200);
    let service = server.get(&format!("{DATABASES}/name/shop"), &server.admin()).expect(200);
    assert_eq!(service.get("connection"), None);
    patch(&server, &json!([{"op": "add", "path": "/connection", "value": whole}])).expect(200);
    assert_eq!(config(&server)["authType"]["password"], "new-1");
}

#[test]
fn other_fields_can_be_tested_copied_and_moved() {
    let server = shop();
    let operations = json!([
        {"op": "test", "path": "/name", "value": "shop"},
        {"op": "test", "path": "/connection/config/username", "value": "reader"},
        {"op": "copy", "from": "/name", "path": "/displayName"},
        {"op": "move", "from": "/connection/config/connectionOptions/charset", "path": "/connection/config/queryHistoryTable"},
    ]);

    let service = patch(&server, &operations).expect(200);

    assert_eq!(
        (&service["displayName"], &service["connection"]["config"]["queryHistoryTable"]),
        (&"shop".into(), &"utf8".into())
    );
    faulty_paths(&patch(&server, &json!([{"op": "test", "path": "/name", "value": "another"}])));
}

#[test]
fn what_is_not_for_clients_to_change_is_refused_by_its_path() {
    let server = shop();
    let fixed = [
        ("id", json!("00000000-0000-4000-8000-000000000000")),
        ("name", json!("other")),
        ("fullyQualifiedName", json!("other")),
        ("serviceType", json!("Postgres")),
        ("version", json!(9.9)),
        ("updatedAt", json!(0)),
        ("updatedBy", json!("other")),
        ("deleted", json!(true)),
        ("href", json!("http://evil")),
        ("changeDescription", json!({})),
        ("nonsense", json!(1)),
    ];
    for (key, value) in fixed {
        let answer = patch(&server, &json!([{"op": "add", "path": format!("/{key}"), "value": value}]));
        assert_eq!(faulty_paths(&answer), [key]);
    }
    for key in ["id", "name", "serviceType", "version", "deleted"] {
        let answer = patch(&server, &json!([{"op": "remove", "path": format!("/{key}")}]));
        assert_eq!(faulty_paths(&answer), [key]);
    }
    faulty_paths(&patch(&server, &json!([{"op": "replace", "path": "", "value": {}}])));
}

#[test]
fn a_patch_that_cannot_be_applied_says_where_and_quotes_nothing() {
    let server = shop();
    let broken = [
        json!({"op": "replace", "path": "/connection/config/nothing/here", "value": CANARY}),
        json!({"op": "remove", "path": "/owners/0", "value": CANARY}),
        json!({"op": "add", "path": "/connection/config/authType/password/x", "value": CANARY}),
        json!({"op": "test", "path": "/name", "value": CANARY}),
        json!({"op": CANARY, "path": "/name"}),
        json!({"op": "add", "path": 1, "value": CANARY}),
        json!({"op": "add", "path": "no-slash", "value": CANARY}),
        json!({"op": "add", "value": CANARY}),
        json!({"op": "add", "path": "/description", "value": {"x": CANARY}}),
        json!({"op": "add", "path": "/connection", "value": CANARY}),
        json!({"op": "add", "path": "/connection/config", "value": [CANARY]}),
        json!({"op": "add", "path": "/connection/config/hostPort", "value": [CANARY]}),
        json!(CANARY),
    ];
    for operation in broken {
        assert!(!faulty_paths(&patch(&server, &json!([operation]))).is_empty(), "{operation}");
    }
    for operations in
        [json!({}), json!(CANARY), json!(null), json!({"op": "add", "path": "/description", "value": CANARY})]
    {
        faulty_paths(&patch(&server, &operations));
    }
}

#[test]
fn a_failing_operation_undoes_those_before_it() {
    let server = shop();
    let operations = json!([
        {"op": "replace", "path": "/connection/config/authType/password", "value": "new"},
        {"op": "remove", "path": "/owners/0"},
    ]);

    faulty_paths(&patch(&server, &operations));

    assert_eq!(config(&server)["authType"]["password"], CANARY);
}

#[test]
fn a_patch_cannot_nest_a_connection_deeper_than_a_body_may() {
    let server = shop();
    let mut deep = json!("end");
    for _ in 0..50 {
        deep = json!({"d": deep});
    }
    let first = json!([{"op": "add", "path": "/connection/config/connectionArguments/deep", "value": deep}]);
    patch(&server, &first).expect(200);
    let path = format!("/connection/config/connectionArguments/deep{}", "/d".repeat(50));

    let second = patch(&server, &json!([{"op": "replace", "path": path, "value": deep}]));
    let third =
        patch(&server, &json!([{"op": "replace", "path": format!("{path}{}", "/d".repeat(50)), "value": deep}]));

    assert_eq!((second.status, third.status), (400, 400), "{}", second.text);
    assert_eq!(config(&server)["authType"]["password"], CANARY);
}

#[test]
fn copies_that_double_the_document_again_and_again_are_refused() {
    let server = shop();
    let mut operations =
        vec![json!({"op": "add", "path": "/connection/config/connectionArguments/a", "value": ["x".repeat(100)]})];
    let copy = json!({"op": "copy", "from": "/connection/config/connectionArguments/a",
        "path": "/connection/config/connectionArguments/a/0"});
    operations.extend(std::iter::repeat_n(copy, 50));

    faulty_paths(&patch(&server, &operations.into()));

    assert_eq!(config(&server)["authType"]["password"], CANARY);
}

#[test]
fn the_history_holds_masks_only() {
    let server = shop();
    let admin = server.admin();
    let id = server.get(&format!("{DATABASES}/name/shop"), &admin).expect(200)["id"].clone();
    for number in 0..3 {
        let value = format!("{CANARY}-{number}");
        let operations = json!([{"op": "replace", "path": "/connection/config/authType/password", "value": value},
            {"op": "replace", "path": "/connection/config/hostPort", "value": format!("db{number}:1")}]);
        let service = patch(&server, &operations).expect(200);
        assert_eq!(service["changeDescription"]["fieldsUpdated"], json!([{"name": "connection"}]));
    }
    let path = format!("{DATABASES}/{}/versions", id.as_str().unwrap());
    for view in ["", "?view=plaintext", "?view=references", "?view=masked"] {
        for version in ["", "/0.1", "/0.2", "/0.4"] {
            let answer = server.get(&format!("{path}{version}{view}"), &admin);

            answer.expect(200);
            assert!(!answer.text.contains(CANARY) && !answer.text.contains("secret:"), "{}", answer.text);
            assert_eq!(answer.header("strongroom-view"), "masked");
        }
    }
    let old = server.get(&format!("{path}/0.2"), &admin).expect(200);
    let config = &old["connection"]["config"];
    assert_eq!((&config["authType"]["password"], &config["hostPort"]), (&"*********".into(), &"db0:1".into()));
}
