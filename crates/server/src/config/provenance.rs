//! Where each value came from, for `strongroom config show`.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::Config;
use super::keys::{KEYS, NAMED_PARAMETERS, PARAMETERS};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The table of keys.
    Default,
    /// The configuration file, at this path in it.
    File { file: PathBuf, key: String },
    /// An environment variable.
    Environment(&'static str),
    /// A flag.
    CommandLine(&'static str),
}

impl Source {
    /// The name under which the operator set the key at `path`: what a fault points at.
    pub(super) fn place<'a>(&'a self, path: &'a str) -> &'a str {
        match self {
            Self::Default => path,
            Self::File { key, .. } => key,
            Self::Environment(name) | Self::CommandLine(name) => name,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => out.write_str("default"),
            Self::File { file, key } => write!(out, "file {}:{key}", file.display()),
            Self::Environment(name) => write!(out, "environment {name}"),
            Self::CommandLine(flag) => write!(out, "command line {flag}"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What stands for a value that may be secret.
pub(super) const SET: &str = "(set)";

/// One key with the value in force.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ShownValue {
    /// The key's path.
    pub(crate) key: String,
    /// The value; `(set)` in place of one that may be secret, none where nothing is set.
    pub(crate) value: Option<String>,
    /// Where it came from.
    pub(crate) source: Source,
    /// What the key means.
    pub(crate) meaning: &'static str,
}

impl Config {
    /// The name under which the key at `path` was set.
    pub(super) fn place<'a>(&'a self, path: &'a str) -> &'a str {
        self.origins.get(path).map_or(path, |source| source.place(path))
    }

    /// Whether an operator set the key at `path`.
    pub(super) fn is_given(&self, path: &str) -> bool {
        self.origins.get(path).is_some_and(|source| *source != Source::Default)
    }

    /// Every key with its value and source, in the order of the documentation. Secrets are left out.
    pub(crate) fn provenance(&self) -> Vec<ShownValue> {
        let keys = KEYS.iter().map(|key| self.shown(key.path.to_owned(), (key.show)(self), key.meaning));
        keys.chain(self.secrets_manager.parameters.keys().map(|name| self.shown_parameter(name))).collect()
    }

    fn shown(&self, key: String, value: Option<String>, meaning: &'static str) -> ShownValue {
        let source = self.origins.get(&key).cloned().unwrap_or(Source::Default);
        ShownValue { key, value, source, meaning }
    }

    fn shown_parameter(&self, name: &str) -> ShownValue {
        let named = NAMED_PARAMETERS.iter().find(|parameter| parameter.name == name);
        let meaning = named.map_or("a parameter of the secrets manager", |parameter| parameter.meaning);
        self.shown(format!("{PARAMETERS}.{name}"), Some(SET.to_owned()), meaning)
    }
}

/// Lines for people: `key = value`, then the source, in columns.
pub(crate) fn as_text(values: &[ShownValue]) -> String {
    let settings: Vec<String> = values
        .iter()
        .map(|shown| format!("{} = {}", shown.key, shown.value.as_deref().unwrap_or("(not set)")))
        .collect();
    let width = settings.iter().map(|setting| setting.chars().count()).max().unwrap_or(0);
    let lines = settings.iter().zip(values).map(|(setting, shown)| format!("{setting:width$}  {}\n", shown.source));
    lines.collect()
}
