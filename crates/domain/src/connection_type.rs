//! The schema of one kind of connection: checks a connection against it, fills in defaults, and says where its
//! secrets are.
//!
//! Reads the part of JSON Schema that connection types need and refuses any other keyword, so that no construct it
//! does not understand can hide a secret (it fails closed). Messages name paths and what is allowed, never values.

mod reader;
mod walk;

use std::sync::Arc;

use serde_json::Value;

pub(crate) use reader::{SchemaError, SchemaFiles};
pub(crate) use walk::{Form, Reading, SecretPlace};

use crate::fault::{Fault, Faults};
use crate::free_map::SecretWords;

/// One kind of connection, for example `Mysql`.
#[derive(Debug)]
pub struct ConnectionType {
    name: String,
    root: Arc<Node>,
    schema: Value,
}

impl ConnectionType {
    /// Reads a schema; `files` has the shared definitions that it may refer to.
    pub(crate) fn read(name: &str, schema: &Value, files: &SchemaFiles) -> Result<Self, SchemaError> {
        let root = files.read(schema)?;
        if !matches!(*root, Node::Object(_)) {
            return Err(SchemaError::at("", "the schema of a connection type must be an object"));
        }
        Ok(Self { name: name.to_owned(), root, schema: files.bundle(schema) })
    }

    /// The service type that connections of this kind have.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The JSON Schema, with shared definitions under `$defs`.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// Checks a connection's `config` and returns it as it is to be stored, with the places of its secrets.
    pub(crate) fn check(&self, mut config: Value, words: &SecretWords) -> Result<Reading, Faults> {
        let own_type = config.as_object_mut().and_then(|members| members.shift_remove("type"));
        self.check_type(own_type.as_ref())?;
        let mut reading = Reading::of(&self.root, config, words);
        Faults::or_ok(std::mem::take(&mut reading.faults))?;
        if let Value::Object(members) = &mut reading.config {
            members.shift_remove("type");
            members.shift_insert(0, "type".to_owned(), Value::String(self.name.clone()));
        }
        Ok(reading)
    }

    /// A connection says its type itself, or leaves it to the service type; it cannot say another.
    fn check_type(&self, own_type: Option<&Value>) -> Result<(), Faults> {
        match own_type {
            None | Some(Value::Null) => Ok(()),
            Some(Value::String(text)) if *text == self.name => Ok(()),
            Some(_) => Err(Faults(vec![Fault::new(
                "connection.config.type",
                format!("must be {}, as the serviceType says; or leave it out", self.name),
            )])),
        }
    }
}

/// A schema, resolved.
#[derive(Debug)]
enum Node {
    Object(ObjectNode),
    Array(Arc<Node>),
    Text(TextNode),
    Number(NumberNode),
    Boolean,
    Union(Vec<Alternative>),
    /// Anything at all: what a free map holds.
    Anything,
}

#[derive(Debug)]
struct ObjectNode {
    properties: Vec<(String, Property)>,
    /// What keys beyond the properties may hold; none: there may be none.
    additional: Option<Arc<Node>>,
    aliases: Vec<(String, String)>,
    ignored: Vec<String>,
}

#[derive(Debug)]
struct Property {
    node: Arc<Node>,
    is_required: bool,
    default: Option<Value>,
}

#[derive(Debug, Default)]
struct TextNode {
    is_secret: bool,
    is_uri: bool,
    allowed: Vec<String>,
    min_length: Option<u64>,
    max_length: Option<u64>,
}

#[derive(Debug)]
struct NumberNode {
    is_integer: bool,
    minimum: Option<f64>,
    maximum: Option<f64>,
}

#[derive(Debug)]
struct Alternative {
    title: String,
    node: Arc<Node>,
}
