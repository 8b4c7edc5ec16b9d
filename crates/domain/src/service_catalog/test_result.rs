//! The result of a test connection, as a worker or admin reports it.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::save::{Draft, Replaces};
use super::{CatalogError, Change, PlacedConnection, ServiceCatalog, WriteAnswer, WriteRequest};
use crate::audit::AuditAction;
use crate::caller::Role;
use crate::embedded_credentials::EmbeddedCredentials;
use crate::fault::{Fault, Faults};
use crate::quoted_secrets::QuotedSecrets;
use crate::service::ServiceKey;

/// Members of a result that clients know.
const RESULT_KEYS: &[&str] = &["lastUpdatedAt", "status", "steps"];

/// Members of a step that clients know.
const STEP_KEYS: &[&str] = &[
    "name",
    "mandatory",
    "passed",
    "message",
    "errorLog",
    "status",
    "skipReason",
    "diagnosis",
    "durationMs",
    "executedCommand",
    "resultSummary",
];

/// States of a whole result.
const STATES: &[&str] = &["Successful", "Failed", "Running"];

impl ServiceCatalog {
    /// Stores a result. It is no change of the service: the version stays.
    pub async fn put_test_result(
        &self,
        request: &WriteRequest<'_>,
        id: Uuid,
        result: Value,
    ) -> Result<WriteAnswer, CatalogError> {
        if request.caller.role() == Role::None {
            return Err(CatalogError::Forbidden("only an admin, or a bot with the role worker, stores test results"));
        }
        let mut result = checked_result(result)?;
        let key = ServiceKey::Id(id);
        let ready = self.find_ready(request.family, &key).await?.filter(|ready| !ready.deleted);
        let ready = ready.ok_or(CatalogError::NotFound(request.family.entity_type()))?;
        // What cannot be read cannot be taken out of the messages either: then they are not kept.
        let secrets = self.open_all(&ready, false).await?.values;
        self.scrub(&mut result, &QuotedSecrets::of(&secrets));
        let loaded = self.load_live(request, &key).await?;
        let mut entity = loaded.entity.clone();
        entity.insert("testConnectionResult".to_owned(), result);
        let placed = PlacedConnection::as_stored(&loaded);
        let draft = Draft { entity, placed, action: AuditAction::TestResult, change: Change::Updated };
        self.save(request, draft, Replaces::Service(&loaded)).await
    }

    /// Drivers quote connection strings in their messages: no secret of the service stays in them.
    fn scrub(&self, value: &mut Value, secrets: &QuotedSecrets<'_>) {
        match value {
            Value::String(text) => {
                *text = secrets.masked(text);
                if let Some(found) = EmbeddedCredentials::find(text, self.types.words()) {
                    *text = found.shown;
                }
            }
            Value::Array(elements) => elements.iter_mut().for_each(|element| self.scrub(element, secrets)),
            Value::Object(members) => members.values_mut().for_each(|member| self.scrub(member, secrets)),
            _ => {}
        }
    }
}

fn checked_result(result: Value) -> Result<Value, Faults> {
    let Value::Object(result) = result else { return Err(Faults::one("body", "must be a JSON object")) };
    let mut faults = unknown_keys("", &result, RESULT_KEYS);
    let is_known_state = |state: &Value| state.as_str().is_some_and(|state| STATES.contains(&state));
    if result.get("status").is_some_and(|state| !state.is_null() && !is_known_state(state)) {
        faults.push(Fault::new("status", format!("must be one of: {}", STATES.join(", "))));
    }
    if result.get("lastUpdatedAt").is_some_and(|time| !time.is_null() && !time.is_i64()) {
        faults.push(Fault::new("lastUpdatedAt", "must be a time in milliseconds since the epoch"));
    }
    match result.get("steps") {
        Some(Value::Array(steps)) => {
            for (index, step) in steps.iter().enumerate() {
                faults.extend(step_faults(&format!("steps[{index}]"), step));
            }
        }
        _ => faults.push(Fault::new("steps", "is required: a list")),
    }
    Faults::or_ok(faults)?;
    Ok(Value::Object(result.into_iter().filter(|(_, value)| !value.is_null()).collect()))
}

fn step_faults(path: &str, step: &Value) -> Vec<Fault> {
    let Value::Object(step) = step else { return vec![Fault::new(path, "must be an object")] };
    let mut faults = unknown_keys(&format!("{path}."), step, STEP_KEYS);
    if !step.get("name").is_some_and(Value::is_string) {
        faults.push(Fault::new(format!("{path}.name"), "is required: a text"));
    }
    for key in ["mandatory", "passed"] {
        if !step.get(key).is_some_and(Value::is_boolean) {
            faults.push(Fault::new(format!("{path}.{key}"), "is required: true or false"));
        }
    }
    faults
}

fn unknown_keys(prefix: &str, members: &Map<String, Value>, known: &[&str]) -> Vec<Fault> {
    let unknown = members.keys().filter(|key| !known.contains(&key.as_str()));
    unknown
        .map(|key| Fault::new(format!("{prefix}{key}"), format!("is not a field here; allowed: {}", known.join(", "))))
        .collect()
}
