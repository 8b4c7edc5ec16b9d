//! Every connection type, against what is known of it from outside: each of its secrets is kept as one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::support::server::Server;

/// What the values of all secrets in the examples begin with.
const CANARY: &str = "canary-";

fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// One example of a connection, as a service of its own.
struct Example {
    family: String,
    route: String,
    name: String,
    body: Value,
}

impl Example {
    fn config(&self) -> &Value {
        &self.body["connection"]["config"]
    }

    fn path(&self) -> String {
        format!("{}/name/{}", self.route, self.name)
    }
}

/// All examples of all types, each with canaries that no other has.
fn examples(server: &Server) -> Vec<Example> {
    let facts = fixture("connection-type-facts.json");
    let families = server.get("/connectionTypes", &server.admin()).expect(200);
    let mut examples = Vec::new();
    for family in families["data"].as_array().unwrap() {
        let (name, route) = (family["family"].as_str().unwrap(), family["route"].as_str().unwrap());
        let types = facts[name].as_object().unwrap();
        let (family, route) = (name.to_owned(), format!("/services/{route}"));
        for (service_type, fact) in types {
            for (number, config) in fact["examples"].as_array().unwrap().iter().enumerate() {
                let name = format!("{service_type}-{number}");
                let text = config.to_string().replace(CANARY, &format!("{CANARY}{name}-"));
                let config: Value = serde_json::from_str(&text).unwrap();
                let body = json!({"name": name, "serviceType": service_type, "connection": {"config": config}});
                examples.push(Example { family: family.clone(), route: route.clone(), name, body });
            }
        }
    }
    examples
}

/// The places of all texts and other leaves of a document, as JSON Pointers.
fn leaves(value: &Value, at: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, it)| leaves(it, &format!("{at}/{key}"), found)),
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(index, it)| leaves(it, &format!("{at}/{index}"), found));
        }
        leaf => found.push((at.to_owned(), leaf.clone())),
    }
}

fn leaves_of(value: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    leaves(value, "", &mut found);
    found
}

fn is_canary(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with(CANARY))
}

/// A server that has every example.
fn with_all() -> (Server, Vec<Example>) {
    let server = Server::start_with(&[("LOG_LEVEL", "trace")]);
    let examples = examples(&server);
    for example in &examples {
        let answer = server.post(&example.route, &server.admin(), &example.body);
        assert_eq!(answer.status, 201, "{}: {}", example.name, answer.text);
        assert!(!answer.text.contains(CANARY), "{}: {}", example.name, answer.text);
    }
    (server, examples)
}

#[test]
fn the_examples_exercise_every_secret_path_that_is_known() {
    let facts = fixture("connection-type-facts.json");
    let mut count = 0;
    for (family, types) in facts.as_object().unwrap() {
        for (service_type, fact) in types.as_object().unwrap() {
            let paths = ["secretPaths", "sensitivePaths"].map(|key| fact[key].as_array().unwrap().clone()).concat();
            let known: BTreeSet<String> = paths.iter().map(|path| path.as_str().unwrap().to_owned()).collect();
            let examples = fact["examples"].as_array().unwrap().iter();
            let canaries = examples.flat_map(leaves_of).filter(|(_, value)| is_canary(value));
            let exercised: BTreeSet<String> = canaries.map(|(pointer, _)| shown(&pointer)).collect();

            assert_eq!(exercised, known, "{family} {service_type}");
            count += fact["secretPaths"].as_array().unwrap().len();
        }
    }
    assert_eq!(count, 362);
}

/// A pointer as the facts write paths: `servers[].apiKey`, `servers[].env{}`.
fn shown(pointer: &str) -> String {
    let mut path = String::new();
    for segment in pointer.split('/').skip(1) {
        if segment.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push_str("[]");
        } else if path.rsplit('.').next() == Some("env") {
            path.push_str("{}");
        } else {
            path.push_str(if path.is_empty() { "" } else { "." });
            path.push_str(segment);
        }
    }
    path
}

#[test]
fn every_secret_of_every_type_is_masked_referenced_and_given_back() {
    let (server, examples) = with_all();
    let admin = server.admin();
    for example in &examples {
        let view = |view: &str| server.get(&format!("{}?view={view}", example.path()), &admin).expect(200);
        let (plain, masked, referenced) = (view("plaintext"), view("masked"), view("references"));
        for (pointer, value) in leaves_of(example.config()) {
            let at =
                |service: &Value| service.pointer(&format!("/connection/config{pointer}")).cloned().unwrap_or_default();
            assert_eq!(at(&plain), value, "{} {pointer}", example.name);
            if is_canary(&value) {
                let reference = at(&referenced);
                assert!(reference.as_str().is_some_and(|it| it.starts_with("secret:/")), "{} {pointer}", example.name);
                assert_eq!(at(&masked), "*********", "{} {pointer}", example.name);
            } else {
                assert_eq!((at(&masked), at(&referenced)), (value.clone(), value), "{} {pointer}", example.name);
            }
        }
    }
    let bytes =
        ["strongroom.db", "strongroom.db-wal"].map(|file| fs::read(server.data().join(file)).unwrap_or_default());
    assert!(bytes.iter().all(|bytes| !bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())));
    assert!(!server.log().contains(CANARY), "the log holds a secret");
}

#[test]
fn masked_lists_and_every_answer_to_others_hold_no_secret_of_any_type() {
    let (server, examples) = with_all();
    let callers =
        [server.admin(), server.bot("ingestion", "worker"), server.user("ada"), server.bot("profiler", "none")];
    let routes: BTreeSet<_> = examples.iter().map(|example| &example.route).collect();
    let mut listed = 0;
    for caller in &callers {
        for route in &routes {
            let list = server.get(&format!("{route}?limit=1000&fields=*"), caller);
            listed += list.expect(200)["data"].as_array().unwrap().len();
            assert!(!list.text.contains(CANARY), "{route}");
        }
    }
    assert_eq!(listed, examples.len() * callers.len());
    for example in &examples {
        for caller in &callers[1..] {
            let read = server.get(&example.path(), caller);
            read.expect(200);
            assert!(!read.text.contains(CANARY), "{}", example.name);
        }
        let id = server.get(&format!("{}?view=hidden", example.path()), &callers[0]).expect(200)["id"].clone();
        let versions = server.get(&format!("{}/{}/versions", example.route, id.as_str().unwrap()), &callers[0]);
        versions.expect(200);
        assert!(!versions.text.contains(CANARY) && !versions.text.contains("secret:"), "{}", example.name);
    }
}

#[test]
fn every_view_of_every_type_sent_back_changes_nothing() {
    let (server, examples) = with_all();
    let admin = server.admin();
    for example in &examples {
        let plain = server.get(&example.path(), &admin).expect(200);
        for view in ["plaintext", "masked", "references"] {
            let read = server.get(&format!("{}?view={view}", example.path()), &admin).expect(200);
            let mut sent = example.body.clone();
            sent["connection"] = read["connection"].clone();

            let answer = server.put(&example.route, &admin, &sent);

            assert_eq!(answer.status, 200, "{} in {view}: {}", example.name, answer.text);
            assert_eq!(answer.header("x-openmetadata-change"), "entityNoChange", "{} in {view}", example.name);
        }
        assert_eq!(server.get(&example.path(), &admin).expect(200), plain);
    }
}

#[test]
fn required_fields_are_those_that_are_known_and_a_connection_says_its_type() {
    let server = Server::start();
    let facts = fixture("connection-type-facts.json");
    for example in examples(&server) {
        let service_type = example.body["serviceType"].as_str().unwrap();
        let required = facts[&example.family][service_type]["requiredTop"].clone();
        let required: BTreeSet<String> = serde_json::from_value(required).unwrap();
        let mut empty = example.body.clone();
        empty["connection"]["config"] = json!({});

        let answer = server.post(&example.route, &server.admin(), &empty);

        let faults = answer.json()["faults"].as_array().cloned().unwrap_or_default();
        let path = |fault: &Value| fault["path"].as_str().unwrap().replace("connection.config.", "");
        let missing: BTreeSet<String> = faults.iter().map(path).collect();
        let expected: BTreeSet<String> = required.into_iter().filter(|field| field != "type").collect();
        assert_eq!(missing, expected, "{service_type}");
        if missing.is_empty() && answer.status == 201 {
            assert_eq!(answer.json()["connection"]["config"]["type"], service_type);
        }
    }
}

/// The schema files by their path below `config/connection-types`.
fn schemas() -> BTreeMap<PathBuf, Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/connection-types");
    let mut schemas = BTreeMap::new();
    for folder in fs::read_dir(&root).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let schema = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            schemas.insert(path.strip_prefix(&root).unwrap().to_owned(), schema);
        }
    }
    schemas
}

/// What a schema refers to, or itself.
fn resolved<'a>(schema: &'a Value, schemas: &'a BTreeMap<PathBuf, Value>) -> &'a Value {
    let Some(reference) = schema["$ref"].as_str() else { return schema };
    let path = reference.strip_prefix("../").map_or_else(|| Path::new("shared").join(reference), PathBuf::from);
    &schemas[&path]
}

/// Says whether a value of this schema may be a text that is not marked as secret, or a map of anything.
fn may_hold_unmarked_text(schema: &Value, schemas: &BTreeMap<PathBuf, Value>) -> bool {
    let schema = resolved(schema, schemas);
    if let Some(alternatives) = schema["oneOf"].as_array() {
        return alternatives.iter().any(|it| may_hold_unmarked_text(it, schemas));
    }
    match schema["type"].as_str() {
        Some("string") => schema["format"] != "password",
        Some("array") => may_hold_unmarked_text(&schema["items"], schemas),
        Some("object") => schema["additionalProperties"] != false && schema.get("properties").is_none(),
        _ => schema == &Value::Bool(true),
    }
}

/// Names of fields that a credential may have.
fn reads_like_a_credential(name: &str) -> bool {
    const PARTS: [&str; 20] = [
        "pass",
        "pwd",
        "token",
        "secret",
        "key",
        "cred",
        "auth",
        "cert",
        "sas",
        "licen",
        "bundle",
        "private",
        "cookie",
        "jwt",
        "signature",
        "connectionstring",
        "dsn",
        "bearer",
        "otp",
        "apikey",
    ];
    let name = name.to_lowercase();
    PARTS.iter().any(|part| name.contains(part)) || name.ends_with("pat") || name.ends_with("pin")
}

/// Adds the names of unmarked fields that read like a credential, with the files they are in.
fn collect(
    schema: &Value,
    file: &Path,
    schemas: &BTreeMap<PathBuf, Value>,
    found: &mut BTreeMap<String, BTreeSet<PathBuf>>,
) {
    match schema {
        Value::Object(members) => {
            let properties = members.get("properties").and_then(Value::as_object);
            for (name, property) in properties.into_iter().flatten() {
                if reads_like_a_credential(name) && may_hold_unmarked_text(property, schemas) {
                    found.entry(name.clone()).or_default().insert(file.to_owned());
                }
            }
            members.values().for_each(|member| collect(member, file, schemas, found));
        }
        Value::Array(elements) => elements.iter().for_each(|element| collect(element, file, schemas, found)),
        _ => {}
    }
}

#[test]
fn no_field_that_reads_like_a_credential_is_unmarked_but_for_those_reviewed() {
    let schemas = schemas();
    let reviewed = fixture("non-secret-field-names.json");
    let reviewed: &Map<String, Value> = reviewed.as_object().unwrap();
    let mut found = BTreeMap::new();
    for (file, schema) in &schemas {
        collect(schema, file, &schemas, &mut found);
    }

    let unmarked: Vec<_> = found.iter().filter(|(name, _)| !reviewed.contains_key(*name)).collect();
    assert!(unmarked.is_empty(), "mark them with \"format\": \"password\", or list them with a reason: {unmarked:#?}");
    let stale: Vec<_> = reviewed.keys().filter(|name| !found.contains_key(*name)).collect();
    assert!(stale.is_empty(), "no such fields any more: {stale:?}");
    let without_reason = reviewed.iter().find(|(_, reason)| reason.as_str().is_none_or(|it| it.len() < 10));
    assert_eq!(without_reason, None);
}

#[test]
fn custom_types_and_free_maps_hide_whatever_has_a_secret_looking_key() {
    let server = Server::start();
    let admin = server.admin();
    let facts = fixture("connection-type-facts.json");
    let families = server.get("/connectionTypes", &admin).expect(200);
    let extra = json!({
        "myPassword": "canary-a", "x_api_key": "canary-b", "deep": [{"er": {"clientSecret": "canary-c", "port": 1}}],
        "Authorization": "canary-d", "auth": {"user": "canary-e", "n": 7}, "note": "plain", "url": "https://u:canary-f@h/p",
    });
    let mut customs = 0;
    for family in families["data"].as_array().unwrap() {
        let route = format!("/services/{}", family["route"].as_str().unwrap());
        let types = facts[family["family"].as_str().unwrap()].as_object().unwrap();
        for service_type in types.keys().filter(|name| name.starts_with("Custom") && *name != "CustomLLM") {
            customs += 1;
            let mut config = types[service_type]["examples"][0].clone();
            config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            let body = json!({"name": service_type, "serviceType": service_type, "connection": {"config": config}});

            let masked = server.post(&route, &admin, &body);
            let plain = server.get(&format!("{route}/name/{service_type}"), &admin).expect(200);

            assert!(masked.status == 201 && !masked.text.contains(CANARY), "{service_type}: {}", masked.text);
            let of_masked = &masked.json()["connection"]["config"];
            assert_eq!((&of_masked["note"], &of_masked["deep"][0]["er"]["port"]), (&"plain".into(), &1.into()));
            assert_eq!(of_masked["url"], "https://*********:*********@h/p");
            for (key, value) in extra.as_object().unwrap() {
                assert_eq!(plain["connection"]["config"][key], *value, "{service_type} {key}");
            }
        }
    }
    assert_eq!(customs, 8);
    let bytes = fs::read(server.data().join("strongroom.db-wal")).unwrap();
    assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));
}
