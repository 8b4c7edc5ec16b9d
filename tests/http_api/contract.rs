//! The life of a service, as existing clients know it: statuses, headers and bodies.

use serde_json::{Value, json};

use super::{faulty_paths, one_of_each_family};
use crate::support::server::{Answer, DATABASES, Server, mysql};

/// The status of an answer and what it says was changed.
fn outcome(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.header("x-openmetadata-change"))
}

fn path_of(service: &Value) -> String {
    format!("{DATABASES}/{}", service["id"].as_str().unwrap())
}

/// A server with the service `shop`, and that.
fn shop() -> (Server, Value) {
    let server = Server::start();
    let service = server.put(DATABASES, &server.admin(), &mysql("shop", "canary")).expect(201);
    (server, service)
}

#[test]
fn a_service_of_every_family_lives_as_clients_expect() {
    let server = Server::start();
    let admin = server.admin();
    let change = json!([{"op": "add", "path": "/description", "value": "changed"}]);
    let again = json!([{"op": "add", "path": "/description", "value": "changed again"}]);
    for (route, body) in one_of_each_family(&server, "it") {
        let created = server.post(&route, &admin, &body);
        assert_eq!(outcome(&created), (201, "entityCreated"), "{route}: {}", created.text);
        let id = created.json()["id"].as_str().unwrap().to_owned();
        let (by_id, by_name) = (format!("{route}/{id}"), format!("{route}/name/it"));
        assert_eq!(created.header("location"), format!("{}/api/v1{by_id}", server.base));
        assert_eq!(outcome(&server.put(&route, &admin, &body)), (200, "entityNoChange"), "{route}");
        assert_eq!(outcome(&server.patch(&by_id, &admin, &change)), (200, "entityUpdated"), "{route}");
        assert_eq!(outcome(&server.patch(&by_name, &admin, &change)), (200, "entityNoChange"), "{route}");
        assert_eq!(outcome(&server.patch(&by_name, &admin, &again)), (200, "entityUpdated"), "{route}");
        assert_eq!(server.get(&by_name, &admin).expect(200)["version"], 0.3);
        assert_eq!(outcome(&server.delete(&by_id, &admin)), (200, "entitySoftDeleted"), "{route}");
        assert_eq!(outcome(&server.delete(&by_name, &admin)).0, 200, "{route}");
        let restored = server.put(&format!("{route}/restore"), &admin, &json!({"id": id}));
        assert_eq!(outcome(&restored), (200, "entityRestored"), "{route}");
        let versions = server.get(&format!("{by_id}/versions"), &admin).expect(200);
        assert_eq!(format!("/services/{}s", versions["entityType"].as_str().unwrap()), route);
        let erased = server.delete(&format!("{by_id}?hardDelete=true&recursive=true"), &admin);
        assert_eq!(outcome(&erased), (200, "entityDeleted"), "{route}");
        for path in [by_id.clone(), by_name, format!("{by_id}?include=all"), format!("{by_id}/versions")] {
            assert_eq!(server.get(&path, &admin).expect(404)["code"], 404, "{path}");
        }
        server.delete(&by_id, &admin).expect(404);
        assert_eq!(outcome(&server.put(&route, &admin, &body)), (201, "entityCreated"), "{route}");
    }
}

#[test]
fn an_entity_holds_what_clients_know_and_nothing_else() {
    let (server, service) = shop();
    let known = "id name fullyQualifiedName displayName serviceType description connection pipelines \
        testConnectionResult tags style version updatedAt updatedBy impersonatedBy owners href followers \
        changeDescription incrementalChangeDescription deleted entityStatus dataProducts dataContract domains \
        ingestionRunner";
    let mut body = mysql("full", "canary");
    let others = json!({
        "displayName": "Full", "description": "All of it", "tags": [{"tagFQN": "PII.None"}],
        "style": {"color": "#fff"}, "owners": [{"id": "00000000-0000-4000-8000-000000000000", "type": "user"}],
        "domains": ["sales"], "dataProducts": ["orders"],
        "ingestionRunner": {"id": "00000000-0000-4000-8000-000000000000", "type": "ingestionRunner"},
    });
    body.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());

    let full = server.post(DATABASES, &server.admin(), &body).expect(201);

    for key in others.as_object().unwrap().keys() {
        assert!(!full[key].is_null(), "{key}");
    }
    assert_eq!((&full["displayName"], &full["domains"][0]["name"]), (&"Full".into(), &"sales".into()));
    for entity in [&service, &full] {
        let unknown = entity.as_object().unwrap().keys().find(|key| !known.split_whitespace().any(|it| it == *key));
        assert_eq!(unknown, None);
        assert!(entity["updatedAt"].is_i64() && entity["deleted"] == false);
        assert_eq!(entity["updatedBy"], "admin");
        assert_eq!(entity["href"], format!("{}/api/v1{}", server.base, path_of(entity)));
        assert_eq!(entity["connection"].as_object().unwrap().keys().collect::<Vec<_>>(), ["config"]);
    }
}

#[test]
fn a_name_that_is_taken_is_refused_even_by_a_service_that_was_deleted() {
    let (server, service) = shop();
    let admin = server.admin();

    let taken = server.post(DATABASES, &admin, &mysql("shop", "another")).expect(409);
    server.delete(&path_of(&service), &admin).expect(200);
    let taken_by_deleted = server.post(DATABASES, &admin, &mysql("shop", "another")).expect(409);

    assert_eq!((&taken["code"], &taken["message"]), (&409.into(), &"Entity already exists".into()));
    assert_eq!(taken_by_deleted["message"], "Entity already exists");
}

#[test]
fn a_put_brings_a_deleted_service_back() {
    let (server, service) = shop();
    let admin = server.admin();
    server.delete(&path_of(&service), &admin).expect(200);

    let back = server.put(DATABASES, &admin, &mysql("shop", "another"));

    assert_eq!((&back.expect(200)["deleted"], &back.json()["id"]), (&false.into(), &service["id"]));
    let read = server.get(&path_of(&service), &admin).expect(200);
    assert_eq!(read["connection"]["config"]["authType"]["password"], "another");
}

#[test]
fn a_worker_learns_that_an_admin_can_restore_a_deleted_service() {
    let (server, service) = shop();
    let worker = server.bot("ingestion", "worker");
    server.delete(&path_of(&service), &server.admin()).expect(200);

    let refused = server.put(DATABASES, &worker, &mysql("shop", "another")).expect(409);

    assert!(refused["message"].as_str().unwrap().contains("admin can restore"), "{refused}");
    assert_eq!(server.post(DATABASES, &worker, &mysql("shop", "another")).status, 409);
    server.get(&path_of(&service), &server.admin()).expect(404);
}

#[test]
fn a_put_of_a_worker_on_a_service_that_exists_changes_nothing() {
    let (server, service) = shop();
    let (admin, worker) = (server.admin(), server.bot("ingestion", "worker"));
    let before = server.get(&path_of(&service), &admin).expect(200);
    let mut other_type = mysql("shop", "another");
    other_type["serviceType"] = "Postgres".into();
    let mut described = mysql("shop", "*********");
    described["description"] = "by a worker".into();
    for body in [mysql("shop", "another"), other_type, described, json!({"name": "shop"})] {
        let answer = server.put(DATABASES, &worker, &body);

        assert_eq!(outcome(&answer), (200, "entityNoChange"), "{}", answer.text);
        assert_eq!(answer.json()["id"], service["id"]);
        assert_eq!(server.get(&path_of(&service), &admin).expect(200), before);
    }
}

#[test]
fn a_deleted_service_is_found_only_by_those_who_ask_for_deleted_ones() {
    let (server, service) = shop();
    let admin = server.admin();
    let get = |query: &str| server.get(&format!("{}{query}", path_of(&service)), &admin);
    get("?include=deleted").expect(404);
    server.delete(&path_of(&service), &admin).expect(200);

    get("").expect(404);
    get("?include=non-deleted").expect(404);
    for query in ["?include=all", "?include=deleted"] {
        let found = get(query).expect(200);
        assert_eq!(found["deleted"], true);
        assert_eq!(found["connection"]["config"]["authType"]["password"], "canary", "its secrets are kept");
    }
    get("/versions").expect(200);
    server.patch(&path_of(&service), &admin, &json!([])).expect(404);
    assert_eq!(outcome(&server.delete(&path_of(&service), &admin)), (200, "entitySoftDeleted"));
    assert_eq!(get("?include=all").expect(200)["version"], 0.2, "a second delete is no change");
}

#[test]
fn restoring_what_is_not_deleted_or_not_there_is_refused() {
    let (server, service) = shop();
    let restore = |body: Value| server.put(&format!("{DATABASES}/restore"), &server.admin(), &body);

    assert_eq!(faulty_paths(&restore(json!({"id": service["id"]}))), ["id"]);
    assert_eq!(faulty_paths(&restore(json!({"id": "nonsense"}))), ["id"]);
    assert_eq!(faulty_paths(&restore(json!({}))), ["id"]);
    restore(json!({"id": "00000000-0000-4000-8000-000000000000"})).expect(404);
}

#[test]
fn the_forms_for_jobs_do_the_work_and_answer_as_a_job_does() {
    let (server, service) = shop();
    let admin = server.admin();

    let soft = server.delete(&format!("{DATABASES}/async/name/shop"), &admin);
    server.get(&path_of(&service), &admin).expect(404);
    let back = server.put(&format!("{DATABASES}/restore?async=true"), &admin, &json!({"id": service["id"]}));
    server.get(&path_of(&service), &admin).expect(200);
    let hard = server.delete(&format!("{DATABASES}/async/{}?hardDelete=true", service["id"].as_str().unwrap()), &admin);
    server.get(&format!("{}?include=all", path_of(&service)), &admin).expect(404);

    for answer in [soft, back, hard] {
        assert!(answer.expect(202)["jobId"].is_string() && answer.json()["entityName"] == "shop", "{}", answer.text);
    }
}

#[test]
fn versions_grow_by_a_tenth_and_are_listed_newest_first() {
    let (server, service) = shop();
    let admin = server.admin();
    for number in 2..=11 {
        let operation = json!([{"op": "add", "path": "/description", "value": format!("version {number}")}]);
        let answer = server.patch(&path_of(&service), &admin, &operation);
        assert_eq!(answer.json()["version"].to_string(), format!("{}.{}", number / 10, number % 10));
    }

    let list = server.get(&format!("{}/versions", path_of(&service)), &admin).expect(200);

    assert_eq!(list["entityType"], "databaseService");
    let versions = list["versions"].as_array().unwrap().iter().map(|text| text.as_str().unwrap());
    let versions: Vec<Value> = versions.map(|text| serde_json::from_str(text).unwrap()).collect();
    let numbers: Vec<_> = versions.iter().map(|version| version["version"].to_string()).collect();
    assert_eq!(numbers, ["1.1", "1.0", "0.9", "0.8", "0.7", "0.6", "0.5", "0.4", "0.3", "0.2", "0.1"]);
    let get = |version: &str| server.get(&format!("{}/versions/{version}", path_of(&service)), &admin);
    assert_eq!(get("1.0").expect(200)["description"], "version 10");
    assert_eq!(get("0.1").expect(200).get("description"), None);
    assert_eq!(get("1.1").expect(200)["changeDescription"]["previousVersion"].to_string(), "1.0");
    get("1.2").expect(404);
    get("x").expect(400);
    get("0.10").expect(400);
}

#[test]
fn what_changes_nothing_makes_no_version() {
    let (server, service) = shop();
    let admin = server.admin();
    let same = json!([{"op": "replace", "path": "/connection/config/username", "value": "reader"}]);
    let masked = json!([{"op": "replace", "path": "/connection/config/authType/password", "value": "**********"}]);
    for operations in [json!([]), same, masked] {
        let answer = server.patch(&path_of(&service), &admin, &operations);

        assert_eq!((outcome(&answer), &answer.json()["version"]), ((200, "entityNoChange"), &json!(0.1)));
    }
    for password in ["canary", "*********"] {
        assert_eq!(outcome(&server.put(DATABASES, &admin, &mysql("shop", password))), (200, "entityNoChange"));
    }
    let versions = server.get(&format!("{}/versions", path_of(&service)), &admin).expect(200);
    assert_eq!(versions["versions"].as_array().unwrap().len(), 1);
}

#[test]
fn a_test_result_is_stored_scrubbed_and_makes_no_version() {
    let (server, service) = shop();
    let path = format!("{}/testConnectionResult", path_of(&service));
    let steps = json!([{"name": "CheckAccess", "mandatory": true, "passed": false,
        "message": "no access for reader:canary at mysql://reader:canary@db and canary", "errorLog": "canary"}]);
    let result = json!({"status": "Failed", "lastUpdatedAt": 1, "steps": steps});

    let answer = server.put(&path, &server.bot("ingestion", "worker"), &result);

    assert!(answer.expect(200).get("testConnectionResult").is_none(), "{}", answer.text);
    let stored = server.get(&format!("{}?view=masked", path_of(&service)), &server.admin());
    assert_eq!(stored.expect(200)["version"], 0.1);
    assert_eq!(stored.json()["testConnectionResult"]["status"], "Failed");
    assert!(!stored.text.contains("canary"), "{}", stored.text);
    for wrong in
        [json!([]), json!({"status": "Failed"}), json!({"steps": [{"name": "x"}]}), json!({"steps": [], "a": 1})]
    {
        faulty_paths(&server.put(&path, &server.admin(), &wrong));
    }
}

#[test]
fn if_match_protects_from_overwriting_what_one_has_not_seen() {
    let (server, service) = shop();
    let token = format!("Bearer {}", server.admin());
    let send = |method: &str, path: &str, tag: &str, body: &Value| {
        let media_type = if method == "PATCH" { "application/json-patch+json" } else { "application/json" };
        let headers = [("authorization", token.as_str()), ("content-type", media_type), ("if-match", tag)];
        server.send(method, path, &headers, body.to_string().as_bytes())
    };
    let tag = |version: &str| format!("\"{}-{version}\"", service["id"].as_str().unwrap());
    let change = |text: &str| json!([{"op": "add", "path": "/description", "value": text}]);
    let path = path_of(&service);

    for stale in [tag("0.2"), tag("0.10"), "\"0.1\"".to_owned(), "0.1".to_owned(), "W/\"x\"".to_owned()] {
        assert_eq!(send("PATCH", &path, &stale, &change("x")).expect(412)["code"], 412);
        send("PUT", DATABASES, &stale, &mysql("shop", "another")).expect(412);
        send("DELETE", &path, &stale, &Value::Null).expect(412);
    }
    send("PATCH", &path, &tag("0.1"), &change("one")).expect(200);
    send("PATCH", &path, &tag("0.1"), &change("two")).expect(412);
    send("PATCH", &path, &format!("{}, {}", tag("0.1"), tag("0.2")), &change("two")).expect(200);
    send("PATCH", &path, "*", &change("three")).expect(200);
    send("PUT", DATABASES, &tag("0.4"), &mysql("shop", "another")).expect(200);
    send("PUT", DATABASES, "*", &mysql("new", "another")).expect(412);
    send("DELETE", &path, &tag("0.5"), &Value::Null).expect(200);
}
