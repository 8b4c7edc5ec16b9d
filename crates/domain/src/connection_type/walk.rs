//! One walk over a connection: checks it, fills in defaults, and collects the places of its secrets.

use serde_json::{Map, Value};

use super::{Alternative, Node, NumberNode, ObjectNode, TextNode};
use crate::embedded_credentials::EmbeddedCredentials;
use crate::fault::Fault;
use crate::free_map::SecretWords;
use crate::json_pointer::{below, shown};
use crate::secret::{SecretReference, is_mask};

/// How a secret stands in its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A text that is the secret.
    Text,
    /// A number in a free map; it comes back as a number.
    Number,
    /// A text with credentials in it, such as a URL; kept whole.
    Embedded,
}

/// Where a connection holds a secret, a mask or a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretPlace {
    /// The field, as a JSON Pointer into the connection.
    pub(crate) pointer: String,
    pub(crate) form: Form,
    /// For [`Form::Embedded`]: the text with its credentials masked.
    pub(crate) shown: Option<String>,
    /// For [`Form::Embedded`]: a credential in the text is a mask.
    pub(crate) has_mask: bool,
}

/// What a walk found.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The connection's `config`, normalised; the secrets are still in it.
    pub(crate) config: Value,
    pub(crate) secrets: Vec<SecretPlace>,
    pub(crate) faults: Vec<Fault>,
    /// How many keys the schema knows by name: tells the better of two alternatives that fit.
    known_keys: usize,
}

impl Reading {
    /// Walks a connection's `config`.
    pub(super) fn of(root: &Node, config: Value, words: &SecretWords) -> Self {
        Walk { words }.value(root, config, "/config", false)
    }

    fn plain(config: Value) -> Self {
        Self { config, secrets: Vec::new(), faults: Vec::new(), known_keys: 0 }
    }

    fn refused(pointer: &str, message: impl Into<String>) -> Self {
        let fault = Fault::new(format!("connection.{}", shown(pointer)), message);
        Self { config: Value::Null, secrets: Vec::new(), faults: vec![fault], known_keys: 0 }
    }

    /// Takes over what a part found, but for its value.
    fn absorb(&mut self, part: Self) -> Value {
        self.secrets.extend(part.secrets);
        self.faults.extend(part.faults);
        self.known_keys += part.known_keys;
        part.config
    }
}

struct Walk<'a> {
    words: &'a SecretWords,
}

impl Walk<'_> {
    /// `in_secret`: the value stands under a secret-looking key of a free map, so every text and number in it counts.
    fn value(&self, node: &Node, value: Value, pointer: &str, in_secret: bool) -> Reading {
        match node {
            Node::Object(object) => self.object(object, value, pointer, in_secret),
            Node::Array(items) => self.array(items, value, pointer, in_secret),
            Node::Text(text) => self.text(text, value, pointer, in_secret),
            Node::Number(number) => self.number(number, value, pointer, in_secret),
            Node::Boolean if value.is_boolean() => Reading::plain(value),
            Node::Boolean => Reading::refused(pointer, "must be true or false"),
            Node::Union(alternatives) => self.union(alternatives, &value, pointer, in_secret),
            Node::Anything => self.anything(value, pointer, in_secret),
        }
    }

    fn object(&self, object: &ObjectNode, value: Value, pointer: &str, in_secret: bool) -> Reading {
        let Value::Object(members) = value else { return Reading::refused(pointer, "must be an object") };
        let mut reading = Reading::plain(Value::Null);
        let mut stored = Map::new();
        for (given_key, value) in members {
            let key = object.name_of(&given_key).to_owned();
            if (value.is_null() && !object.is_free(&key)) || object.ignored.contains(&given_key) {
                continue;
            }
            let pointer = below(pointer, &key);
            if stored.contains_key(&key) {
                reading.absorb(Reading::refused(&pointer, "is given twice, under two spellings; keep one"));
                continue;
            }
            let part = self.member(object, &key, value, &pointer, in_secret);
            stored.insert(key, reading.absorb(part));
        }
        self.complete(object, &mut stored, &mut reading, pointer);
        reading.config = Value::Object(stored);
        reading
    }

    fn member(&self, object: &ObjectNode, key: &str, value: Value, pointer: &str, in_secret: bool) -> Reading {
        if let Some((_, property)) = object.properties.iter().find(|(name, _)| name == key) {
            let mut reading = self.value(&property.node, value, pointer, in_secret);
            reading.known_keys += 1;
            return reading;
        }
        match &object.additional {
            Some(node) => self.value(node, value, pointer, in_secret || self.words.look_secret(key)),
            None => Reading::refused(pointer, format!("is not a field here; allowed: {}", object.field_names())),
        }
    }

    /// Fills in defaults and reports what is missing.
    fn complete(&self, object: &ObjectNode, stored: &mut Map<String, Value>, reading: &mut Reading, pointer: &str) {
        for (name, property) in &object.properties {
            if stored.contains_key(name) {
                continue;
            }
            let pointer = below(pointer, name);
            if let Some(default) = &property.default {
                let part = self.value(&property.node, default.clone(), &pointer, false);
                stored.insert(name.clone(), reading.absorb(part));
            } else if property.is_required && !(name == "type" && pointer == "/config/type") {
                reading.absorb(Reading::refused(&pointer, format!("is required: {}", property.node.allowed())));
            }
        }
    }

    fn array(&self, items: &Node, value: Value, pointer: &str, in_secret: bool) -> Reading {
        let Value::Array(elements) = value else { return Reading::refused(pointer, "must be a list") };
        let mut reading = Reading::plain(Value::Null);
        let mut stored = Vec::with_capacity(elements.len());
        for (index, element) in elements.into_iter().enumerate() {
            let part = self.value(items, element, &below(pointer, &index.to_string()), in_secret);
            stored.push(reading.absorb(part));
        }
        reading.config = Value::Array(stored);
        reading
    }

    fn text(&self, node: &TextNode, value: Value, pointer: &str, in_secret: bool) -> Reading {
        let Value::String(text) = value else {
            return Reading::refused(pointer, format!("must be a text{}", node.hint()));
        };
        let is_stand_in = is_mask(&text) || SecretReference::parse(&text).is_some();
        if !is_stand_in && let Some(fault) = node.fault_of(&text) {
            return Reading::refused(pointer, fault);
        }
        self.leaf(text, pointer, node.is_secret || in_secret)
    }

    /// A text whose place and type are right: is it a secret, does it hold one, or neither?
    fn leaf(&self, text: String, pointer: &str, is_secret: bool) -> Reading {
        let mut reading = Reading::plain(Value::Null);
        let is_stand_in = is_mask(&text) || SecretReference::parse(&text).is_some();
        if (is_secret && !text.is_empty()) || is_stand_in {
            reading.secrets.push(SecretPlace::of(pointer, Form::Text));
        } else if let Some(found) = EmbeddedCredentials::find(&text, self.words) {
            let EmbeddedCredentials { shown, has_mask, is_mixed } = found;
            if is_mixed {
                return Reading::refused(pointer, "has some of its credentials masked; send all of them, or none");
            }
            reading.secrets.push(SecretPlace {
                shown: Some(shown),
                has_mask,
                ..SecretPlace::of(pointer, Form::Embedded)
            });
        }
        reading.config = Value::String(text);
        reading
    }

    fn number(&self, node: &NumberNode, value: Value, pointer: &str, in_secret: bool) -> Reading {
        let fits = match &value {
            Value::Number(number) => node.admits(number),
            _ => false,
        };
        if !fits {
            return Reading::refused(pointer, format!("must be {}", node.allowed()));
        }
        self.anything(value, pointer, in_secret)
    }

    /// A value in a free map: only names of keys tell where its secrets are.
    fn anything(&self, value: Value, pointer: &str, in_secret: bool) -> Reading {
        match value {
            Value::String(text) => self.leaf(text, pointer, in_secret),
            Value::Number(_) if in_secret => {
                let mut reading = Reading::plain(value);
                reading.secrets.push(SecretPlace::of(pointer, Form::Number));
                reading
            }
            Value::Array(_) => self.array(&Node::Anything, value, pointer, in_secret),
            Value::Object(members) => {
                let mut reading = Reading::plain(Value::Null);
                let mut stored = Map::new();
                for (key, value) in members {
                    let in_secret = in_secret || self.words.look_secret(&key);
                    let part = self.anything(value, &below(pointer, &key), in_secret);
                    stored.insert(key, reading.absorb(part));
                }
                reading.config = Value::Object(stored);
                reading
            }
            other => Reading::plain(other),
        }
    }

    /// The alternative that fits and knows most keys; a secret in any that fits is a secret (it fails closed).
    fn union(&self, alternatives: &[Alternative], value: &Value, pointer: &str, in_secret: bool) -> Reading {
        let readings: Vec<_> =
            alternatives.iter().map(|it| (it, self.value(&it.node, value.clone(), pointer, in_secret))).collect();
        let (fitting, failing): (Vec<_>, Vec<_>) = readings.into_iter().partition(|(_, it)| it.faults.is_empty());
        let mut fitting = fitting.into_iter().map(|(_, reading)| reading);
        let Some(mut best) = fitting.next() else { return closest(failing, value, pointer) };
        for mut other in fitting {
            if other.known_keys > best.known_keys {
                std::mem::swap(&mut best, &mut other);
            }
            // One that knows no key of the value is a map of anything, for values that no other alternative knows.
            if other.known_keys > 0 || best.known_keys == 0 {
                best.also_hides(other.secrets);
            }
        }
        best
    }
}

/// Nothing fits: the faults of the alternative that the value most likely means.
fn closest(mut failing: Vec<(&Alternative, Reading)>, value: &Value, pointer: &str) -> Reading {
    let titles: Vec<_> = failing.iter().map(|(alternative, _)| alternative.title.as_str()).collect();
    let titles = titles.join(", ");
    failing.sort_by_key(|(alternative, reading)| {
        (!alternative.node.is_meant_by(value), reading.faults.len(), usize::MAX - reading.known_keys)
    });
    let Some((alternative, reading)) = failing.into_iter().next() else {
        return Reading::refused(pointer, "fits nothing");
    };
    let mut refused = Reading::refused(pointer, format!("must be one of: {titles}"));
    if alternative.node.is_meant_by(value) || value.is_object() {
        let closest = format!("must be one of: {titles}; closest is {}", alternative.title);
        refused = Reading::refused(pointer, closest);
        refused.faults.extend(reading.faults);
    }
    refused
}

impl Reading {
    /// Adds places that another fitting alternative takes for secrets, as far as the value is still there.
    fn also_hides(&mut self, places: Vec<SecretPlace>) {
        for place in places {
            if !self.secrets.iter().any(|known| known.pointer == place.pointer) {
                self.secrets.push(place);
            }
        }
    }
}

impl SecretPlace {
    fn of(pointer: &str, form: Form) -> Self {
        Self { pointer: pointer.to_owned(), form, shown: None, has_mask: false }
    }
}

impl ObjectNode {
    fn name_of<'a>(&'a self, key: &'a str) -> &'a str {
        self.aliases.iter().find(|(alias, _)| alias == key).map_or(key, |(_, name)| name)
    }

    /// Says whether anything may stand under this key, null too: clients send null for fields that they leave out.
    fn is_free(&self, key: &str) -> bool {
        matches!(self.additional.as_deref(), Some(Node::Anything))
            && !self.properties.iter().any(|(name, _)| name == key)
    }

    fn field_names(&self) -> String {
        let names: Vec<_> = self.properties.iter().map(|(name, _)| name.as_str()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }

    /// Says whether a constant field, such as `type`, of the value is the one of this object.
    fn has_constant_of(&self, value: &Value) -> bool {
        self.properties.iter().any(|(name, property)| match &*property.node {
            Node::Text(text) if text.allowed.len() == 1 => {
                value.get(name).and_then(Value::as_str).is_some_and(|given| text.allowed.iter().any(|it| it == given))
            }
            _ => false,
        })
    }
}

impl Node {
    /// Says whether the value's JSON type, or a constant in it, points at this node.
    fn is_meant_by(&self, value: &Value) -> bool {
        match self {
            Self::Object(object) => object.has_constant_of(value),
            Self::Array(_) => value.is_array(),
            Self::Text(_) => value.is_string(),
            Self::Number(_) => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Union(_) | Self::Anything => false,
        }
    }

    /// What is allowed, for a message.
    fn allowed(&self) -> String {
        match self {
            Self::Object(_) => "an object".to_owned(),
            Self::Array(_) => "a list".to_owned(),
            Self::Text(text) => format!("a text{}", text.hint()),
            Self::Number(number) => number.allowed(),
            Self::Boolean => "true or false".to_owned(),
            Self::Union(alternatives) => {
                let titles: Vec<_> = alternatives.iter().map(|it| it.title.as_str()).collect();
                format!("one of {}", titles.join(", "))
            }
            Self::Anything => "any value".to_owned(),
        }
    }
}

impl TextNode {
    fn hint(&self) -> String {
        if !self.allowed.is_empty() {
            return format!(", one of: {}", self.allowed.join(", "));
        }
        if self.is_uri { " such as https://host:port".to_owned() } else { String::new() }
    }

    fn fault_of(&self, text: &str) -> Option<String> {
        if !self.allowed.is_empty() && !self.allowed.iter().any(|allowed| allowed == text) {
            return Some(format!("must be one of: {}", self.allowed.join(", ")));
        }
        if self.is_uri && !has_scheme(text) {
            return Some("must be a URL with its scheme, such as https://host:port".to_owned());
        }
        let length = text.chars().count() as u64;
        if self.min_length.is_some_and(|minimum| length < minimum) {
            return Some(format!("must have at least {} characters", self.min_length.unwrap_or_default()));
        }
        if self.max_length.is_some_and(|maximum| length > maximum) {
            return Some(format!("must have at most {} characters", self.max_length.unwrap_or_default()));
        }
        None
    }
}

fn has_scheme(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.chars().all(|character| character.is_ascii_alphanumeric() || "+.-".contains(character))
    })
}

impl NumberNode {
    fn admits(&self, number: &serde_json::Number) -> bool {
        let value = number.as_f64().unwrap_or(f64::NAN);
        let is_whole = number.is_i64() || number.is_u64();
        (is_whole || !self.is_integer)
            && self.minimum.is_none_or(|minimum| value >= minimum)
            && self.maximum.is_none_or(|maximum| value <= maximum)
    }

    fn allowed(&self) -> String {
        let kind = if self.is_integer { "a whole number" } else { "a number" };
        match (self.minimum, self.maximum) {
            (Some(minimum), Some(maximum)) => format!("{kind} from {minimum} to {maximum}"),
            (Some(minimum), None) => format!("{kind} from {minimum} on"),
            (None, Some(maximum)) => format!("{kind} up to {maximum}"),
            (None, None) => kind.to_owned(),
        }
    }
}
