//! What is wrong with an input, by path. A fault never quotes the value.

use std::fmt;

use serde::Serialize;

/// One thing that is wrong, and what is allowed there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where, for example `connection.config.authType.password`.
    pub path: String,
    /// What is wrong and what to do. Never the value.
    pub message: String,
}

impl Fault {
    /// A fault at this path.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path, self.message)
    }
}

/// Everything that is wrong with an input, at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// A single fault.
    pub fn one(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![Fault::new(path, message)])
    }

    /// `Ok` where nothing is wrong.
    pub fn or_ok(faults: Vec<Fault>) -> Result<(), Self> {
        if faults.is_empty() { Ok(()) } else { Err(Self(faults)) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(formatter, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
