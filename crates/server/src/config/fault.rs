//! What is wrong with a configuration: every fault by the place it was given, none with the value that stands there.

use std::fmt;

/// One fault: where, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The key's path, the environment variable, the flag or the file.
    pub(crate) place: String,
    /// What is wrong, in words that never repeat a value.
    pub(crate) problem: Problem,
}

impl Fault {
    pub(super) fn new(place: impl Into<String>, problem: Problem) -> Self {
        let place = place.into();
        Self { place, problem }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key's name comes from the file: neither its line breaks nor its length may spoil the report.
        for character in self.place.chars().take(PLACE_LENGTH) {
            write!(out, "{}", character.escape_debug())?;
        }
        write!(out, ": {}", self.problem)
    }
}

/// Characters of a place that are shown; a path of ours has at most half as many.
const PLACE_LENGTH: usize = 200;

/// All the faults of one configuration, one per line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) struct ConfigFaults(pub(crate) Vec<Fault>);

impl fmt::Display for ConfigFaults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(out, "{line_break}{fault}")?;
        }
        Ok(())
    }
}

/// What can be wrong at one place.
///
/// No variant holds a value that an operator wrote: it may be a secret at a wrong place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// Another type or range than the key wants.
    #[error("must be {wanted}, got {got}")]
    WrongValue { wanted: String, got: &'static str },
    /// None of the allowed words.
    #[error("must be one of {}{}", quoted(allowed), did_you_mean(suggestion.as_deref()))]
    NotOneOf { allowed: Vec<&'static str>, suggestion: Option<&'static str> },
    /// A rule of this key, told as a sentence that follows the place.
    #[error("{0}")]
    Rule(&'static str),
    /// A key that does not exist.
    #[error("is not a known key{}", suggestion.as_deref().map_or_else(|| known_here(known), |word| did_you_mean(Some(word))))]
    UnknownKey { suggestion: Option<String>, known: Vec<&'static str> },
    /// A key that stands twice in one mapping.
    #[error("is given twice; leave one")]
    Duplicate,
    /// An interpolated variable that nobody set.
    #[error("the environment variable {0} is not set or empty; write ${{{0}:-default}} if it may be missing")]
    UndefinedVariable(String),
    /// The file is not one YAML document.
    #[error("is not valid YAML at line {line}, column {column}: look at the indentation, quotes and tabs there")]
    NotYaml { line: u64, column: u64 },
    /// The file is not readable.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// A secrets manager that does not exist.
    #[error(
        "is not the name of a secrets manager{}{} This version has {}; not yet in it are {}",
        did_you_mean(*suggestion), if suggestion.is_some() { "" } else { "." }, quoted(served), quoted(later)
    )]
    UnknownSecretsManager {
        suggestion: Option<&'static str>,
        served: Vec<&'static str>,
        later: &'static [&'static str],
    },
    /// A secrets manager of a later version.
    #[error("names a secrets manager that is not in this version; use `db`")]
    LaterSecretsManager,
    /// A key that says what another place says too; the place, in words.
    #[error("must not be given beside {0}; leave one of them")]
    Beside(String),
    /// A parameter of a database's url; its name, where it looks like one.
    #[error("has a parameter that is not known{}; only `sslmode` (or `ssl-mode`) may stand there", named(.0.as_deref()))]
    UnknownUrlParameter(Option<String>),
    /// A key of `OpenMetadata`'s encryption, which has no use here.
    #[error("{}", fernet_text(*public))]
    FernetKey { public: bool },
}

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

fn did_you_mean(word: Option<&str>) -> String {
    word.map_or_else(String::new, |word| format!("; did you mean `{word}`?"))
}

fn named(word: Option<&str>) -> String {
    word.map_or_else(String::new, |word| format!(", `{word}`"))
}

fn known_here(known: &[&str]) -> String {
    format!("; known here: {}", quoted(known))
}

fn fernet_text(public: bool) -> String {
    let remark = if public {
        " This one is the key OpenMetadata ships with, so it is public: count what it encrypted as known."
    } else {
        ""
    };
    format!(
        "Strongroom does not use a Fernet key: it keeps a key ring of its own in <dataDir>/keys, made at the first \
         start. Unset this one; to bring connections over, PUT them again with their secrets.{remark}"
    )
}
