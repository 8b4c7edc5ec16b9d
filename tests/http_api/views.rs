//! Who sees what.

use serde_json::{Value, json};

use super::server_with_references;
use super::{CANARY, audit_of, faulty_paths};
use crate::support::server::{Answer, DATABASES, Server, mysql};

/// A server with the service `shop`, whose password is a canary.
fn shop() -> Server {
    let server = server_with_references();
    server.put(DATABASES, &server.admin(), &mysql("shop", CANARY)).expect(201);
    server
}

/// A database that needs no secret.
fn without_secret(name: &str) -> Value {
    json!({"name": name, "serviceType": "SQLite", "connection": {"config": {"hostPort": "reader-host:1"}}})
}

/// The password in an answer.
fn password(answer: &Answer) -> Value {
    answer.expect(200)["connection"]["config"]["authType"]["password"].clone()
}

#[test]
fn an_admin_gets_plaintext_and_it_is_audited_first() {
    let server = shop();

    let answer = server.get(&format!("{DATABASES}/name/shop"), &server.admin());

    assert_eq!(password(&answer), CANARY);
    assert_eq!(answer.header("strongroom-view"), "plaintext");
    assert_eq!(answer.header("cache-control"), "no-store");
    let entry = &audit_of(&server, "shop")[0];
    assert_eq!((&entry["action"], &entry["actor"]), (&"read".into(), &"admin".into()));
    assert_eq!(entry["requestId"], answer.header("x-request-id"));
    assert_eq!(entry["secretPaths"], json!(["/config/authType/password"]));
    assert_eq!(entry["address"], "127.0.0.1");
    assert!(entry["at"].is_i64() && entry["subjectId"] == answer.json()["id"]);
}

#[test]
fn an_admin_may_ask_for_any_view() {
    let server = shop();
    let get = |view: &str| server.get(&format!("{DATABASES}/name/shop?view={view}"), &server.admin());

    assert_eq!(password(&get("plaintext")), CANARY);
    assert_eq!(password(&get("references")), "secret:/openmetadata/database/shop/authtype/password");
    assert_eq!(password(&get("masked")), "*********");
    assert_eq!(get("hidden").expect(200).get("connection"), None);
    for view in ["plaintext", "references", "masked", "hidden"] {
        assert_eq!(get(view).header("strongroom-view"), view);
        assert_eq!(get(view).header("cache-control"), "no-store", "{view}");
    }
    assert_eq!(faulty_paths(&get("clear")), ["view"]);
}

#[test]
fn only_plaintext_is_audited_as_a_read() {
    let server = shop();
    for view in ["references", "masked", "hidden"] {
        server.get(&format!("{DATABASES}/name/shop?view={view}"), &server.admin()).expect(200);
    }
    server.get(&format!("{DATABASES}/name/shop"), &server.user("ada")).expect(200);
    server.get(DATABASES, &server.admin()).expect(200);

    let actions: Vec<_> = audit_of(&server, "shop").iter().map(|entry| entry["action"].clone()).collect();

    assert_eq!(actions, ["create"]);
}

#[test]
fn a_user_and_a_bot_without_a_role_see_no_connection_parameters_anywhere() {
    let server = shop();
    let admin = server.admin();
    server.patch(
        &format!("{DATABASES}/name/shop"),
        &admin,
        &json!([{"op": "replace", "path": "/connection/config/hostPort", "value": "reader-host:2"}]),
    );
    let service = server.get(&format!("{DATABASES}/name/shop"), &admin).expect(200);
    let id = service["id"].as_str().unwrap();
    let result = json!({"status": "Failed", "steps": [{"name": "CheckAccess", "mandatory": true, "passed": false,
        "message": "cannot connect as reader with canary"}]});
    server.put(&format!("{DATABASES}/{id}/testConnectionResult"), &admin, &result).expect(200);
    for token in [server.user("ada"), server.bot("profiler", "none")] {
        let paths = [
            String::new(),
            "?include=all&fields=*&limit=100".to_owned(),
            "/name/shop".to_owned(),
            "/name/shop?fields=*".to_owned(),
            "/name/shop?view=hidden".to_owned(),
            format!("/{id}"),
            format!("/{id}/versions"),
            format!("/{id}/versions/0.1"),
            format!("/{id}/versions/0.2"),
        ];
        for path in paths {
            let answer = server.get(&format!("{DATABASES}{path}"), &token);

            answer.expect(200);
            for word in ["onnection\"", "onnectionResult", "reader", "changeDescription", "*****", "secret:"] {
                assert!(!answer.text.contains(word), "{path} holds {word}: {}", answer.text);
            }
            assert_eq!(answer.header("strongroom-view"), "hidden", "{path}");
        }
    }
}

#[test]
fn a_worker_sees_no_connection_that_holds_a_secret_of_ours() {
    let server = shop();
    let worker = server.bot("ingestion", "worker");
    for path in ["/name/shop", "/name/shop?fields=*", ""] {
        let answer = server.get(&format!("{DATABASES}{path}"), &worker);

        answer.expect(200);
        assert!(!answer.text.contains("connection\"") && !answer.text.contains("reader"), "{}", answer.text);
        assert_eq!(answer.header("strongroom-view"), "hidden");
    }
}

#[test]
fn a_worker_sees_the_whole_connection_where_no_secret_of_ours_is_in_it() {
    let server = server_with_references();
    let (admin, worker) = (server.admin(), server.bot("ingestion", "worker"));
    server.put(DATABASES, &admin, &without_secret("files")).expect(201);
    server.put(DATABASES, &admin, &mysql("typed", "secret:/team/mysql")).expect(201);

    let files = server.get(&format!("{DATABASES}/name/files"), &worker);
    let typed = server.get(&format!("{DATABASES}/name/typed"), &worker);

    assert_eq!(files.expect(200)["connection"]["config"]["hostPort"], "reader-host:1");
    assert_eq!(files.header("strongroom-view"), "references");
    assert_eq!(password(&typed), "secret:/team/mysql");
    let list = server.get(DATABASES, &worker).expect(200);
    assert_eq!(list["data"][1]["connection"]["config"]["authType"]["password"], "secret:/team/mysql");
    assert!(audit_of(&server, "files").iter().all(|entry| entry["action"] != "read"));
}

#[test]
fn asking_for_more_than_one_may_have_is_forbidden_and_never_answered_with_less() {
    let server = shop();
    server.put(DATABASES, &server.admin(), &without_secret("files")).expect(201);
    let id = server.get(&format!("{DATABASES}/name/shop"), &server.admin()).expect(200)["id"].clone();
    let id = id.as_str().unwrap();
    let callers = [server.bot("ingestion", "worker"), server.user("ada"), server.bot("profiler", "none")];
    let versions = [format!("/{id}/versions"), format!("/{id}/versions/0.1")];
    for caller in &callers {
        for path in ["/name/shop", &format!("/{id}"), "", &versions[0], &versions[1]] {
            for view in ["plaintext", "references", "masked"] {
                let answer = server.get(&format!("{DATABASES}{path}?view={view}"), caller);

                assert_eq!(answer.status, 403, "{path}?view={view}: {}", answer.text);
                assert!(!answer.text.contains("reader") && !answer.text.contains(CANARY));
            }
            let hidden = server.get(&format!("{DATABASES}{path}?view=hidden"), caller);
            assert_eq!((hidden.status, hidden.header("strongroom-view")), (200, "hidden"), "{path}");
        }
    }
    server.get(&format!("{DATABASES}/name/files?view=plaintext"), &callers[0]).expect(403);
    server.get(&format!("{DATABASES}/name/files?view=references"), &callers[0]).expect(200);
    server.get(&format!("{DATABASES}/name/files?view=masked"), &callers[1]).expect(403);
}

#[test]
fn a_user_who_asks_for_more_of_an_empty_list_is_forbidden_too() {
    let server = server_with_references();

    server.get(&format!("{DATABASES}?view=masked"), &server.user("ada")).expect(403);
    server.get(&format!("{DATABASES}?view=plaintext&limit=0"), &server.bot("profiler", "none")).expect(403);
}

#[test]
fn a_list_is_masked_unless_an_admin_asks_for_plaintext() {
    let server = shop();
    let admin = server.admin();

    let masked = server.get(DATABASES, &admin);
    let plain = server.get(&format!("{DATABASES}?view=plaintext"), &admin);

    let password_of =
        |answer: &Answer| answer.expect(200)["data"][0]["connection"]["config"]["authType"]["password"].clone();
    assert_eq!((password_of(&masked), masked.header("strongroom-view")), ("*********".into(), "masked"));
    assert_eq!((password_of(&plain), plain.header("strongroom-view")), (CANARY.into(), "plaintext"));
    assert_eq!(plain.header("cache-control"), "no-store");
    let hidden = server.get(&format!("{DATABASES}?view=hidden"), &admin);
    assert_eq!(hidden.expect(200)["data"][0].get("connection"), None);
    assert_eq!(hidden.header("strongroom-view"), "hidden");
}

#[test]
fn a_list_in_plaintext_holds_at_most_a_hundred_and_each_of_them_is_audited() {
    let server = server_with_references();
    let admin = server.admin();
    for number in 0..3 {
        server.put(DATABASES, &admin, &mysql(&format!("shop{number}"), CANARY)).expect(201);
    }

    let answer = server.get(&format!("{DATABASES}?view=plaintext&limit=100"), &admin);

    assert_eq!(answer.expect(200)["data"].as_array().unwrap().len(), 3);
    for number in 0..3 {
        let audit = audit_of(&server, &format!("shop{number}"));
        assert_eq!(
            (&audit[0]["action"], &audit[0]["requestId"]),
            (&"read".into(), &answer.header("x-request-id").into())
        );
    }
    assert_eq!(faulty_paths(&server.get(&format!("{DATABASES}?view=plaintext&limit=101"), &admin)), ["limit"]);
    server.get(&format!("{DATABASES}?view=masked&limit=101"), &admin).expect(200);
}

#[test]
fn answers_to_writes_show_an_admin_masks_and_a_worker_what_a_read_would() {
    let server = server_with_references();
    let (admin, worker) = (server.admin(), server.bot("ingestion", "worker"));
    let change = json!([{"op": "add", "path": "/description", "value": "x"}]);

    let created = server.put(DATABASES, &admin, &mysql("shop", CANARY));
    let id = created.json()["id"].as_str().unwrap().to_owned();
    let path = format!("{DATABASES}/{id}");
    let by_admin = [
        created,
        server.put(DATABASES, &admin, &mysql("shop", "canary-2")),
        server.patch(&path, &admin, &change),
        server.delete(&path, &admin),
        server.put(&format!("{DATABASES}/restore"), &admin, &json!({"id": id})),
        server.delete(&format!("{path}?hardDelete=true"), &admin),
    ];
    let by_worker = [
        server.post(DATABASES, &worker, &mysql("shop", CANARY)),
        server.put(DATABASES, &worker, &mysql("shop", "canary-2")),
    ];
    let open = [
        server.post(DATABASES, &worker, &without_secret("files")),
        server.put(DATABASES, &worker, &without_secret("files")),
    ];

    for answer in by_admin {
        assert_eq!(answer.json()["connection"]["config"]["authType"]["password"], "*********", "{}", answer.text);
        assert_eq!(answer.header("strongroom-view"), "masked");
    }
    for answer in by_worker {
        assert!(answer.json().get("connection").is_none() && !answer.text.contains("reader"), "{}", answer.text);
        assert_eq!(answer.header("strongroom-view"), "hidden");
    }
    for answer in open {
        assert_eq!(answer.json()["connection"]["config"]["hostPort"], "reader-host:1");
        assert_eq!(answer.header("strongroom-view"), "references");
    }
}

#[test]
fn an_entity_tag_is_id_and_version_and_the_same_in_every_view() {
    let server = shop();
    let admin = server.admin();
    let created = server.get(&format!("{DATABASES}/name/shop"), &admin);
    let id = created.json()["id"].as_str().unwrap().to_owned();
    let updated = server.put(DATABASES, &admin, &mysql("shop", "another"));

    assert_eq!(created.header("etag"), format!("\"{id}-0.1\""));
    assert_eq!(updated.header("etag"), format!("\"{id}-0.2\""));
    for view in ["plaintext", "references", "masked", "hidden"] {
        let answer = server.get(&format!("{DATABASES}/{id}?view={view}"), &admin);
        assert_eq!(answer.header("etag"), format!("\"{id}-0.2\""));
    }
    let by_user = server.get(&format!("{DATABASES}/{id}"), &server.user("ada"));
    assert_eq!(by_user.header("etag"), format!("\"{id}-0.2\""));
}

#[test]
fn a_header_names_references_that_the_unmodified_client_leaves_as_they_are() {
    let server = server_with_references();
    let admin = server.admin();
    let config = json!({"config": {"username": "reader", "hostPort": "db:1", "authType": {"awsConfig": {
        "awsRegion": "eu-west-1", "awsSecretAccessKey": "k", "awsSessionToken": "t"}}}});
    server.put(DATABASES, &admin, &json!({"name": "shop", "serviceType": "Mysql", "connection": config})).expect(201);

    let answer = server.get(&format!("{DATABASES}/name/shop?view=references"), &admin);

    let unresolved = answer.header("strongroom-unresolved-references");
    assert_eq!(unresolved, "connection.config.authType.awsConfig.awsSessionToken");
}

#[test]
fn the_audit_is_paged_and_filtered_by_actor_service_and_time() {
    let server = shop();
    let (admin, second) = (server.admin(), server.bot("second", "admin"));
    for _ in 0..3 {
        server.get(&format!("{DATABASES}/name/shop"), &second).expect(200);
    }
    let id = server.get(&format!("{DATABASES}/name/shop"), &admin).expect(200)["id"].clone();
    let page = |query: &str| server.get(&format!("/audit?{query}"), &admin).expect(200);
    let count = |query: &str| page(query)["data"].as_array().unwrap().len();

    let first = page("actor=second&limit=2");
    let next = page(&format!("actor=second&limit=2&after={}", first["paging"]["after"].as_str().unwrap()));

    assert_eq!((first["data"].as_array().unwrap().len(), next["data"].as_array().unwrap().len()), (2, 1));
    assert_eq!(next["paging"].get("after"), None);
    assert_eq!(count(&format!("service={}", id.as_str().unwrap())), 5);
    assert_eq!(count("service=shop"), 5);
    let created = audit_of(&server, "shop")[4]["at"].as_i64().unwrap();
    assert_eq!(count(&format!("service=shop&until={created}")), 0);
    assert_eq!(count(&format!("service=shop&since={created}")), 5);
    for query in ["limit=0", "limit=1001", "since=yesterday", "after=x"] {
        server.get(&format!("/audit?{query}"), &admin).expect(400);
    }
}
