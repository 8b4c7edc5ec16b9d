//! The configuration file: from a YAML tree to settings by path, with everything that has no place in it reported.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::fault::{Fault, Problem};
use super::interpolation::interpolate;
use super::keys::{KEYS, OPENMETADATA_FERNET_KEY, PARAMETERS};
use super::parse::wrong;
use super::suggestion::closest;
use super::yaml::Node;

const DOTTED: &str =
    "has a dot in its name; write the part after it on a line of its own, indented below the part before";

/// What a file sets, and what is wrong with its shape.
#[derive(Default)]
pub(super) struct FileContent {
    /// Path and value of each key that is set.
    pub(super) settings: Vec<(String, Value)>,
    /// Unreadable, unknown, repeated, not to be interpolated.
    pub(super) faults: Vec<Fault>,
}

/// Reads `file`, with variables of `environment` filled in.
pub(super) fn read(file: &Path, environment: &BTreeMap<String, String>) -> FileContent {
    let text = std::fs::read_to_string(file).map_err(|error| Problem::Unreadable(error.to_string()));
    let place = file.display().to_string();
    let mut walk = Walk { environment, content: FileContent::default() };
    match text.and_then(|text| Node::parse(&text)) {
        Ok(Node::Mapping(entries)) => walk.section("", entries),
        Ok(Node::Scalar(Value::Null)) => {}
        Ok(_) => walk.fault(&place, Problem::Rule("must be a mapping of keys at its top level")),
        Err(problem) => walk.fault(&place, problem),
    }
    walk.content
}

/// What stands at a path.
enum Known {
    Key,
    Section,
    Nothing,
}

fn look_up(path: &str) -> Known {
    if KEYS.iter().any(|key| key.path == path) {
        return Known::Key;
    }
    match path.rsplit_once('.') {
        Some((PARAMETERS, _)) => Known::Key,
        _ if path == PARAMETERS || known_in(path).next().is_some() => Known::Section,
        _ => Known::Nothing,
    }
}

/// The names that exist directly in a section, those of keys and of sections.
fn known_in(section: &str) -> impl Iterator<Item = &'static str> {
    let paths = KEYS.iter().map(|key| key.path).chain([PARAMETERS]);
    let inside = paths.filter_map(move |path| match section {
        "" => Some(path),
        section => path.strip_prefix(section)?.strip_prefix('.'),
    });
    inside.filter_map(|path| path.split('.').next())
}

struct Walk<'a> {
    environment: &'a BTreeMap<String, String>,
    content: FileContent,
}

impl Walk<'_> {
    fn fault(&mut self, place: &str, problem: Problem) {
        self.content.faults.push(Fault::new(place, problem));
    }

    fn section(&mut self, section: &str, entries: Vec<(String, Node)>) {
        let mut seen: Vec<String> = Vec::new();
        for (name, node) in entries {
            let path = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
            if seen.contains(&name) {
                self.fault(&path, Problem::Duplicate);
            } else {
                self.entry(section, &path, &name, node);
                seen.push(name);
            }
        }
    }

    fn entry(&mut self, section: &str, path: &str, name: &str, node: Node) {
        // Else `server.port: 1` would pass for `server: {port: 1}`, beside the real one.
        if name.contains('.') {
            return self.fault(path, Problem::Rule(DOTTED));
        }
        match (look_up(path), node) {
            (Known::Key, node) => {
                if let Some(value) = self.value(path, node) {
                    self.content.settings.push((path.to_owned(), value));
                }
            }
            (Known::Section, Node::Mapping(entries)) => self.section(path, entries),
            (Known::Section, Node::Scalar(Value::Null)) => {}
            (Known::Section, Node::List(_)) => self.fault(path, wrong("a mapping of keys", &Value::Array(Vec::new()))),
            (Known::Section, Node::Scalar(value)) => self.fault(path, wrong("a mapping of keys", &value)),
            (Known::Nothing, node) if name.to_ascii_lowercase().starts_with("fernet") => self.fernet_key(path, &node),
            (Known::Nothing, _) => self.fault(path, unknown(section, name)),
        }
    }

    /// The node with its variables filled in; none if that failed.
    fn value(&mut self, path: &str, node: Node) -> Option<Value> {
        match node {
            Node::Scalar(Value::String(text)) => self.text(path, &text),
            Node::Scalar(value) => Some(value),
            Node::Mapping(_) => Some(Value::Object(serde_json::Map::new())),
            Node::List(items) => {
                let items = items.into_iter().enumerate();
                // Collected before they are judged, so that each bad entry is reported.
                let values: Vec<_> = items.map(|(index, item)| self.value(&format!("{path}[{index}]"), item)).collect();
                values.into_iter().collect()
            }
        }
    }

    fn text(&mut self, path: &str, text: &str) -> Option<Value> {
        match interpolate(text, self.environment) {
            Ok(filled) => Some(Value::String(filled)),
            Err(problems) => {
                for problem in problems {
                    self.fault(path, problem);
                }
                None
            }
        }
    }

    fn fernet_key(&mut self, path: &str, node: &Node) {
        let public = holds_public_key(node, self.environment);
        self.fault(path, Problem::FernetKey { public });
    }
}

fn holds_public_key(node: &Node, environment: &BTreeMap<String, String>) -> bool {
    match node {
        Node::Scalar(Value::String(text)) => {
            interpolate(text, environment).is_ok_and(|filled| filled.contains(OPENMETADATA_FERNET_KEY))
        }
        Node::Scalar(_) => false,
        Node::List(items) => items.iter().any(|item| holds_public_key(item, environment)),
        Node::Mapping(entries) => entries.iter().any(|(_, entry)| holds_public_key(entry, environment)),
    }
}

fn unknown(section: &str, name: &str) -> Problem {
    let beside = closest(name, known_in(section)).map(str::to_owned);
    let elsewhere = || {
        let leaf = closest(name, KEYS.iter().filter_map(|key| key.path.split('.').next_back()))?;
        let key = KEYS.iter().find(|key| key.path.split('.').next_back() == Some(leaf))?;
        Some(key.path.to_owned())
    };
    let mut known: Vec<&str> = Vec::new();
    known_in(section).for_each(|name| {
        if !known.contains(&name) {
            known.push(name);
        }
    });
    Problem::UnknownKey { suggestion: beside.or_else(elsewhere), known }
}
