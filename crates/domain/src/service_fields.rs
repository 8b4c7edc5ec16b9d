//! What a client may say of a service beside its connection: checked, and brought into the form of an entity.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::fault::{Fault, Faults};
use crate::service::Family;

/// The longest name of a service, in characters.
const LONGEST_NAME: usize = 256;

/// Members of an entity reference that clients know.
const REFERENCE_KEYS: &[&str] =
    &["id", "type", "name", "fullyQualifiedName", "description", "displayName", "deleted", "inherited", "href"];

/// Members of a tag label that clients know.
const TAG_KEYS: &[&str] = &[
    "tagFQN",
    "name",
    "displayName",
    "description",
    "style",
    "source",
    "labelType",
    "state",
    "href",
    "reason",
    "appliedAt",
    "appliedBy",
    "metadata",
];

/// The fields of an entity, beside the connection, that a client can change.
pub(crate) const CHANGEABLE: &[&str] =
    &["displayName", "description", "tags", "style", "owners", "domains", "dataProducts", "ingestionRunner"];

/// What a client says of a service.
#[derive(Debug)]
pub(crate) struct ServiceFields {
    pub(crate) name: String,
    pub(crate) service_type: String,
    /// The connection as it was sent; none: none was.
    pub(crate) connection: Option<Value>,
    /// The other fields, in the form that the entity has them.
    pub(crate) others: Map<String, Value>,
}

impl ServiceFields {
    /// Reads the body of a create or update.
    pub(crate) fn read(family: Family, body: Value) -> Result<Self, Faults> {
        let Value::Object(members) = body else { return Err(Faults::one("body", "must be a JSON object")) };
        let mut faults = Vec::new();
        let mut fields =
            Self { name: String::new(), service_type: String::new(), connection: None, others: Map::new() };
        for (key, value) in members {
            if value.is_null() {
                continue;
            }
            if let Err(fault) = fields.take(family, &key, value) {
                faults.push(fault);
            }
        }
        for (key, value) in [("name", &fields.name), ("serviceType", &fields.service_type)] {
            if value.is_empty() && !faults.iter().any(|fault: &Fault| fault.path == key) {
                faults.push(Fault::new(key, "is required: a text that is not empty"));
            }
        }
        Faults::or_ok(faults)?;
        Ok(fields)
    }

    fn take(&mut self, family: Family, key: &str, value: Value) -> Result<(), Fault> {
        match key {
            "name" => self.name = checked_name(value)?,
            "serviceType" => self.service_type = text(key, value)?,
            "connection" => self.connection = Some(value),
            // Clients send these for pipelines; entities do not have them.
            "scheduleInterval" | "lifeCycle" if family == Family::Pipeline => {}
            _ => {
                let value = checked_field(family, key, value)?;
                self.others.insert(key.to_owned(), value);
            }
        }
        Ok(())
    }
}

/// The `config` of a connection, or what is wrong with the rest of it.
pub(crate) fn config_of(connection: Value) -> Result<Option<Value>, Faults> {
    let Value::Object(mut members) = connection else {
        return Err(Faults::one("connection", "must be an object with the member `config`"));
    };
    let config = members.shift_remove("config").filter(|config| !config.is_null());
    let unknown = members
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, _)| Fault::new(format!("connection.{key}"), "is not a field here; allowed: config"));
    Faults::or_ok(unknown.collect())?;
    Ok(config)
}

/// Checks one changeable field and brings it into the form that entities have.
pub(crate) fn checked_field(family: Family, key: &str, value: Value) -> Result<Value, Fault> {
    let is_known = CHANGEABLE.contains(&key) && !lacks(family, key);
    match key {
        _ if !is_known => Err(Fault::new(key, format!("is not a field here; allowed: {}", known_fields(family)))),
        "displayName" | "description" => text(key, value).map(Value::String),
        "tags" => list(key, value, tag_label),
        "owners" => list(key, value, reference),
        "domains" => list(key, value, |path, domain| named_reference(path, domain, "domain")),
        "dataProducts" => list(key, value, |path, product| named_reference(path, product, "dataProduct")),
        "ingestionRunner" => reference(key, value),
        _ => style(value),
    }
}

/// Not all families have all fields, and clients refuse a key that they do not know.
fn lacks(family: Family, key: &str) -> bool {
    match key {
        "style" => {
            matches!(family, Family::Metadata | Family::Api | Family::Security | Family::Mcp | Family::Llm)
        }
        "dataProducts" => family == Family::Metadata,
        _ => false,
    }
}

fn known_fields(family: Family) -> String {
    let fixed = ["name", "serviceType", "connection"];
    let fields = CHANGEABLE.iter().filter(|key| !lacks(family, key));
    fixed.iter().chain(fields).copied().collect::<Vec<_>>().join(", ")
}

fn text(path: &str, value: Value) -> Result<String, Fault> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(Fault::new(path, "must be a text")),
    }
}

fn checked_name(value: Value) -> Result<String, Fault> {
    let name = text("name", value)?;
    let length = name.chars().count();
    if name.trim().is_empty() || length > LONGEST_NAME {
        return Err(Fault::new("name", format!("must have 1 to {LONGEST_NAME} characters, not all of them spaces")));
    }
    if name.contains("::") || name.chars().any(char::is_control) {
        return Err(Fault::new("name", "must not contain `::`, line breaks or other control characters"));
    }
    Ok(name)
}

fn list(path: &str, value: Value, read: impl Fn(&str, Value) -> Result<Value, Fault>) -> Result<Value, Fault> {
    let Value::Array(elements) = value else { return Err(Fault::new(path, "must be a list")) };
    elements.into_iter().enumerate().map(|(index, element)| read(&format!("{path}[{index}]"), element)).collect()
}

/// The members of an object that are not null, all of them known.
fn members(path: &str, value: Value, known: &[&str]) -> Result<Map<String, Value>, Fault> {
    let Value::Object(members) = value else { return Err(Fault::new(path, "must be an object")) };
    let members: Map<_, _> = members.into_iter().filter(|(_, value)| !value.is_null()).collect();
    match members.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => {
            Err(Fault::new(format!("{path}.{key}"), format!("is not a field here; allowed: {}", known.join(", "))))
        }
        None => Ok(members),
    }
}

fn reference(path: &str, value: Value) -> Result<Value, Fault> {
    let members = members(path, value, REFERENCE_KEYS)?;
    let is_uuid = members.get("id").and_then(Value::as_str).is_some_and(|id| Uuid::parse_str(id).is_ok());
    if !is_uuid {
        return Err(Fault::new(format!("{path}.id"), "is required: a UUID"));
    }
    if !members.get("type").is_some_and(Value::is_string) {
        return Err(Fault::new(format!("{path}.type"), "is required: a text such as user or team"));
    }
    Ok(Value::Object(members))
}

/// Creates name domains and data products by their fully qualified names; entities refer to them by id. They are
/// the catalog's, so that we cannot look ids up: the same name always gets the same one.
fn named_reference(path: &str, value: Value, entity_type: &str) -> Result<Value, Fault> {
    let Value::String(name) = value else { return reference(path, value) };
    if name.is_empty() {
        return Err(Fault::new(path, "must be a fully qualified name"));
    }
    let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{entity_type}:{name}").as_bytes());
    Ok(json!({ "id": id, "type": entity_type, "name": name, "fullyQualifiedName": name }))
}

fn tag_label(path: &str, value: Value) -> Result<Value, Fault> {
    let mut members = members(path, value, TAG_KEYS)?;
    if !members.get("tagFQN").is_some_and(Value::is_string) {
        return Err(Fault::new(format!("{path}.tagFQN"), "is required: the tag's fully qualified name"));
    }
    let words: [(&str, &[&str]); 3] = [
        ("source", &["Classification", "Glossary"]),
        ("labelType", &["Manual", "Propagated", "Automated", "Derived", "Generated"]),
        ("state", &["Confirmed", "Suggested"]),
    ];
    for (key, allowed) in words {
        let given = members.entry(key).or_insert_with(|| allowed.first().copied().unwrap_or_default().into());
        if !given.as_str().is_some_and(|given| allowed.contains(&given)) {
            return Err(Fault::new(format!("{path}.{key}"), format!("must be one of: {}", allowed.join(", "))));
        }
    }
    Ok(Value::Object(members))
}

fn style(value: Value) -> Result<Value, Fault> {
    let members = members("style", value, &["color", "iconURL", "coverImage"])?;
    match members.iter().find(|(key, value)| *key != "coverImage" && !value.is_string()) {
        Some((key, _)) => Err(Fault::new(format!("style.{key}"), "must be a text")),
        None => Ok(Value::Object(members)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let body =
            json!({"name": "a::b", "owners": [{"type": "user"}], "nope": 1, "tags": [{"tagFQN": "x", "state": "?"}]});

        let faults = ServiceFields::read(Family::Database, body).unwrap_err();

        let paths: Vec<_> = faults.0.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(paths, ["name", "owners[0].id", "nope", "tags[0].state", "serviceType"]);
    }

    #[test]
    fn a_family_without_a_field_refuses_it() {
        let body = json!({"name": "a", "serviceType": "Rest", "style": {"color": "#fff"}});

        assert!(ServiceFields::read(Family::Api, body.clone()).is_err());
        assert!(ServiceFields::read(Family::Database, body).is_ok());
    }

    #[test]
    fn the_same_domain_always_gets_the_same_id() {
        let read = || checked_field(Family::Database, "domains", json!(["sales"])).unwrap();

        assert_eq!(read(), read());
        assert_eq!(read()[0]["type"], "domain");
    }
}
