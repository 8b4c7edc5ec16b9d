//! One canary in requests of every kind, searched in every file, log line and answer.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::server::{Answer, DATABASES, Server, mysql};

/// With characters that JSON, URLs and base64 write in another way.
const CANARY: &str = "cAnary/7\"f3 a+9\u{e9}%";

/// The canary, and what it looks like in other clothes.
fn forms() -> Vec<String> {
    let json = serde_json::to_string(CANARY).unwrap();
    let percent = |keep: fn(u8) -> bool, upper: bool| -> String {
        let byte = |byte: u8| match (keep(byte), upper) {
            (true, _) => char::from(byte).to_string(),
            (false, true) => format!("%{byte:02X}"),
            (false, false) => format!("%{byte:02x}"),
        };
        CANARY.bytes().map(byte).collect()
    };
    let alphanumeric = |byte: u8| byte.is_ascii_alphanumeric();
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    vec![
        "cAnary".to_owned(),
        json.trim_matches('"').to_owned(),
        percent(alphanumeric, true),
        percent(alphanumeric, false),
        percent(unreserved, true),
        base64(CANARY.as_bytes()),
        base64(format!("reader:{CANARY}").as_bytes()),
        base64(b"xcAnary")[..].chars().skip(2).take(7).collect(),
    ]
}

/// Standard base64 without padding, so that no crate is needed for a dozen bytes.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}

#[track_caller]
fn is_clean(what: &str, bytes: &[u8], more: &[String]) {
    for form in forms().iter().chain(more) {
        let found = bytes.windows(form.len()).position(|window| window == form.as_bytes());
        if let Some(at) = found {
            let around = &bytes[at.saturating_sub(120)..(at + 80).min(bytes.len())];
            panic!("{what} holds {form}: …{}…", String::from_utf8_lossy(around));
        }
    }
}

#[track_caller]
fn clean(what: &str, answer: &Answer) {
    is_clean(what, answer.text.as_bytes(), &[]);
    is_clean(what, format!("{:?}", answer.headers).as_bytes(), &[]);
}

/// A service with the canary wherever a secret may be.
fn full(name: &str) -> Value {
    let mut service = mysql(name, CANARY);
    let config = &mut service["connection"]["config"];
    config["sslConfig"] = json!({"caCertificate": CANARY, "sslKey": CANARY});
    config["connectionOptions"] = json!({"api_token": CANARY, "proxy": "http://me:cAnary7f3a9c@proxy/"});
    config["connectionArguments"] = json!({"nested": {"list": [{"password": CANARY}]}});
    service
}

/// Bodies that are refused, with the canary where a message could quote it.
fn wrong_bodies() -> Vec<(String, String)> {
    let mut bodies = Vec::new();
    let mut add = |what: &str, change: &dyn Fn(&mut Value)| {
        let mut service = full("wrong");
        change(&mut service);
        bodies.push((what.to_owned(), service.to_string()));
    };
    add("a password that is an object", &|it| {
        it["connection"]["config"]["authType"]["password"] = json!({"x": CANARY});
    });
    add("a password that is a list", &|it| it["connection"]["config"]["authType"]["password"] = json!([CANARY]));
    add("a secret for a boolean", &|it| {
        it["connection"]["config"]["supportsMetadataExtraction"] = CANARY.into();
    });
    add("a secret for an enum", &|it| it["connection"]["config"]["scheme"] = CANARY.into());
    add("a secret for an object", &|it| it["connection"]["config"]["sslConfig"] = CANARY.into());
    add("a secret for the whole authType", &|it| it["connection"]["config"]["authType"] = CANARY.into());
    add("a secret in an unknown field", &|it| it["connection"]["config"]["passwort"] = CANARY.into());
    add("a secret as the config", &|it| it["connection"]["config"] = CANARY.into());
    add("a secret as the connection", &|it| it["connection"] = CANARY.into());
    add("a secret beside the config", &|it| it["connection"]["pw"] = CANARY.into());
    add("a secret as a tag", &|it| it["tags"] = CANARY.into());
    add("no name", &|it| it["name"] = Value::Null);
    add("a long name", &|it| it["name"] = "x".repeat(300).into());
    add("a secret that is too long", &|it| {
        it["connection"]["config"]["authType"]["password"] = CANARY.repeat(6000).into();
    });
    add("a reference to what is not ours", &|it| {
        it["connection"]["config"]["authType"]["password"] = format!("secret:{CANARY}").into();
    });
    let whole = full("wrong").to_string();
    bodies.push(("cut JSON".to_owned(), whole[..whole.len() - 9].to_owned()));
    bodies.push(("bad escape".to_owned(), format!("{{\"name\": \"{}\\q\"}}", "cAnary")));
    bodies.push(("no quotes".to_owned(), format!("{{\"name\": {}}}", "cAnary")));
    bodies.push(("twice a key".to_owned(), format!("{{\"a\": \"{0}\", \"a\": \"{0}\"}}", "cAnary")));
    bodies.push(("a text".to_owned(), serde_json::to_string(CANARY).unwrap()));
    bodies.push(("NUL".to_owned(), format!("{{\"a\": \"{}\\u0000\"}}", "cAnary")));
    bodies.push(("lone surrogate".to_owned(), format!("{{\"a\": \"{}\\ud800\"}}", "cAnary")));
    bodies
}

fn patches() -> Vec<(&'static str, Value)> {
    let password = "/connection/config/authType/password";
    vec![
        ("replace", json!([{"op": "replace", "path": password, "value": CANARY}])),
        (
            "add to a map",
            json!([{"op": "add", "path": "/connection/config/connectionOptions/token2", "value": CANARY}]),
        ),
        ("test", json!([{"op": "test", "path": password, "value": CANARY}])),
        ("test elsewhere", json!([{"op": "test", "path": "/displayName", "value": CANARY}])),
        ("wrong path", json!([{"op": "replace", "path": "/connection/config/nowhere/x", "value": CANARY}])),
        ("wrong type", json!([{"op": "replace", "path": "/connection/config/scheme", "value": CANARY}])),
        ("no operation", json!([{"op": "replacee", "path": password, "value": CANARY}])),
        ("no list", json!({"value": CANARY})),
        ("copy", json!([{"op": "copy", "from": password, "path": "/description"}])),
        ("move", json!([{"op": "move", "from": password, "path": "/displayName"}])),
    ]
}

#[test]
fn a_secret_is_in_no_file_no_log_line_and_no_answer_but_plaintext() {
    let mut server = Server::start_with(&[("LOG_LEVEL", "trace"), ("STRONGROOM_LOG_FORMAT", "json")]);
    let admin = server.admin();
    let made = server.put(DATABASES, &admin, &full("shop"));
    clean("PUT", &made);
    let id = made.expect(201)["id"].as_str().unwrap().to_owned();
    let (json_type, patch_type) = ("application/json", "application/json-patch+json");
    let bearer = format!("Bearer {admin}");
    for (what, body) in wrong_bodies() {
        for (method, path) in [("PUT", DATABASES), ("POST", DATABASES), ("PUT", "/services/nowhere"), ("POST", "/x")] {
            let headers = [("authorization", bearer.as_str()), ("content-type", json_type)];
            let answer = server.send(method, path, &headers, body.as_bytes());

            clean(&format!("{method} {path} with {what}"), &answer);
            assert!((400..500).contains(&answer.status), "{method} {path} with {what}: {}", answer.text);
        }
    }
    for (what, patch) in patches() {
        let body = patch.to_string();
        for media_type in [patch_type, json_type] {
            let headers = [("authorization", bearer.as_str()), ("content-type", media_type)];
            clean(what, &server.send("PATCH", &format!("{DATABASES}/{id}"), &headers, body.as_bytes()));
        }
    }
    let without_token = [("content-type", json_type)];
    clean("without a token", &server.send("PUT", DATABASES, &without_token, full("x").to_string().as_bytes()));
    let bad_token = [("authorization", "Bearer cAnary"), ("content-type", json_type)];
    clean("with a bad token", &server.send("PUT", DATABASES, &bad_token, full("x").to_string().as_bytes()));
    clean("query string", &server.get(&format!("{DATABASES}?after=cAnary&limit=cAnary&view=cAnary"), &admin));
    test_results_are_scrubbed(&server, &id);
    views_are_clean(&server, &id);
    clean("bulk", &server.put("/tables/bulk", &admin, &json!([CANARY])));
    clean("DELETE", &server.call("DELETE", &format!("{DATABASES}/{id}?hardDelete=true"), &admin, None));
    server.put(DATABASES, &admin, &full("shop")).expect(201);

    nothing_is_in_the_files(&mut server);
}

fn test_results_are_scrubbed(server: &Server, id: &str) {
    let worker = server.bot("worker", "worker");
    let quoted = [
        format!("Access denied for 'reader' using '{CANARY}'"),
        format!("mysql+pymysql://reader:{CANARY}@db:3306/ failed"),
        format!("{{\"password\": {}}}", serde_json::to_string(CANARY).unwrap()),
        format!("mysql://reader:{}@db", forms()[2]),
        format!("GET /login?pw={}", forms()[3]),
        format!("cookie {}", forms()[4]),
        format!("sent {}", base64(CANARY.as_bytes())),
        format!("Authorization: Basic {}", base64(format!("reader:{CANARY}").as_bytes())),
    ];
    for message in &quoted {
        let step =
            json!({"name": "CheckAccess", "mandatory": true, "passed": false, "message": message, "errorLog": message});
        let result = json!({"status": "Failed", "steps": [step]});
        for token in [&worker, &server.admin()] {
            let answer = server.put(&format!("{DATABASES}/{id}/testConnectionResult"), token, &result);
            answer.expect(200);
            clean(message, &answer);
        }
        clean(message, &server.get(&format!("{DATABASES}/{id}?view=masked"), &server.admin()));
    }
}

fn views_are_clean(server: &Server, id: &str) {
    let admin = server.admin();
    for view in ["masked", "references", "hidden"] {
        clean(view, &server.get(&format!("{DATABASES}/{id}?view={view}"), &admin));
        clean(view, &server.get(&format!("{DATABASES}?view={view}"), &admin));
    }
    for path in ["", "/versions", "/versions/0.1"] {
        let path = if path.is_empty() { DATABASES.to_owned() } else { format!("{DATABASES}/{id}{path}") };
        for token in [&admin, &server.user(&format!("user{}", path.len()))] {
            clean(&path, &server.get(&path, token));
        }
    }
    for path in ["/audit", "/secretsManager/health", "/tokens", "/openapi.json"] {
        clean(path, &server.get(path, &admin));
    }
    let plain = server.get(&format!("{DATABASES}/{id}"), &admin).expect(200);
    assert_eq!(plain["connection"]["config"]["authType"]["password"], CANARY);
}

fn nothing_is_in_the_files(server: &mut Server) {
    let tokens = [server.admin(), server.bot("last", "admin")];
    let keys = std::fs::read_to_string(server.data().join("keys")).unwrap();
    let keys = keys.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned);
    let more: Vec<String> = tokens.into_iter().chain(keys).collect();
    std::thread::sleep(Duration::from_millis(100));
    for stopped in [false, true] {
        if stopped {
            assert!(server.terminate().success());
        }
        is_clean("the log", server.log().as_bytes(), &more);
        is_clean("standard output", server.printed().as_bytes(), &more);
        for file in std::fs::read_dir(server.data()).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let known: &[String] = if ["keys", "admin-token"].contains(&name.as_str()) { &[] } else { &more };
            is_clean(&name, &std::fs::read(&path).unwrap(), known);
        }
    }
    assert!(server.log().len() > 10_000, "it did not log at trace");
}

#[test]
fn a_test_result_is_not_kept_where_a_secret_cannot_be_read_to_take_it_out() {
    let server = Server::start();
    let service = server.put(DATABASES, &server.admin(), &full("shop")).expect(201);
    let sql = "UPDATE ciphertexts SET ciphertext = zeroblob(60) WHERE path LIKE '%caCertificate'";
    assert_eq!(super::database(&server).execute(sql, []).unwrap(), 1);
    std::thread::sleep(Duration::from_millis(700));
    let step = json!({"name": "CheckAccess", "mandatory": true, "passed": false, "message": format!("no: {CANARY}")});
    let result = json!({"status": "Failed", "steps": [step]});
    let path = format!("{DATABASES}/{}/testConnectionResult", service["id"].as_str().unwrap());

    clean("the answer", &server.put(&path, &server.admin(), &result));

    clean("a read", &server.get(&format!("{DATABASES}/name/shop?view=hidden"), &server.admin()));
    for end in ["", "-wal"] {
        let bytes = std::fs::read(server.data().join(format!("strongroom.db{end}"))).unwrap();
        is_clean("the database", &bytes, &[]);
    }
}
