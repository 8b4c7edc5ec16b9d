//! What surrounds the services: the handshake, the types, the documentation, and stubs of the rest of a catalog.

use serde_json::{Value, json};

use super::roles::ROUTES;
use super::{CANARY, database_bytes, facts, holds};
use crate::support::server::Server;

#[test]
fn the_handshake_names_a_version_of_three_parts() {
    let server = Server::start();

    let version = server.get("/system/version", &server.bot("ingestion", "worker")).expect(200);

    let parts: Vec<u32> = version["version"].as_str().unwrap().split('.').map(|part| part.parse().unwrap()).collect();
    assert_eq!(parts.len(), 3);
    assert_eq!(&parts[..2], [2, 0], "the newest line of clients");
    assert!(version["revision"].is_string() && version["timestamp"].as_i64().unwrap() > 1_700_000_000_000);
    let older = Server::start_with(&[("STRONGROOM_CATALOG_VERSION", "1.12.3")]);
    assert_eq!(older.get("/system/version", &older.admin()).expect(200)["version"], "1.12.3");
}

#[test]
fn bulk_calls_of_any_size_are_read_past_and_succeed() {
    let server = Server::start();
    let token = format!("Bearer {}", server.bot("ingestion", "worker"));
    let mut garbage = vec![0xff; 5 * 1024 * 1024];
    garbage.extend(CANARY.as_bytes());
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    let bulk = ["tables", "databases", "databaseSchemas", "storedProcedures", "charts", "topics"];
    for (method, path) in
        bulk.iter().flat_map(|name| [("PUT", format!("/{name}/bulk")), ("DELETE", format!("/{name}/deleteStale"))])
    {
        let answer = server.send(method, &path, &headers, &garbage);

        assert_eq!(answer.expect(200)["status"], "success", "{path}");
        assert_eq!(answer.json()["failedRequest"], json!([]));
    }
    server.send("PUT", "/tables/bulk?async=false", &headers, b"").expect(200);
    assert!(!holds(&database_bytes(&server), CANARY) && !server.log().contains(CANARY));
}

#[test]
fn all_families_and_types_are_served_as_json_schema() {
    let server = Server::start();
    let admin = server.admin();
    let list = server.get("/connectionTypes", &admin).expect(200);
    let families = list["data"].as_array().unwrap();
    let without_connection = ["Dbt", "QueryLog", "WEBHOOK"];
    let mut count = 0;

    assert_eq!(families.len(), 13);
    for family in families {
        let name = family["family"].as_str().unwrap();
        assert_eq!(server.get(&format!("/connectionTypes/{name}"), &admin).expect(200), *family);
        let known = facts()[name].as_object().unwrap().len();
        let types = family["serviceTypes"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
        let types: Vec<_> = types.filter(|name| !without_connection.contains(name)).collect();
        assert_eq!(types.len(), known, "{name}");
        for service_type in types {
            let schema = server.get(&format!("/connectionTypes/{name}/{service_type}"), &admin).expect(200);
            assert_eq!((&schema["type"], &schema["title"]), (&"object".into(), &service_type.into()));
            assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
            assert_no_outside_reference(&schema, &schema);
            count += 1;
        }
    }
    assert_eq!(count, 144);
}

/// Each `$ref` of a schema leads into the schema itself.
fn assert_no_outside_reference(schema: &Value, root: &Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference}"));
                assert!(root.pointer(pointer).is_some_and(Value::is_object), "{reference}");
            }
            members.values().for_each(|member| assert_no_outside_reference(member, root));
        }
        Value::Array(elements) => elements.iter().for_each(|element| assert_no_outside_reference(element, root)),
        _ => {}
    }
}

#[test]
fn every_type_has_a_test_connection_definition() {
    let server = Server::start();
    let worker = server.bot("ingestion", "worker");
    let mut with_steps = 0;
    for service_type in facts().as_object().unwrap().values().flat_map(|types| types.as_object().unwrap().keys()) {
        let name = format!("{service_type}.testConnectionDefinition");
        let paths = [name.clone(), format!("%22{name}%22"), format!("{name}?fields=*"), format!("{name}&include=all")];
        let definitions = paths
            .map(|path| server.get(&format!("/services/testConnectionDefinitions/name/{path}"), &worker).expect(200));

        assert!(definitions.iter().all(|definition| *definition == definitions[0]));
        let definition = &definitions[0];
        for key in ["id", "name", "fullyQualifiedName", "description", "version", "steps"] {
            assert!(!definition[key].is_null(), "{name} has no {key}");
        }
        assert_eq!(definition["name"], name);
        let steps = definition["steps"].as_array().unwrap();
        with_steps += usize::from(!steps.is_empty());
        for step in steps {
            assert!(step["name"].is_string() && step["description"].is_string(), "{step}");
            assert!(step["mandatory"].is_boolean() && step["shortCircuit"].is_boolean(), "{step}");
        }
    }
    assert!(with_steps > 50, "{with_steps}");
}

#[test]
fn the_openapi_document_is_three_point_one_and_has_every_route() {
    let server = Server::start();

    let document = server.get("/openapi.json", &server.admin()).expect(200);

    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
    let paths = document["paths"].as_object().unwrap();
    let mut undescribed: Vec<(String, String)> = Vec::new();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().unwrap() {
            if path.starts_with("/api") {
                undescribed.push((method.to_uppercase(), path.clone()));
                assert!(operation["responses"].get("401").is_some(), "{method} {path} does not say 401");
            }
            assert!(!path.contains('*') && operation["summary"].is_string(), "{method} {path}");
            for name in path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()) {
                let parameters = operation["parameters"].as_array().unwrap().iter();
                assert!(
                    parameters.clone().any(|it| it["name"] == name && it["in"] == "path"),
                    "{method} {path}: {name}"
                );
            }
        }
    }
    for (method, path, _, statuses) in ROUTES {
        let whole = format!("/api/v1{}", path.split('?').next().unwrap());
        let described = undescribed_match(paths, method, &whole);
        let described = described.unwrap_or_else(|| panic!("{method} {path} is not in the document"));
        let operation = &paths[&described][method.to_lowercase()];
        for status in statuses {
            assert!(operation["responses"].get(status.to_string()).is_some(), "{method} {path} does not say {status}");
        }
        undescribed.retain(|it| *it != ((*method).to_owned(), described.clone()));
    }
    assert_eq!(undescribed, [], "described, but not in the table of roles");
}

/// The path of the document that a request falls under: the one with the fewest parameters.
fn undescribed_match(paths: &serde_json::Map<String, Value>, method: &str, path: &str) -> Option<String> {
    let fits = |template: &str| {
        let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        template.len() == path.len() && template.iter().zip(&path).all(|(part, it)| part.starts_with('{') || part == it)
    };
    let fitting = paths.iter().filter(|(template, it)| it.get(method.to_lowercase()).is_some() && fits(template));
    fitting.map(|(template, _)| template.clone()).min_by_key(|template| template.matches('{').count())
}

#[test]
fn the_caller_learns_who_it_is() {
    let server = Server::start();
    let who = |token: &str| server.get("/users/loggedInUser", token).expect(200);

    let (admin, bot) = (who(&server.admin()), who(&server.bot("ingestion", "worker")));

    assert_eq!((&admin["name"], &admin["isAdmin"], &admin["isBot"]), (&"admin".into(), &true.into(), &false.into()));
    assert_eq!((&bot["name"], &bot["isAdmin"], &bot["isBot"]), (&"ingestion".into(), &false.into(), &true.into()));
}

#[test]
fn a_request_keeps_the_id_that_its_client_gave_it_unless_it_could_disturb_a_log() {
    let server = Server::start();
    let token = format!("Bearer {}", server.admin());
    let id_of = |given: &str| {
        let headers = [("authorization", token.as_str()), ("x-request-id", given)];
        server.send("GET", "/nothing", &headers, b"").header("x-request-id").to_owned()
    };

    assert_eq!(id_of("trace-1.a_B"), "trace-1.a_B");
    for given in ["", "a b", "a\tb", "\"a\"", &"x".repeat(65)] {
        assert_ne!(id_of(given), given);
        assert_eq!(id_of(given).len(), 32);
    }
}
