//! Test-connection definitions: the steps that a client runs when it tests a connection.

use serde_json::{Value, json};
use uuid::Uuid;

const STEPS: &str = include_str!("../../../config/test-connection-definitions.json");

/// The suffix of a definition's name.
const SUFFIX: &str = ".testConnectionDefinition";

/// The steps of each service type. Types without known steps have an empty list, which clients accept.
#[derive(Debug)]
pub struct TestConnectionDefinitions {
    steps: Value,
}

impl TestConnectionDefinitions {
    /// Reads the definitions compiled in.
    pub fn load() -> Self {
        Self { steps: serde_json::from_str(STEPS).unwrap_or_default() }
    }

    /// The definition of this name (`Mysql.testConnectionDefinition`), for a service type that exists.
    pub fn find(&self, name: &str, is_service_type: impl Fn(&str) -> bool) -> Option<Value> {
        let service_type = name.strip_suffix(SUFFIX).filter(|service_type| is_service_type(service_type))?;
        let steps = self.steps.get(service_type).and_then(|it| it.get("steps")).cloned();
        Some(json!({
            "id": Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()),
            "name": name,
            "fullyQualifiedName": crate::service::fully_qualified_name(name),
            "description": format!("What is tried when a {service_type} connection is tested."),
            "version": 0.1,
            "steps": steps.unwrap_or_else(|| json!([])),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_exists_has_a_definition() {
        let definitions = TestConnectionDefinitions::load();

        let mysql = definitions.find("Mysql.testConnectionDefinition", |it| it == "Mysql").unwrap();
        assert!(mysql["steps"].as_array().is_some_and(|steps| !steps.is_empty()));
        let mine = definitions.find("Mine.testConnectionDefinition", |it| it == "Mine").unwrap();
        assert_eq!(mine["steps"], json!([]));
        assert_eq!(definitions.find("Nope.testConnectionDefinition", |_| false), None);
    }
}
