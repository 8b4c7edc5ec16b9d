//! What clients get over HTTP, from a real server process.

mod bad_input;
mod connections;
mod contract;
mod known_wrong;
mod lists;
mod masks;
mod names;
mod patch;
mod references;
mod roles;
mod stubs;
mod tokens;
mod views;
mod writes;

use serde_json::{Value, json};

use crate::support::server::{Answer, Server};

/// A text that no program would write by itself.
const CANARY: &str = "canary-6c1f0a";

/// The audit entries about a service, newest first.
fn audit_of(server: &Server, service: &str) -> Vec<Value> {
    let page = server.get(&format!("/audit?service={service}&limit=1000"), &server.admin()).expect(200);
    page["data"].as_array().unwrap().clone()
}

/// The paths that a 400 names.
#[track_caller]
fn faulty_paths(answer: &Answer) -> Vec<String> {
    let body = answer.expect(400);
    assert_eq!(body["code"], 400);
    let faults = body["faults"].as_array().unwrap();
    faults.iter().map(|fault| fault["path"].as_str().unwrap().to_owned()).collect()
}

/// The database file with its write-ahead log, as bytes.
fn database_bytes(server: &Server) -> Vec<u8> {
    let mut bytes = std::fs::read(server.data().join("strongroom.db")).unwrap();
    bytes.extend(std::fs::read(server.data().join("strongroom.db-wal")).unwrap_or_default());
    bytes
}

/// Says whether bytes hold a text.
fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// What is known of each connection type from outside: its secret paths and connections with a canary in each.
fn facts() -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/connection-type-facts.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A service of each family: its route and what to send to create it.
fn one_of_each_family(server: &Server, name: &str) -> Vec<(String, Value)> {
    let facts = facts();
    let families = server.get("/connectionTypes", &server.admin()).expect(200);
    let families = families["data"].as_array().unwrap().iter();
    let one = |family: &Value| {
        let route = format!("/services/{}", family["route"].as_str().unwrap());
        let types = facts[family["family"].as_str().unwrap()].as_object().unwrap();
        let (service_type, fact) = types.iter().find(|(_, fact)| fact["secretPaths"][0].is_string()).unwrap();
        let config = fact["examples"][0].clone();
        (route, json!({"name": name, "serviceType": service_type, "connection": {"config": config}}))
    };
    families.map(one).collect()
}

/// A server on which admins may type references to nearly any name: what is refused then is refused for what it names.
pub(crate) fn server_with_references() -> Server {
    let prefixes = "/team/,team.,team/,/o,/O,op,Op,OP,sh,/s,/S,/c,/C,/p,/P,/a,/b,/x";
    Server::start_with(&[("STRONGROOM_REFERENCES_ALLOWED_PREFIXES", prefixes)])
}
