//! From JSON Schema to the resolved form. Every keyword is either understood or refused.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::{Alternative, Node, NumberNode, ObjectNode, Property, TextNode};

/// What a schema may say. Everything else is refused, or it could hide a secret.
const KEYWORDS: &[&str] = &[
    "$schema",
    "$ref",
    "title",
    "description",
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "const",
    "default",
    "oneOf",
    "format",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "x-aliases",
    "x-ignored",
];

/// Why a schema cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SchemaError {
    /// Where in the schema, as a JSON Pointer.
    at: String,
    reason: String,
}

impl SchemaError {
    pub(super) fn at(at: &str, reason: impl Into<String>) -> Self {
        Self { at: at.to_owned(), reason: reason.into() }
    }

    fn below(mut self, segment: &str) -> Self {
        self.at = format!("/{segment}{}", self.at);
        self
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = if self.at.is_empty() { "/" } else { &self.at };
        write!(formatter, "at {at}: {}", self.reason)
    }
}

/// All schema files by their path (`shared/aws-credentials.json`); each that another refers to is resolved once.
#[derive(Debug, Default)]
pub(crate) struct SchemaFiles {
    texts: BTreeMap<String, Cow<'static, str>>,
    resolved: Mutex<BTreeMap<String, Arc<Node>>>,
}

impl SchemaFiles {
    pub(crate) fn new(texts: BTreeMap<String, Cow<'static, str>>) -> Self {
        Self { texts, resolved: Mutex::default() }
    }

    /// Parses a file; nothing where there is none.
    pub(crate) fn parse(&self, path: &str) -> Option<Result<Value, SchemaError>> {
        let parsed = serde_json::from_str(self.texts.get(path)?);
        Some(parsed.map_err(|error| SchemaError::at("", format!("not JSON: {error}"))))
    }

    pub(super) fn read(&self, schema: &Value) -> Result<Arc<Node>, SchemaError> {
        Reader { files: self, open: Vec::new() }.node(schema)
    }

    /// The schema as one document: references to files become references into `$defs`.
    pub(super) fn bundle(&self, schema: &Value) -> Value {
        let mut definitions = Map::new();
        let mut bundled = self.bundled(schema, &mut definitions);
        if let (Value::Object(members), false) = (&mut bundled, definitions.is_empty()) {
            members.insert("$defs".to_owned(), Value::Object(definitions));
        }
        bundled
    }

    fn bundled(&self, schema: &Value, definitions: &mut Map<String, Value>) -> Value {
        match schema {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    return self.bundled_reference(reference, definitions);
                }
                members.iter().map(|(key, value)| (key.clone(), self.bundled(value, definitions))).collect()
            }
            Value::Array(elements) => elements.iter().map(|element| self.bundled(element, definitions)).collect(),
            other => other.clone(),
        }
    }

    fn bundled_reference(&self, reference: &str, definitions: &mut Map<String, Value>) -> Value {
        let file = path_of(reference);
        let name = file.trim_start_matches("shared/").trim_end_matches(".json").replace('/', ".");
        let name = name.as_str();
        if !definitions.contains_key(name) {
            definitions.insert(name.to_owned(), Value::Null);
            let mut definition =
                self.parse(&file).and_then(Result::ok).map(|schema| self.bundled(&schema, definitions));
            if let Some(Value::Object(members)) = &mut definition {
                members.shift_remove("$schema");
            }
            definitions.insert(name.to_owned(), definition.unwrap_or(Value::Null));
        }
        json!({ "$ref": format!("#/$defs/{name}") })
    }

    fn known(&self, file: &str) -> Option<Arc<Node>> {
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner).get(file).cloned()
    }

    fn remember(&self, file: &str, node: &Arc<Node>) {
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner).insert(file.to_owned(), Arc::clone(node));
    }
}

/// The path of the file that a reference means: `../<folder>/<file>` from a type, `<file>` from one shared file to
/// another.
fn path_of(reference: &str) -> String {
    match reference.strip_prefix("../") {
        Some(path) => path.to_owned(),
        None => format!("shared/{reference}"),
    }
}

struct Reader<'a> {
    files: &'a SchemaFiles,
    /// The files being read: one that refers to itself has no end.
    open: Vec<String>,
}

impl Reader<'_> {
    fn node(&mut self, schema: &Value) -> Result<Arc<Node>, SchemaError> {
        let members = match schema {
            Value::Bool(true) => return Ok(Arc::new(Node::Anything)),
            Value::Object(members) => members,
            _ => return Err(SchemaError::at("", "must be an object, or true for anything")),
        };
        if let Some(unknown) = members.keys().find(|key| !KEYWORDS.contains(&key.as_str())) {
            return Err(SchemaError::at(
                "",
                format!("`{unknown}` is not supported; supported: {}", KEYWORDS.join(", ")),
            ));
        }
        if let Some(reference) = members.get("$ref") {
            return self.reference(reference);
        }
        if let Some(alternatives) = members.get("oneOf") {
            return self.union(alternatives).map_err(|error| error.below("oneOf"));
        }
        match text(members, "type")? {
            Some("object") => self.object(members),
            Some("array") => self.array(members),
            Some("string") => text_node(members).map(Arc::new),
            Some("integer") => Ok(Arc::new(number_node(members, true))),
            Some("number") => Ok(Arc::new(number_node(members, false))),
            Some("boolean") => Ok(Arc::new(Node::Boolean)),
            Some(_) => Err(SchemaError::at("/type", "must be object, array, string, integer, number or boolean")),
            None => Err(SchemaError::at("", "needs `type`, `oneOf` or `$ref`")),
        }
    }

    fn reference(&mut self, reference: &Value) -> Result<Arc<Node>, SchemaError> {
        let reference = reference.as_str().ok_or_else(|| SchemaError::at("/$ref", "must be a text"))?;
        let file = path_of(reference);
        if let Some(node) = self.files.known(&file) {
            return Ok(node);
        }
        let schema = self.files.parse(&file);
        let schema = schema.ok_or_else(|| SchemaError::at("/$ref", format!("there is no file `{file}`")))??;
        if self.open.contains(&file) {
            return Err(SchemaError::at("/$ref", format!("`{file}` refers to itself")));
        }
        self.open.push(file.clone());
        let node = self.node(&schema).map_err(|error| error.below(&file))?;
        self.open.pop();
        self.files.remember(&file, &node);
        Ok(node)
    }

    fn union(&mut self, alternatives: &Value) -> Result<Arc<Node>, SchemaError> {
        let alternatives = alternatives.as_array().filter(|list| !list.is_empty());
        let alternatives = alternatives.ok_or_else(|| SchemaError::at("", "must be a list with an alternative"))?;
        let mut read = Vec::with_capacity(alternatives.len());
        for (index, schema) in alternatives.iter().enumerate() {
            let node = self.node(schema).map_err(|error| error.below(&index.to_string()))?;
            read.push(Alternative { title: self.title(schema), node });
        }
        Ok(Arc::new(Node::Union(read)))
    }

    /// What an alternative is called in messages: its title, that of its file, or its type.
    fn title(&self, schema: &Value) -> String {
        let file = schema.get("$ref").and_then(Value::as_str).and_then(|it| self.files.parse(&path_of(it)));
        let file = file.and_then(Result::ok);
        let schema = file.as_ref().unwrap_or(schema);
        let word = |key: &str| schema.get(key).and_then(Value::as_str).map(str::to_owned);
        word("title").or_else(|| word("type")).unwrap_or_else(|| "anything".to_owned())
    }

    fn object(&mut self, members: &Map<String, Value>) -> Result<Arc<Node>, SchemaError> {
        let required = texts(members, "required")?;
        let mut properties = Vec::new();
        for (name, schema) in members.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let node = self.node(schema).map_err(|error| error.below(name).below("properties"))?;
            let is_required = required.iter().any(|it| it == name);
            properties.push((name.clone(), Property { node, is_required, default: schema.get("default").cloned() }));
        }
        if let Some(missing) = required.iter().find(|it| !properties.iter().any(|(name, _)| name == *it)) {
            return Err(SchemaError::at("/required", format!("`{missing}` is not among the properties")));
        }
        let additional = match members.get("additionalProperties") {
            Some(Value::Bool(false)) => None,
            None => {
                return Err(SchemaError::at("", "an object needs `additionalProperties` (false, true or a schema)"));
            }
            Some(schema) => Some(self.node(schema).map_err(|error| error.below("additionalProperties"))?),
        };
        let aliases = members.get("x-aliases").and_then(Value::as_object).into_iter().flatten();
        let aliases = aliases.filter_map(|(alias, name)| Some((alias.clone(), name.as_str()?.to_owned()))).collect();
        let ignored = texts(members, "x-ignored")?;
        Ok(Arc::new(Node::Object(ObjectNode { properties, additional, aliases, ignored })))
    }

    fn array(&mut self, members: &Map<String, Value>) -> Result<Arc<Node>, SchemaError> {
        let items = members.get("items").ok_or_else(|| SchemaError::at("", "an array needs `items`"))?;
        let node = self.node(items).map_err(|error| error.below("items"))?;
        Ok(Arc::new(Node::Array(node)))
    }
}

fn text_node(members: &Map<String, Value>) -> Result<Node, SchemaError> {
    let mut allowed = texts(members, "enum")?;
    allowed.extend(text(members, "const")?.map(str::to_owned));
    let format = text(members, "format")?;
    let (is_secret, is_uri) = match format {
        Some("password") => (true, false),
        Some("uri") => (false, true),
        None => (false, false),
        Some(_) => return Err(SchemaError::at("/format", "must be password or uri")),
    };
    let length = |key: &str| members.get(key).and_then(Value::as_u64);
    let (min_length, max_length) = (length("minLength"), length("maxLength"));
    Ok(Node::Text(TextNode { is_secret, is_uri, allowed, min_length, max_length }))
}

fn number_node(members: &Map<String, Value>, is_integer: bool) -> Node {
    let bound = |key: &str| members.get(key).and_then(Value::as_f64);
    Node::Number(NumberNode { is_integer, minimum: bound("minimum"), maximum: bound("maximum") })
}

fn text<'a>(members: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, SchemaError> {
    match members.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(SchemaError::at(&format!("/{key}"), "must be a text")),
    }
}

fn texts(members: &Map<String, Value>, key: &str) -> Result<Vec<String>, SchemaError> {
    let refused = || SchemaError::at(&format!("/{key}"), "must be a list of texts");
    match members.get(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => {
            list.iter().map(|element| element.as_str().map(str::to_owned).ok_or_else(refused)).collect()
        }
        Some(_) => Err(refused()),
    }
}
