//! Bodies that are no proper input: each is said to be wrong where it is, and none is quoted.

use serde_json::{Value, json};

use super::{CANARY, database_bytes, faulty_paths, holds};
use crate::support::server::{Answer, DATABASES, Server, mysql};

/// Sends raw bytes as a body.
fn send(server: &Server, method: &str, path: &str, body: &[u8]) -> Answer {
    let media_type = if method == "PATCH" { "application/json-patch+json" } else { "application/json" };
    send_as(server, method, path, Some(media_type), body)
}

fn send_as(server: &Server, method: &str, path: &str, media_type: Option<&str>, body: &[u8]) -> Answer {
    let token = format!("Bearer {}", server.admin());
    let mut headers = vec![("authorization", token.as_str())];
    headers.extend(media_type.map(|media_type| ("content-type", media_type)));
    server.send(method, path, &headers, body)
}

/// A whole body around the text of a `config`.
fn around(config: &str) -> String {
    format!(r#"{{"name": "shop", "serviceType": "Mysql", "connection": {{"config": {config}}}}}"#)
}

#[test]
fn json_that_could_be_read_in_two_ways_is_refused() {
    let server = Server::start();
    let ok = r#"{"username": "reader", "hostPort": "db:1"}"#;
    send(&server, "PUT", DATABASES, around(ok).as_bytes()).expect(201);
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("a key twice", around(r#"{"username": "a", "username": "canary", "hostPort": "b"}"#).into()),
        (
            "a key twice, once escaped",
            around(r#"{"username": "a", "usern\u0061me": "canary", "hostPort": "b"}"#).into(),
        ),
        (
            "a key twice in a free map",
            around(r#"{"username": "a", "hostPort": "b", "connectionArguments": {"x": {"y": 1, "y": 2}}}"#).into(),
        ),
        ("name twice", br#"{"name": "a", "name": "b", "serviceType": "Mysql"}"#.to_vec()),
        ("NUL in a value", around(r#"{"username": "a\u0000canary", "hostPort": "b"}"#).into()),
        ("NUL in a key", around(r#"{"user\u0000name": "a", "hostPort": "b"}"#).into()),
        ("raw NUL", around("{\"username\": \"a\0\", \"hostPort\": \"b\"}").into()),
        ("a lone high surrogate", around(r#"{"username": "\ud800", "hostPort": "b"}"#).into()),
        ("a lone low surrogate", around(r#"{"username": "\udc00canary", "hostPort": "b"}"#).into()),
        ("surrogates the wrong way round", around(r#"{"username": "\udc00\ud800", "hostPort": "b"}"#).into()),
        ("bytes that are no UTF-8", [around(r#"{"username": ""#).as_bytes(), b"\xff\xfe\"}"].concat()),
        ("a byte order mark", [b"\xef\xbb\xbf", around(ok).as_bytes()].concat()),
        ("a huge number", around(r#"{"username": "a", "hostPort": "b", "connectionArguments": {"x": 1e999}}"#).into()),
        (
            "an integer that loses digits",
            around(r#"{"username": "a", "hostPort": "b", "connectionArguments": {"x": 123456789012345678901}}"#).into(),
        ),
        ("NaN", around(r#"{"username": "a", "hostPort": "b", "connectionArguments": {"x": NaN}}"#).into()),
        ("a comment", around(r#"{"username": "a" /* canary */, "hostPort": "b"}"#).into()),
        ("a comma too many", around(r#"{"username": "a", "hostPort": "b",}"#).into()),
        ("single quotes", around(r"{'username': 'canary'}").into()),
        ("cut short", around(r#"{"username": "canary"#).into()),
        ("two documents", [around(ok).as_bytes(), b"{}"].concat()),
        ("no JSON", b"canary".to_vec()),
        ("nothing", Vec::new()),
        ("spaces", b"  \n".to_vec()),
    ];
    for (what, body) in bad {
        for (method, path) in
            [("POST", DATABASES), ("PUT", DATABASES), ("PATCH", "/services/databaseServices/name/shop")]
        {
            let answer = send(&server, method, path, &body);

            assert_eq!(faulty_paths(&answer), ["body"], "{method} with {what}");
            assert!(!answer.text.contains("canary"), "{what}: {}", answer.text);
        }
    }
}

#[test]
fn bodies_nest_at_most_sixty_four_levels_deep() {
    let server = Server::start();
    // Above the innermost value are the body, its connection, the config and the free map.
    let nested = |levels: usize| {
        let map = format!("{}1{}", "[".repeat(levels - 4), "]".repeat(levels - 4));
        around(&format!(r#"{{"username": "a", "hostPort": "b", "connectionArguments": {{"x": {map}}}}}"#))
    };
    send(&server, "PUT", DATABASES, nested(64).as_bytes()).expect(201);
    server.get(&format!("{DATABASES}/name/shop"), &server.admin()).expect(200);

    assert_eq!(faulty_paths(&send(&server, "PUT", DATABASES, nested(65).as_bytes())), ["body"]);
    let brackets = "[".repeat(500_000);
    assert_eq!(faulty_paths(&send(&server, "PUT", DATABASES, brackets.as_bytes())), ["body"]);
}

#[test]
fn a_body_may_have_one_mebibyte_and_not_a_byte_more() {
    let server = Server::start();
    let sized = |bytes: usize| {
        let mut body = mysql("shop", "canary");
        body["description"] = "".into();
        let padding = bytes - body.to_string().len();
        body["description"] = "x".repeat(padding).into();
        body.to_string()
    };
    let whole = sized(1024 * 1024);

    send(&server, "PUT", DATABASES, whole.as_bytes()).expect(201);
    let too_long = send(&server, "PUT", DATABASES, sized(1024 * 1024 + 1).as_bytes());
    assert_eq!(too_long.expect(413)["code"], 413);
    for (method, path) in [("POST", DATABASES), ("PATCH", "/services/databaseServices/name/shop")] {
        assert_eq!(send(&server, method, path, &vec![b' '; 1024 * 1024 + 1]).status, 413, "{method}");
    }
    let restore = format!("{DATABASES}/restore");
    assert_eq!(send(&server, "PUT", &restore, &vec![b' '; 3 * 1024 * 1024]).status, 413);
}

#[test]
fn a_body_of_another_media_type_is_refused() {
    let server = Server::start();
    let admin = server.admin();
    server.put(DATABASES, &admin, &mysql("shop", CANARY)).expect(201);
    let body = mysql("shop", CANARY).to_string();
    let by_name = format!("{DATABASES}/name/shop");
    for media_type in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("application/json-patch+json"),
        Some(""),
    ] {
        for method in ["POST", "PUT"] {
            let answer = send_as(&server, method, DATABASES, media_type, body.as_bytes());
            assert_eq!(answer.expect(415)["code"], 415, "{media_type:?}");
        }
    }
    for media_type in [None, Some("application/json"), Some("application/merge-patch+json")] {
        assert_eq!(send_as(&server, "PATCH", &by_name, media_type, b"[]").status, 415, "{media_type:?}");
    }
    for media_type in ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json ;charset=UTF-8"] {
        send_as(&server, "PUT", DATABASES, Some(media_type), body.as_bytes()).expect(200);
    }
    send_as(&server, "PATCH", &by_name, Some("application/json-patch+json; charset=utf-8"), b"[]").expect(200);
}

#[test]
fn what_is_not_there_or_not_done_this_way_is_said_in_json() {
    let server = Server::start();
    let admin = server.admin();
    let id = "00000000-0000-4000-8000-000000000000";
    let cases = [
        ("GET", "/api", 404),
        ("GET", "/api/", 404),
        ("GET", "/api/v2/system/version", 404),
        ("GET", "/nothing", 404),
        ("GET", "/tables/name/a.b.c.d", 404),
        ("GET", "/databases/name/a.b?fields=owners", 404),
        ("POST", "/tables", 404),
        ("GET", "/services", 404),
        ("GET", "/services/nothingServices", 404),
        ("POST", "/services/nothingServices", 404),
        ("GET", "/services/nothingServices/name/x", 404),
        ("GET", "/services/databaseServices/", 404),
        ("GET", "/services/databaseServices/name/", 404),
        ("GET", "/services/databaseServices/restore", 404),
        ("GET", "/services/databaseServices/nonsense", 400),
        ("GET", "/services/databaseServices/nonsense/versions", 400),
        ("DELETE", "/services/databaseServices/nonsense", 400),
        ("GET", &format!("/services/databaseServices/{id}"), 404),
        ("GET", &format!("/services/databaseServices/{id}/versions"), 404),
        ("GET", &format!("/services/databaseServices/{id}/versions/0.1"), 404),
        ("GET", &format!("/services/databaseServices/{id}/nothing"), 404),
        ("GET", "/services/databaseServices/name/nothing", 404),
        ("DELETE", "/services/databaseServices", 405),
        ("PATCH", "/services/databaseServices", 405),
        ("POST", "/services/databaseServices/name/x", 405),
        ("PUT", "/system/version", 405),
        ("BREW", "/system/version", 405),
        ("GET", "/tables/bulk", 404),
        ("GET", "/tables/deleteStale", 404),
        ("GET", "/connectionTypes/nothing", 404),
        ("GET", "/connectionTypes/database/Nothing", 404),
        ("GET", "/connectionTypes/database/Dbt", 404),
        ("GET", "/services/testConnectionDefinitions/name/Nothing.testConnectionDefinition", 404),
        ("GET", "/services/testConnectionDefinitions/name/Mysql", 404),
        ("GET", "/", 404),
    ];
    for (method, path, status) in cases {
        let answer = server.call(method, path, &admin, None);

        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        let body = answer.json();
        assert!(body["code"] == status && body["message"].is_string(), "{method} {path}: {}", answer.text);
        assert_eq!(body["requestId"], answer.header("x-request-id"));
        assert!(answer.header("content-type").starts_with("application/json"), "{method} {path}");
    }
    server.get(&format!("{DATABASES}/{}", id.to_uppercase()), &admin).expect(404);
}

/// Every place in a document, as a JSON Pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| places(value, &format!("{at}/{key}"), found)),
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(number, value)| places(value, &format!("{at}/{number}"), found));
        }
        _ => {}
    }
}

/// A body that uses much of what may be said.
fn rich() -> Value {
    let gcp = json!({"type": "service_account", "projectId": ["p"], "privateKey": "k"});
    json!({
        "name": "shop", "serviceType": "BigQuery", "displayName": "d", "description": "d",
        "tags": [{"tagFQN": "PII.None", "source": "Classification"}],
        "owners": [{"id": "00000000-0000-4000-8000-000000000000", "type": "user"}],
        "domains": ["sales"], "dataProducts": ["orders"], "style": {"color": "#fff"},
        "ingestionRunner": {"id": "00000000-0000-4000-8000-000000000000", "type": "ingestionRunner"},
        "connection": {"config": {
            "type": "BigQuery", "scheme": "bigquery", "hostPort": "h", "credentials": {"gcpConfig": gcp},
            "taxonomyProjectID": ["t"], "usageLocation": "us", "connectionOptions": {"a": "b"},
            "connectionArguments": {"password": "x"}, "includePolicyTags": true, "costPerTB": 6.25,
            "schemaFilterPattern": {"includes": ["a"]},
            "sampleDataStorageConfig": {"config": {"bucketName": "b", "storageConfig": {"awsRegion": "r", "awsSecretAccessKey": "s"}}},
        }},
    })
}

#[test]
fn no_error_quotes_what_was_sent_wherever_it_stands() {
    let server = Server::start();
    let admin = server.admin();
    server.post(DATABASES, &admin, &rich()).expect(201);
    let mut found = Vec::new();
    places(&rich(), "", &mut found);
    let mut refused = 0;
    for place in &found {
        let wrong = [json!(CANARY), json!([CANARY]), json!({"unknown": CANARY}), json!([{"unknown": [CANARY]}])];
        for value in wrong {
            let mut body = rich();
            if place != "/name" {
                body["name"] = "another".into();
            }
            *body.pointer_mut(place).unwrap() = value.clone();
            let answer = server.post(DATABASES, &admin, &body);
            if answer.status == 201 {
                let id = answer.json()["id"].as_str().unwrap().to_owned();
                server.delete(&format!("{DATABASES}/{id}?hardDelete=true"), &admin).expect(200);
            } else {
                assert_eq!(answer.status, 400, "{place} = {value}: {}", answer.text);
                refused += 1;
                assert!(!answer.text.contains(CANARY), "{place} = {value}: {}", answer.text);
            }
            let operation = json!([{"op": "replace", "path": place, "value": value}]);
            let answer = server.patch(&format!("{DATABASES}/name/shop"), &admin, &operation);
            assert!([200, 400].contains(&answer.status), "{}", answer.text);
            assert!(answer.status == 200 || !answer.text.contains(CANARY), "{place} = {value}: {}", answer.text);
        }
    }
    assert!(refused > 100, "{refused}");
    assert!(!server.log().contains(CANARY));
}

#[test]
fn half_of_a_body_is_refused_at_every_length_and_never_quoted() {
    let server = Server::start();
    let body = mysql("shop", CANARY).to_string();
    for length in 0..body.len() {
        let answer = send(&server, "PUT", DATABASES, &body.as_bytes()[..length]);

        assert_eq!(answer.status, 400, "{length}: {}", answer.text);
        assert!(!answer.text.contains("canary"), "{length}: {}", answer.text);
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_neither_stored_nor_shown() {
    let server = Server::start();
    let admin = server.admin();
    let wrong = [
        json!({"password": CANARY}),
        json!({"authType": CANARY}),
        json!({"authType": {"password": [CANARY]}}),
        json!({"authType": {"password": {"value": CANARY}}}),
        json!({"authType": {"passwd": CANARY}}),
        json!({"sslConfig": CANARY}),
        json!({"connectionOptions": {"password": {"value": CANARY}}}),
    ];
    for members in wrong {
        let mut body = mysql("shop", "x");
        body["connection"]["config"].as_object_mut().unwrap().extend(members.as_object().unwrap().clone());

        let answer = server.put(DATABASES, &admin, &body);

        assert!(!faulty_paths(&answer).is_empty() && !answer.text.contains(CANARY), "{}", answer.text);
    }
    assert!(!holds(&database_bytes(&server), CANARY) && !server.log().contains(CANARY));
}

#[test]
fn a_connection_may_hold_a_thousand_secrets_and_no_more() {
    let server = Server::start();
    let (admin, worker) = (server.admin(), server.bot("ingestion", "worker"));
    let with = |count: usize| {
        let secrets: serde_json::Map<_, _> =
            (1..count).map(|number| (format!("password{number}"), "x".into())).collect();
        let mut body = mysql("shop", "x");
        body["connection"]["config"]["connectionOptions"] = secrets.into();
        body
    };

    assert_eq!(faulty_paths(&server.put(DATABASES, &worker, &with(1_001))), ["connection.config"]);
    assert_eq!(faulty_paths(&server.put(DATABASES, &worker, &with(40_000))), ["connection.config"]);
    server.put(DATABASES, &worker, &with(1_000)).expect(201);
    let plain = server.get(&format!("{DATABASES}/name/shop"), &admin).expect(200);
    assert_eq!(plain["connection"]["config"]["connectionOptions"].as_object().unwrap().len(), 999);
}

#[test]
fn a_long_list_of_masked_entries_is_told_apart_in_a_bounded_time() {
    let server = Server::start();
    let (admin, route) = (server.admin(), "/services/mcpServices");
    let servers = (0..6_000).map(|number| match number % 12 {
        0 => json!({"name": format!("server {number}"), "apiKey": format!("k{number}")}),
        _ => json!({"name": format!("server {number}")}),
    });
    let config = json!({"servers": servers.collect::<Vec<_>>()});
    let body = |config: &Value| json!({"name": "shop", "serviceType": "Mcp", "connection": {"config": config}});
    server.put(route, &admin, &body(&config)).expect(201);
    let masked = server.get(&format!("{route}/name/shop?view=masked"), &admin).expect(200);
    let mut masked = masked["connection"]["config"]["servers"].as_array().unwrap().clone();
    masked.reverse();
    let started = std::time::Instant::now();

    let answer = server.put(route, &admin, &body(&json!({"servers": masked})));

    assert_eq!(answer.status, 200, "{:.200}", answer.text);
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    let plain = server.get(&format!("{route}/name/shop"), &admin).expect(200);
    let servers = plain["connection"]["config"]["servers"].as_array().unwrap().clone();
    assert_eq!((&servers[11]["name"], &servers[11]["apiKey"]), (&"server 5988".into(), &"k5988".into()));
}
