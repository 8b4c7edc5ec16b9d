//! What becomes of a connection: checked, completed, kept.

use serde_json::{Value, json};

use super::{CANARY, database_bytes, faulty_paths, holds};
use crate::support::server::{DATABASES, Server, mysql};

/// A MySQL service with this `config`.
fn with_config(config: &Value) -> Value {
    json!({"name": "shop", "serviceType": "Mysql", "connection": {"config": config}})
}

fn connection(server: &Server) -> Value {
    server.get(&format!("{DATABASES}/name/shop"), &server.admin()).expect(200)["connection"].clone()
}

#[test]
fn a_service_without_a_connection_is_legal() {
    let server = Server::start();
    let admin = server.admin();
    for (name, connection) in [("a", Value::Null), ("b", json!({})), ("c", json!({"config": null}))] {
        let body = json!({"name": name, "serviceType": "Mysql", "connection": connection});

        assert_eq!(server.post(DATABASES, &admin, &body).expect(201).get("connection"), None);
    }
    for (route, service_type) in [(DATABASES, "Dbt"), (DATABASES, "QueryLog"), ("/services/apiServices", "WEBHOOK")] {
        let mut body = json!({"name": service_type, "serviceType": service_type});
        server.post(route, &admin, &body).expect(201);
        body["name"] = "another".into();
        body["connection"] = json!({"config": {}});
        assert_eq!(faulty_paths(&server.post(route, &admin, &body)), ["connection"], "{service_type}");
    }
}

#[test]
fn a_put_without_a_connection_keeps_the_one_that_is_stored() {
    let server = Server::start();
    let admin = server.admin();
    server.put(DATABASES, &admin, &mysql("shop", "canary")).expect(201);
    let before = connection(&server);
    let without =
        [json!({}), json!({"connection": null}), json!({"connection": {}}), json!({"connection": {"config": null}})];
    for (number, part) in without.iter().enumerate() {
        let mut body = json!({"name": "shop", "serviceType": "Mysql", "description": format!("number {number}")});
        body.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());

        server.put(DATABASES, &admin, &body).expect(200);

        assert_eq!(connection(&server), before);
    }
}

#[test]
fn the_service_type_cannot_change() {
    let server = Server::start();
    let admin = server.admin();
    server.put(DATABASES, &admin, &mysql("shop", "canary")).expect(201);
    let mut other = mysql("shop", "canary");
    other["serviceType"] = "Postgres".into();
    let operation = json!([{"op": "replace", "path": "/serviceType", "value": "Postgres"}]);

    assert_eq!(faulty_paths(&server.put(DATABASES, &admin, &other)), ["serviceType"]);
    assert_eq!(faulty_paths(&server.patch(&format!("{DATABASES}/name/shop"), &admin, &operation)), ["serviceType"]);
}

#[test]
fn defaults_and_the_type_are_filled_in_and_stored() {
    let server = Server::start();
    server.put(DATABASES, &server.admin(), &mysql("shop", "canary")).expect(201);

    let config = &connection(&server)["config"];

    assert_eq!((&config["type"], &config["scheme"]), (&"Mysql".into(), &"mysql+pymysql".into()));
    assert_eq!((&config["supportsMetadataExtraction"], &config["useSlowLogs"]), (&true.into(), &false.into()));
    assert_eq!(config["schemaFilterPattern"]["excludes"][0], "^information_schema$");
    let patched = json!([{"op": "remove", "path": "/connection/config/type"}]);
    let answer = server.patch(&format!("{DATABASES}/name/shop"), &server.admin(), &patched);
    assert_eq!(answer.expect(200)["connection"]["config"]["type"], "Mysql");
}

#[test]
fn a_type_that_contradicts_the_service_type_is_refused() {
    let server = Server::start();
    for own_type in [json!("Postgres"), json!("mysql"), json!(1), json!({})] {
        let body = with_config(&json!({"type": own_type, "username": "reader", "hostPort": "db:1"}));

        assert_eq!(faulty_paths(&server.put(DATABASES, &server.admin(), &body)), ["connection.config.type"]);
    }
}

#[test]
fn everything_that_is_wrong_is_named_by_its_path_at_once() {
    let server = Server::start();
    let config = json!({"hostPort": 1, "nonsense": 1, "useSlowLogs": "yes", "scheme": "ftp", "connectionOptions": [],
        "authType": {"password": {"x": 1}}, "schemaFilterPattern": {"includes": [1, "a", {}]}});
    let body = json!({"name": "a::b", "serviceType": "Mysql", "owners": 1, "connection": {"config": config}});
    let of_fields = server.put(DATABASES, &server.admin(), &body);
    let of_config = server.put(DATABASES, &server.admin(), &with_config(&config));

    assert_eq!(faulty_paths(&of_fields), ["name", "owners"]);
    let mut paths = faulty_paths(&of_config);
    paths.sort();
    paths.dedup();
    let expected = [
        "connection.config.authType",
        "connection.config.authType.password",
        "connection.config.connectionOptions",
        "connection.config.hostPort",
        "connection.config.nonsense",
        "connection.config.schemaFilterPattern.includes[0]",
        "connection.config.schemaFilterPattern.includes[2]",
        "connection.config.scheme",
        "connection.config.useSlowLogs",
        "connection.config.username",
    ];
    assert_eq!(paths, expected);
    let message = of_config.json()["message"].as_str().unwrap().to_owned();
    for allowed in ["mysql+pymysql", "a text", "true or false", "databaseSchema"] {
        assert!(message.contains(allowed), "{allowed}: {message}");
    }
}

#[test]
fn what_is_refused_is_never_stored() {
    let server = Server::start();
    let admin = server.admin();
    let refused = [
        json!({"name": "a", "serviceType": "Nonsense", "connection": {"config": {"password": CANARY}}}),
        json!({"name": "a", "serviceType": "Mysql", "connection": {"config": {"password": CANARY}}}),
        json!({"name": "a", "serviceType": "Mysql", "connection": {"config": mysql("a", CANARY)["connection"]["config"], "x": 1}}),
        json!({"name": "a", "serviceType": "mysql", "connection": mysql("a", CANARY)["connection"]}),
        json!({"name": "a", "connection": mysql("a", CANARY)["connection"]}),
        json!({"serviceType": "Mysql", "connection": mysql("a", CANARY)["connection"]}),
        json!({"name": "a", "serviceType": "Mysql", "connection": CANARY}),
        json!({"name": "a", "serviceType": "Mysql", "connection": {"config": [CANARY]}}),
    ];
    for body in refused {
        let answer = server.put(DATABASES, &admin, &body);
        assert!(!faulty_paths(&answer).is_empty() && !answer.text.contains(CANARY), "{}", answer.text);
    }
    assert_eq!(server.get(DATABASES, &admin).expect(200)["paging"]["total"], 0);
    assert!(!holds(&database_bytes(&server), CANARY));
}

#[test]
fn an_empty_value_is_no_secret_and_stays_in_the_document() {
    let server = Server::start();
    let admin = server.admin();
    server.put(DATABASES, &admin, &mysql("shop", "")).expect(201);

    let masked = server.get(&format!("{DATABASES}/name/shop?view=masked"), &admin).expect(200);
    let by_worker = server.get(&format!("{DATABASES}/name/shop"), &server.bot("ingestion", "worker"));

    assert_eq!(masked["connection"]["config"]["authType"]["password"], "");
    assert_eq!(by_worker.expect(200)["connection"]["config"]["authType"]["password"], "");
    server.put(DATABASES, &admin, &mysql("shop", "canary")).expect(200);
    server.put(DATABASES, &admin, &mysql("shop", "")).expect(200);
    assert_eq!(connection(&server)["config"]["authType"]["password"], "");
}

#[test]
fn secrets_come_back_byte_for_byte() {
    let server = Server::start();
    let values = [
        " leading and trailing ",
        "-----BEGIN PRIVATE KEY-----\nabc\r\n-----END PRIVATE KEY-----\n",
        "\u{e9}e\u{301}\u{1f600}\u{200b}\u{feff}",
        "\"\\/\u{8}\u{c}\t\u{1}\u{1f}\u{7f}",
        "${HOME} {{x}} $$ %s",
        "********",
        "***********",
        "*",
        "Secret:/x",
        " secret:/x",
        "null",
        &"x".repeat(60_000),
    ];
    for value in values {
        server.put(DATABASES, &server.admin(), &mysql("shop", value));

        assert_eq!(connection(&server)["config"]["authType"]["password"], value);
    }
}

#[test]
fn a_changed_secret_is_a_change_and_its_old_value_is_gone() {
    let server = Server::start();
    let admin = server.admin();
    server.put(DATABASES, &admin, &mysql("shop", "canary-1")).expect(201);

    let answer = server.put(DATABASES, &admin, &mysql("shop", "canary-2"));

    assert_eq!(answer.header("x-openmetadata-change"), "entityUpdated");
    let service = answer.expect(200);
    assert_eq!(service["version"], 0.2);
    assert_eq!(service["changeDescription"]["fieldsUpdated"], json!([{"name": "connection"}]));
    assert_eq!(connection(&server)["config"]["authType"]["password"], "canary-2");
}

#[test]
fn a_service_account_key_pasted_as_the_console_exports_it_is_accepted() {
    let server = Server::start();
    let admin = server.admin();
    let key = format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n");
    let exported = json!({
        "type": "service_account",
        "project_id": "shop-1",
        "private_key_id": "0123456789abcdef",
        "private_key": key,
        "client_email": "reader@shop-1.iam.gserviceaccount.com",
        "client_id": "1234567890",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
        "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
        "client_x509_cert_url": "https://www.googleapis.com/robot/v1/metadata/x509/reader",
        "universe_domain": "googleapis.com",
    });
    let config = json!({"credentials": {"gcpConfig": exported}});
    let body = json!({"name": "shop", "serviceType": "BigQuery", "connection": {"config": config}});

    let created = server.post(DATABASES, &admin, &body);

    let stored = &created.expect(201)["connection"]["config"]["credentials"]["gcpConfig"];
    assert_eq!((&stored["projectId"], &stored["privateKey"]), (&"shop-1".into(), &"*********".into()));
    assert_eq!(stored["privateKeyId"], "0123456789abcdef");
    assert!(stored.as_object().unwrap().keys().all(|key| !key.contains('_')), "clients refuse keys they do not know");
    assert_eq!(connection(&server)["config"]["credentials"]["gcpConfig"]["privateKey"], key);
    assert!(!holds(&database_bytes(&server), CANARY));
    let again = server.put(DATABASES, &admin, &body);
    assert_eq!(again.header("x-openmetadata-change"), "entityNoChange");
}

#[test]
fn a_service_account_key_given_under_both_spellings_is_refused() {
    let server = Server::start();
    let gcp = json!({"type": "service_account", "private_key": CANARY, "privateKey": CANARY});
    let config = json!({"credentials": {"gcpConfig": gcp}});
    let body = json!({"name": "shop", "serviceType": "BigQuery", "connection": {"config": config}});

    let answer = server.post(DATABASES, &server.admin(), &body);

    assert!(faulty_paths(&answer).contains(&"connection.config.credentials.gcpConfig.privateKey".to_owned()));
    assert!(!answer.text.contains(CANARY));
}

#[test]
fn odd_keys_of_free_maps_work_in_every_view() {
    let server = Server::start();
    let long = format!("{}password", "x".repeat(20_000));
    let keys = [
        "password",
        "Password",
        "pass word",
        "pass/word",
        "pass~word",
        "~1password",
        "password.",
        "password/",
        "/password",
        "",
        "0",
        "-",
        "config",
        "p\u{e4}ssword \u{1f600} token",
        "token\n\r\t\"",
        "token%2F",
        "token[0]",
        "secret:token",
        &long,
    ];
    let secret = |number: usize| format!("{CANARY} {number}");
    let map: serde_json::Map<_, _> =
        keys.iter().enumerate().map(|(number, key)| ((*key).to_owned(), json!({"token": secret(number)}))).collect();
    let body = with_config(&json!({"username": "reader", "hostPort": "db:1", "connectionArguments": map}));
    server.post(DATABASES, &server.admin(), &body).expect(201);
    let mut references = std::collections::BTreeSet::new();
    for view in ["plaintext", "masked", "references"] {
        let read = server.get(&format!("{DATABASES}/name/shop?view={view}"), &server.admin());
        let arguments = read.expect(200)["connection"]["config"]["connectionArguments"].clone();
        for (number, key) in keys.iter().enumerate() {
            let value = arguments[*key]["token"].as_str().unwrap();
            match view {
                "plaintext" => assert_eq!(value, secret(number), "{key:?}"),
                "masked" => assert_eq!(value, "*********", "{key:?}"),
                _ => assert!(references.insert(value.to_owned()) && value.len() < 530, "{key:?}: {value}"),
            }
        }
        let unresolved = read.header("strongroom-unresolved-references");
        assert!(unresolved.len() < 5_000 && unresolved.is_empty() == (view != "references"), "{unresolved}");
        let mut sent = body.clone();
        sent["connection"] = read.json()["connection"].clone();
        let again = server.put(DATABASES, &server.admin(), &sent);
        assert_eq!(again.header("x-openmetadata-change"), "entityNoChange", "{view}: {:.300}", again.text);
    }
    assert!(!holds(&database_bytes(&server), CANARY));
}
