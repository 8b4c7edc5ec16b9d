//! Secrets out of a connection and references in: pure walks, no store.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::connection_type::{Form, SecretPlace};
use crate::fault::{Fault, Faults};
use crate::json_pointer::{below, replace, segments, shown};
use crate::secret::{MASK, SecretReference, SecretValue, SecretVersion, is_mask};
use crate::secret_names::{normal_name, parse_typed};

/// Which secrets a stored connection has. Kept beside the document and signed with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecretIndex {
    /// Secrets that Strongroom keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) kept: Vec<KeptSecret>,
    /// References that a user typed; theirs, never resolved or deleted by us.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) typed: Vec<TypedReference>,
}

/// A secret that Strongroom keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptSecret {
    /// The field, as a JSON Pointer into the connection.
    pub(crate) pointer: String,
    /// The name behind `secret:`.
    pub(crate) name: String,
    /// Which put of it belongs to the document.
    pub(crate) version: SecretVersion,
    /// The place of the store that has it; none: our own database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) store: Option<String>,
    #[serde(default)]
    pub(crate) form: StoredForm,
    /// For texts with credentials in them: the text with the credentials masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shown: Option<String>,
}

impl KeptSecret {
    /// What a masked view shows in its place.
    pub(crate) fn mask(&self) -> &str {
        self.shown.as_deref().unwrap_or(MASK)
    }
}

/// [`Form`] as it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum StoredForm {
    #[default]
    Text,
    Number,
    Embedded,
}

impl From<Form> for StoredForm {
    fn from(form: Form) -> Self {
        match form {
            Form::Text => Self::Text,
            Form::Number => Self::Number,
            Form::Embedded => Self::Embedded,
        }
    }
}

/// A reference that a user typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TypedReference {
    /// The field, as a JSON Pointer into the connection.
    pub(crate) pointer: String,
    /// The name behind `secret:`.
    pub(crate) name: String,
}

impl SecretIndex {
    pub(crate) fn kept_at(&self, pointer: &str) -> Option<&KeptSecret> {
        self.kept.iter().find(|secret| secret.pointer == pointer)
    }

    fn typed_at(&self, pointer: &str) -> Option<&TypedReference> {
        self.typed.iter().find(|reference| reference.pointer == pointer)
    }

    /// All fields that stand for a secret, kept or referenced.
    pub(crate) fn pointers(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().map(|it| it.pointer.as_str()).chain(self.typed.iter().map(|it| it.pointer.as_str()))
    }

    /// The connection as a masked view shows it.
    pub(crate) fn masked(&self, connection: &Value) -> Value {
        let mut masked = connection.clone();
        for secret in &self.kept {
            replace(&mut masked, &secret.pointer, secret.mask().into());
        }
        for reference in &self.typed {
            replace(&mut masked, &reference.pointer, MASK.into());
        }
        masked
    }
}

/// What becomes of one secret field.
#[derive(Debug)]
pub(crate) enum Taken {
    /// A value that was sent.
    New { place: SecretPlace, value: SecretValue },
    /// The value it has.
    Kept(KeptSecret),
    /// The value that its entry had at another place of its list.
    Moved { pointer: String, from: KeptSecret },
    /// A reference of the user's.
    Typed(TypedReference),
}

/// What is stored before a write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before<'a> {
    /// The connection, with references.
    pub(crate) connection: &'a Value,
    pub(crate) index: &'a SecretIndex,
}

/// Takes the secrets out of a connection and says what becomes of each. Masks keep what is stored.
pub(crate) fn take_secrets(
    connection: &mut Value,
    places: Vec<SecretPlace>,
    before: Option<Before<'_>>,
) -> Result<Vec<Taken>, Faults> {
    let lists = ListMatch::new(connection, &places, before);
    let mut taken = Vec::with_capacity(places.len());
    let mut faults = Vec::new();
    for place in places {
        match take_one(connection, place, before, &lists) {
            Ok(Some(secret)) => taken.push(secret),
            Ok(None) => {}
            Err(fault) => faults.push(fault),
        }
    }
    Faults::or_ok(faults)?;
    Ok(taken)
}

fn take_one(
    connection: &mut Value,
    place: SecretPlace,
    before: Option<Before<'_>>,
    lists: &ListMatch,
) -> Result<Option<Taken>, Fault> {
    let Some(value) = connection.pointer_mut(&place.pointer) else { return Ok(None) };
    let text = match std::mem::take(value) {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        other => {
            *value = other;
            return Ok(None);
        }
    };
    if is_mask(&text) || place.has_mask {
        return keep(&place, before, lists).map(Some);
    }
    match SecretReference::parse(&text) {
        Some(reference) => referred(&place, reference.name(), before).map(Some),
        None => Ok(Some(Taken::New { place, value: SecretValue::new(text) })),
    }
}

/// A mask: the entry's own secret stays, wherever in its list the entry now stands.
fn keep(place: &SecretPlace, before: Option<Before<'_>>, lists: &ListMatch) -> Result<Taken, Fault> {
    let fault = |message: &str| Fault::new(format!("connection.{}", shown(&place.pointer)), message);
    let nothing = "is masked, and nothing is stored here to keep; send the value";
    let before = before.ok_or_else(|| fault(nothing))?;
    let source = lists.source_of(&place.pointer).ok_or_else(|| {
        fault("is masked, and its list has changed so that its entry cannot be told; send the value again")
    })?;
    if let Some(kept) = before.index.kept_at(&source) {
        let is_same_address = place.form != Form::Embedded || kept.shown == place.shown;
        if !is_same_address {
            return Err(fault("has masked credentials, and the rest of it has changed; send the credentials again"));
        }
        let kept = kept.clone();
        let is_moved = source != place.pointer;
        return Ok(if is_moved {
            Taken::Moved { pointer: place.pointer.clone(), from: kept }
        } else {
            Taken::Kept(kept)
        });
    }
    let typed = before.index.typed_at(&source).ok_or_else(|| fault(nothing))?;
    Ok(Taken::Typed(TypedReference { pointer: place.pointer.clone(), name: typed.name.clone() }))
}

/// A reference: ours at its own place means "keep"; another is the user's, if it may be one.
fn referred(place: &SecretPlace, name: &str, before: Option<Before<'_>>) -> Result<Taken, Fault> {
    let fault = |message: &str| Fault::new(format!("connection.{}", shown(&place.pointer)), message);
    let kept = before.map(|it| it.index.kept.as_slice()).unwrap_or_default();
    if let Some(own) = kept.iter().find(|secret| secret.pointer == place.pointer && secret.name == name) {
        return Ok(Taken::Kept(own.clone()));
    }
    if kept.iter().any(|secret| normal_name(&secret.name) == normal_name(name)) {
        return Err(fault("is a reference that Strongroom issued for another field; send the value instead"));
    }
    parse_typed(name).map_err(&fault)?;
    Ok(Taken::Typed(TypedReference { pointer: place.pointer.clone(), name: name.to_owned() }))
}

/// Tells which stored entry of a list an entry of the new list is: by everything in it but its secrets.
#[derive(Debug)]
struct ListMatch {
    new: Value,
    stored: Value,
}

impl ListMatch {
    fn new(connection: &Value, places: &[SecretPlace], before: Option<Before<'_>>) -> Self {
        let in_list = |place: &SecretPlace| outermost_list(connection, &place.pointer).is_some();
        let (Some(before), true) = (before, places.iter().any(in_list)) else {
            return Self { new: Value::Null, stored: Value::Null };
        };
        let mut new = connection.clone();
        for place in places {
            replace(&mut new, &place.pointer, place.shown.as_deref().unwrap_or(MASK).into());
        }
        Self { new, stored: before.index.masked(before.connection) }
    }

    /// Where the secret of this field is stored; nothing where that is not certain.
    fn source_of(&self, pointer: &str) -> Option<String> {
        let Some((list, index, rest)) = outermost_list(&self.new, pointer) else { return Some(pointer.to_owned()) };
        let new = self.new.pointer(&list)?.as_array()?;
        let stored = self.stored.pointer(&list)?.as_array()?;
        let entry = stored_entry(new, stored, index)?;
        Some(format!("{}{rest}", below(&list, &entry.to_string())))
    }
}

fn stored_entry(new: &[Value], stored: &[Value], index: usize) -> Option<usize> {
    let entry = new.get(index)?;
    let places_in = |list: &[Value]| -> Vec<usize> {
        list.iter().enumerate().filter(|(_, other)| *other == entry).map(|(place, _)| place).collect()
    };
    let (here, there) = (places_in(new), places_in(stored));
    match there.as_slice() {
        [] => only_this_entry_differs(new, stored, index).then_some(index),
        [only] if here.len() == 1 => Some(*only),
        _ => (here == there).then_some(index),
    }
}

fn only_this_entry_differs(new: &[Value], stored: &[Value], index: usize) -> bool {
    new.len() == stored.len()
        && new.iter().zip(stored).enumerate().all(|(place, (new, stored))| place == index || new == stored)
}

/// The outermost list on the way to a field: its pointer, the entry's index, and the rest of the way.
fn outermost_list(connection: &Value, pointer: &str) -> Option<(String, usize, String)> {
    let mut at = String::new();
    let mut value = connection;
    for segment in segments(pointer) {
        if let Value::Array(_) = value {
            let index = segment.parse().ok()?;
            let rest = pointer.get(below(&at, &segment).len()..)?.to_owned();
            return Some((at, index, rest));
        }
        value = value.get(&segment)?;
        at = below(&at, &segment);
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place(pointer: &str) -> SecretPlace {
        SecretPlace { pointer: pointer.to_owned(), form: Form::Text, shown: None, has_mask: false }
    }

    fn kept(pointer: &str) -> KeptSecret {
        KeptSecret {
            pointer: pointer.to_owned(),
            name: format!("/c/database/s{}", pointer.trim_start_matches("/config")),
            version: SecretVersion::new("1"),
            store: None,
            form: StoredForm::Text,
            shown: None,
        }
    }

    /// Stored: two servers with a key each.
    fn servers() -> (Value, SecretIndex) {
        let connection = json!({"config": {"servers": [
            {"url": "http://a", "apiKey": "secret:a"}, {"url": "http://b", "apiKey": "secret:b"}]}});
        let index = SecretIndex {
            kept: vec![kept("/config/servers/0/apiKey"), kept("/config/servers/1/apiKey")],
            typed: Vec::new(),
        };
        (connection, index)
    }

    fn sources(list: &Value) -> Result<Vec<String>, Faults> {
        let (stored, index) = servers();
        let before = Some(Before { connection: &stored, index: &index });
        let mut connection = json!({"config": {"servers": list}});
        let count = list.as_array().map_or(0, Vec::len);
        let places = (0..count).map(|entry| place(&format!("/config/servers/{entry}/apiKey"))).collect();
        let taken = take_secrets(&mut connection, places, before)?;
        Ok(taken
            .into_iter()
            .map(|taken| match taken {
                Taken::Kept(secret) => secret.pointer,
                Taken::Moved { from, .. } => from.pointer,
                Taken::New { .. } => "new".to_owned(),
                Taken::Typed(_) => "typed".to_owned(),
            })
            .collect())
    }

    #[test]
    fn reordered_entries_keep_their_own_secret() {
        let reordered = json!([{"url": "http://b", "apiKey": MASK}, {"url": "http://a", "apiKey": MASK}]);

        assert_eq!(sources(&reordered).unwrap(), ["/config/servers/1/apiKey", "/config/servers/0/apiKey"]);
    }

    #[test]
    fn one_edited_entry_in_its_place_keeps_its_secret() {
        let edited = json!([{"url": "http://a2", "apiKey": MASK}, {"url": "http://b", "apiKey": MASK}]);

        assert_eq!(sources(&edited).unwrap(), ["/config/servers/0/apiKey", "/config/servers/1/apiKey"]);
    }

    #[test]
    fn an_entry_between_can_go() {
        assert_eq!(sources(&json!([{"url": "http://b", "apiKey": MASK}])).unwrap(), ["/config/servers/1/apiKey"]);
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        let both_edited = json!([{"url": "http://b2", "apiKey": MASK}, {"url": "http://a2", "apiKey": MASK}]);
        let copied = json!([{"url": "http://a", "apiKey": MASK}, {"url": "http://a", "apiKey": MASK}]);

        assert_eq!(sources(&both_edited).unwrap_err().0.len(), 2);
        assert!(sources(&copied).is_err());
    }

    #[test]
    fn a_mask_with_nothing_behind_it_is_refused_by_its_path() {
        let mut connection = json!({"config": {"password": "**********"}});

        let faults = take_secrets(&mut connection, vec![place("/config/password")], None).unwrap_err();

        assert_eq!(faults.0[0].path, "connection.config.password");
    }

    #[test]
    fn a_reference_of_ours_keeps_at_its_own_place_and_is_refused_at_another() {
        let stored = json!({"config": {"a": "secret:/c/database/s/a", "b": ""}});
        let index = SecretIndex { kept: vec![kept("/config/a")], typed: Vec::new() };
        let before = Some(Before { connection: &stored, index: &index });
        let mut same = json!({"config": {"a": "secret:/c/database/s/a"}});
        let mut other = json!({"config": {"b": "secret:/C/database/s/a"}});

        assert!(matches!(&take_secrets(&mut same, vec![place("/config/a")], before).unwrap()[0], Taken::Kept(_)));
        assert!(take_secrets(&mut other, vec![place("/config/b")], before).is_err());
    }
}
