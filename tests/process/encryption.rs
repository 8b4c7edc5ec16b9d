//! Somebody can write to the database file and has no key: nothing of it is believed, and nothing else is spoiled.

use std::time::Duration;

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::{database, within};
use crate::support::fixtures::fixture;
use crate::support::server::{Answer, DATABASES, Server, mysql};

/// A service with two secrets: its password is `pw-of-NAME`, its CA certificate `ca-of-NAME`.
fn two_secrets(name: &str) -> Value {
    let mut service = mysql(name, &format!("pw-of-{name}"));
    service["connection"]["config"]["sslConfig"] = json!({"caCertificate": format!("ca-of-{name}")});
    service
}

/// A server with the services `alpha`, `beta` and `gamma`, each with two secrets.
fn server_with_three() -> Server {
    let server = Server::start();
    for name in ["alpha", "beta", "gamma"] {
        server.put(DATABASES, &server.admin(), &two_secrets(name)).expect(201);
    }
    server
}

fn get(server: &Server, name: &str) -> Answer {
    server.get(&format!("{DATABASES}/name/{name}"), &server.admin())
}

/// Changes rows behind the server's back, and waits until it must have noticed.
fn tamper(server: &Server, sql: &str) {
    let changed = database(server).execute(sql, []).unwrap();
    assert!(changed > 0, "nothing changed: {sql}");
    std::thread::sleep(std::time::Duration::from_millis(700));
}

/// The id of a service, as SQL has it.
fn id(name: &str) -> String {
    format!("(SELECT id FROM services WHERE fqn = '{name}')")
}

/// The service answers 424 with the path and the remedy and is named by the health check; lists leave out its
/// connection and no other; a PUT by an admin repairs it.
#[track_caller]
fn is_unreadable_reported_and_repaired(server: &Server, name: &str, path: &str) {
    let answer = get(server, name);
    let body = answer.expect(424);
    assert!(body["faults"].as_array().unwrap().iter().any(|fault| fault["path"] == path), "{body}");
    assert!(body["message"].as_str().unwrap().contains(name), "{body}");
    assert!(body.to_string().contains("admin"), "the remedy is missing: {body}");
    for view in ["plaintext", "masked", "references"] {
        server.get(&format!("{DATABASES}/name/{name}?view={view}"), &server.admin()).expect(424);
        let list = server.get(&format!("{DATABASES}?view={view}&include=all"), &server.admin()).expect(200);
        for service in list["data"].as_array().unwrap() {
            assert_eq!(service.get("connection").is_none(), service["name"] == name, "{view}: {service}");
        }
    }
    let hidden = server.get(&format!("{DATABASES}/name/{name}?view=hidden"), &server.admin()).expect(200);
    assert!(hidden.get("connection").is_none(), "{hidden}");
    let health = server.get("/secretsManager/health", &server.admin()).expect(200);
    assert_eq!(health["status"], "degraded");
    let named = &health["unreadable"];
    assert!(named[0]["name"] == name && named.as_array().unwrap().len() == 1, "{health}");
    assert!(named[0]["paths"].as_array().unwrap().contains(&path.into()), "{health}");

    server.put(DATABASES, &server.admin(), &two_secrets(name)).expect(200);

    all_is_well(server, &["alpha", "beta", "gamma"]);
}

#[track_caller]
fn all_is_well(server: &Server, names: &[&str]) {
    for name in names {
        let config = &get(server, name).expect(200)["connection"]["config"];
        assert_eq!(config["authType"]["password"], format!("pw-of-{name}"));
        assert_eq!(config["sslConfig"]["caCertificate"], format!("ca-of-{name}"));
    }
    assert_eq!(server.get("/secretsManager/health", &server.admin()).expect(200)["status"], "ok");
}

#[test]
fn a_ciphertext_copied_from_another_service_does_not_open() {
    let server = server_with_three();
    get(&server, "alpha").expect(200);

    tamper(
        &server,
        &format!(
            "UPDATE ciphertexts SET ciphertext = (SELECT other.ciphertext FROM ciphertexts other
                 WHERE other.owner_id = {} AND other.path = ciphertexts.path)
             WHERE owner_id = {} AND path LIKE '%password'",
            id("beta"),
            id("alpha"),
        ),
    );

    is_unreadable_reported_and_repaired(&server, "alpha", "connection.config.authType.password");
}

#[test]
fn a_whole_row_moved_to_another_service_does_not_open() {
    let server = server_with_three();

    tamper(&server, &format!("DELETE FROM ciphertexts WHERE owner_id = {} AND path LIKE '%password'", id("alpha")));
    tamper(
        &server,
        &format!(
            "INSERT INTO ciphertexts SELECT owner_kind, {}, path, version, key_id, ciphertext FROM ciphertexts
             WHERE owner_id = {} AND path LIKE '%password'",
            id("alpha"),
            id("beta"),
        ),
    );

    is_unreadable_reported_and_repaired(&server, "alpha", "connection.config.authType.password");
}

#[test]
fn two_ciphertexts_of_one_service_do_not_change_places() {
    let server = server_with_three();
    let connection = database(&server);
    let rows = |connection: &Connection| -> Vec<(String, Vec<u8>)> {
        let sql = format!("SELECT path, ciphertext FROM ciphertexts WHERE owner_id = {} ORDER BY path", id("alpha"));
        let mut statement = connection.prepare(&sql).unwrap();
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    let found = rows(&connection);
    assert_eq!(found.len(), 2);

    for (path, other) in [(&found[0].0, &found[1].1), (&found[1].0, &found[0].1)] {
        let sql = format!("UPDATE ciphertexts SET ciphertext = ?1 WHERE owner_id = {} AND path = ?2", id("alpha"));
        assert_eq!(connection.execute(&sql, params![other, path]).unwrap(), 1);
    }
    std::thread::sleep(std::time::Duration::from_millis(700));

    is_unreadable_reported_and_repaired(&server, "alpha", "connection.config.sslConfig.caCertificate");
}

#[test]
fn an_old_ciphertext_put_back_does_not_open_under_any_version() {
    let server = server_with_three();
    let connection = database(&server);
    let select = format!(
        "SELECT version, ciphertext FROM ciphertexts WHERE owner_id = {} AND path LIKE '%password'",
        id("alpha")
    );
    let old: (String, Vec<u8>) = connection.query_row(&select, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let mut changed = two_secrets("alpha");
    changed["connection"]["config"]["authType"]["password"] = "the-next-one".into();

    for with_its_version in [false, true] {
        server.put(DATABASES, &server.admin(), &changed).expect(200);
        let sql = format!(
            "UPDATE ciphertexts SET ciphertext = ?1, version = CASE WHEN ?3 THEN ?2 ELSE version END
             WHERE owner_id = {} AND path LIKE '%password'",
            id("alpha")
        );
        assert_eq!(connection.execute(&sql, params![old.1, old.0, with_its_version]).unwrap(), 1);
        std::thread::sleep(std::time::Duration::from_millis(700));

        is_unreadable_reported_and_repaired(&server, "alpha", "connection.config.authType.password");
    }
}

#[test]
fn a_deleted_or_mangled_ciphertext_is_reported_and_never_missing() {
    let server = server_with_three();
    let of_alpha = format!("owner_id = {} AND path LIKE '%password'", id("alpha"));
    for sql in [
        format!("DELETE FROM ciphertexts WHERE {of_alpha}"),
        format!("UPDATE ciphertexts SET ciphertext = x'' WHERE {of_alpha}"),
        format!("UPDATE ciphertexts SET ciphertext = zeroblob(100) WHERE {of_alpha}"),
        format!("UPDATE ciphertexts SET path = '/nowhere' WHERE {of_alpha}"),
        format!("UPDATE ciphertexts SET version = CAST(x'ff' AS TEXT) WHERE {of_alpha}"),
    ] {
        tamper(&server, &sql);

        is_unreadable_reported_and_repaired(&server, "alpha", "connection.config.authType.password");
    }
}

#[test]
fn a_service_row_that_was_changed_in_any_way_is_not_believed() {
    let server = server_with_three();
    for change in [
        "document = replace(document, 'db:3306', 'evil:3306')",
        "document = json_set(document, '$.deleted', json('true'))",
        "document = 'not JSON'",
        "document = CAST(x'ff' AS TEXT)",
        "secrets = '{}'",
        "secrets = (SELECT secrets FROM services WHERE fqn = 'beta')",
        "deleted = 1",
        "version = version + 1",
        "version = -1",
        "revision = revision + 1",
        "revision = -1",
        "mac = zeroblob(32)",
        "mac = x''",
        "key_id = 'ffffffff'",
        "id = (SELECT randomblob(16))",
    ] {
        println!("{change}");
        tamper(&server, &format!("UPDATE services SET {change} WHERE fqn = 'alpha'"));

        is_unreadable_reported_and_repaired(&server, "alpha", "connection");
        server.run(&["check"]);
    }
}

#[test]
fn a_service_row_that_was_renamed_or_moved_spoils_nothing_else() {
    let server = server_with_three();
    for change in ["fqn = 'other'", "family = 'Dashboard'", "family = 'nonsense'", "fqn = CAST(x'ff' AS TEXT)"] {
        println!("{change}");
        server.put(DATABASES, &server.admin(), &two_secrets("delta"));
        tamper(&server, &format!("UPDATE services SET {change} WHERE fqn = 'delta'"));

        let list = server.get(&format!("{DATABASES}?limit=100"), &server.admin()).expect(200);
        let dashboards = server.get("/services/dashboardServices?limit=100", &server.admin()).expect(200);
        let health = server.get("/secretsManager/health", &server.admin()).expect(200);

        for service in list["data"].as_array().unwrap().iter().chain(dashboards["data"].as_array().unwrap()) {
            let is_ours = ["alpha", "beta", "gamma"].contains(&service["name"].as_str().unwrap());
            assert_eq!(service.get("connection").is_some(), is_ours, "{service}");
        }
        assert_eq!(health["unreadable"].as_array().unwrap().len(), 1, "{health}");
        assert_eq!(get(&server, "beta").status, 200);
        database(&server).execute("DELETE FROM services WHERE fqn NOT IN ('alpha', 'beta', 'gamma')", []).unwrap();
        database(&server)
            .execute("DELETE FROM ciphertexts WHERE owner_id NOT IN (SELECT id FROM services)", [])
            .unwrap();
    }
}

#[test]
fn nobody_makes_himself_an_admin_in_the_database() {
    let server = Server::start();
    server.put(DATABASES, &server.admin(), &two_secrets("alpha")).expect(201);
    for (index, change) in [
        "UPDATE principals SET role = 'admin' WHERE name = 'NAME'",
        "UPDATE principals SET role = 'admin', key_id = a.key_id, mac = a.mac FROM (SELECT * FROM principals) a
             WHERE a.name = 'admin' AND principals.name = 'NAME'",
        "UPDATE principals SET kind = 'user' WHERE name = 'NAME'",
        "UPDATE principals SET role = 'nonsense' WHERE name = 'NAME'",
        "UPDATE principals SET name = CAST(x'ff' AS TEXT) WHERE name = 'NAME'",
        "UPDATE principals SET email = CAST(x'ff' AS TEXT) WHERE name = 'NAME'",
        "UPDATE tokens SET principal_id = (SELECT id FROM principals WHERE name = 'admin')
             WHERE principal_id = (SELECT id FROM principals WHERE name = 'NAME')",
        "UPDATE tokens SET expires_at = expires_at + 1 WHERE principal_id = (SELECT id FROM principals WHERE name = 'NAME')",
        "UPDATE tokens SET expires_at = NULL WHERE principal_id = (SELECT id FROM principals WHERE name = 'NAME')",
        "UPDATE tokens SET mac = x'00' WHERE principal_id = (SELECT id FROM principals WHERE name = 'NAME')",
        "UPDATE tokens SET created_at = 0 WHERE principal_id = (SELECT id FROM principals WHERE name = 'NAME')",
    ]
    .into_iter()
    .enumerate()
    {
        println!("{change}");
        let name = format!("mallory-{index}");
        server.run(&["bot", "create", &name, "--role", "worker"]);
        let token = server.run(&["token", "create", &name, "--expires", "1d"]).trim().to_owned();
        server.get(DATABASES, &token).expect(200);

        tamper(&server, &change.replace("NAME", &name));

        server.get(DATABASES, &token).expect(401);
        server.get(DATABASES, &server.admin()).expect(200);
        server.run(&["bot", "list"]);
        server.run(&["user", "list"]);
        server.run(&["token", "list"]);
        server.run(&["token", "create", "admin"]);
        server.get("/tokens", &server.admin()).expect(200);
        assert!(server.log().contains("not believed"), "nothing is reported");
    }
    let bots = server.run(&["bot", "list"]);
    assert!(bots.contains("changed outside Strongroom"), "{bots}");
}

#[test]
fn no_secret_lies_in_the_files_of_the_database_not_even_after_it_is_gone() {
    let mut server = Server::start();
    let canary = |count: usize| format!("canary{count}-7f3a9c");
    let admin = server.admin();
    for count in 0..20 {
        let mut service = two_secrets("shop");
        service["connection"]["config"]["authType"]["password"] = canary(count).into();
        service["connection"]["config"]["connectionOptions"] = json!({"api_token": canary(count + 100)});
        server.put(DATABASES, &admin, &service);
        let patch =
            json!([{"op": "replace", "path": "/connection/config/authType/password", "value": canary(count + 200)}]);
        server.call("PATCH", &format!("{DATABASES}/name/shop"), &admin, Some(&patch)).expect(200);
    }
    server.call("DELETE", &format!("{DATABASES}/name/shop?hardDelete=true"), &admin, None).expect(200);
    server.put(DATABASES, &admin, &mysql("kept", &canary(300))).expect(201);

    for _ in 0..2 {
        for file in std::fs::read_dir(server.data()).unwrap() {
            let path = file.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(6).any(|window| window == b"canary");
            assert!(!found, "{} holds a secret", path.display());
        }
        server.terminate();
        server.start_again();
    }
    let connection = database(&server);
    let left: i64 = connection.query_row("SELECT count(*) FROM ciphertexts", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 1, "ciphertexts of what was deleted or replaced are still there");
}

#[test]
fn a_running_server_whose_ring_loses_a_key_is_not_ready_until_it_is_back() {
    let server = Server::start();
    server.put(DATABASES, &server.admin(), &mysql("shop", "pw")).expect(201);
    let ring = server.data().join("keys");
    let (ours, another) = (std::fs::read(&ring).unwrap(), fixture("sqlite-schema-4").join("keys"));

    std::fs::write(&ring, std::fs::read(another).unwrap()).unwrap();
    within(Duration::from_secs(2), "it says so", || server.get("/readyz", "").status == 503);
    let faults = server.get("/readyz", "").text;
    std::fs::write(&ring, ours).unwrap();

    assert!(faults.contains("which the database needs"), "{faults}");
    within(Duration::from_secs(2), "it is ready again", || server.get("/readyz", "").status == 200);
    let shop = server.get(&format!("{DATABASES}/name/shop"), &server.admin()).expect(200);
    assert_eq!(shop["connection"]["config"]["authType"]["password"], "pw");
}
