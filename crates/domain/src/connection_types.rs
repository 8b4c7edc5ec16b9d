//! All connection types: those compiled in from `config/connection-types`, and those an operator adds or overrides.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use thiserror::Error;

use crate::connection_type::{ConnectionType, SchemaFiles};
use crate::free_map::SecretWords;
use crate::service::Family;

/// Path below `config/connection-types`, and text.
const BUILT_IN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/connection_type_files.rs"));

/// Service types that clients know and that have no connection; services of these are accepted without one.
const WITHOUT_CONNECTION: &[(Family, &str)] =
    &[(Family::Database, "Dbt"), (Family::Database, "QueryLog"), (Family::Api, "WEBHOOK")];

/// The folder of definitions that several types refer to.
const SHARED: &str = "shared/";

/// All connection types. A schema is read when its type is first asked for, so that starting costs nothing.
#[derive(Debug)]
pub struct ConnectionTypes {
    files: SchemaFiles,
    types: BTreeMap<(Family, String), ReadOnce>,
    words: SecretWords,
}

/// A type, or why its schema cannot be used; read when it is first asked for.
type ReadOnce = OnceLock<Result<Arc<ConnectionType>, String>>;

/// Why a connection type cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConnectionTypeError {
    /// The family has no such type.
    #[error("is not a service type of this family; allowed: {}", .allowed.join(", "))]
    Unknown {
        /// What the family has.
        allowed: Vec<String>,
    },
    /// The type has no connection class.
    #[error("services of this type have no connection; leave it out")]
    WithoutConnection,
    /// An operator's schema that cannot be read.
    #[error("the schema of this connection type cannot be used: {0}")]
    Unusable(String),
}

impl ConnectionTypes {
    /// The types compiled in, with an operator's own (`<family>/<Type>.json` or `shared/<name>.json`, and text)
    /// added or put in their place. All faults of the operator's files are reported at once, each by its path.
    pub fn load(own: Vec<(String, String)>, words: SecretWords) -> Result<Self, Vec<String>> {
        let own_paths: Vec<_> = own.iter().map(|(path, _)| path.clone()).collect();
        let built_in = BUILT_IN.iter().map(|(path, text)| ((*path).to_owned(), Cow::Borrowed(*text)));
        let texts: BTreeMap<_, _> =
            built_in.chain(own.into_iter().map(|(path, text)| (path, Cow::Owned(text)))).collect();
        let types = texts.keys().filter_map(|path| Some((key_of(path)?, OnceLock::new()))).collect();
        let loaded = Self { files: SchemaFiles::new(texts), types, words };
        let faults: Vec<_> = own_paths.iter().filter_map(|path| loaded.fault_of(path)).collect();
        if faults.is_empty() { Ok(loaded) } else { Err(faults) }
    }

    /// What is wrong with an operator's file.
    fn fault_of(&self, path: &str) -> Option<String> {
        if let Some((family, name)) = key_of(path) {
            return self.find(family, &name).err().map(|error| format!("{path}: {error}"));
        }
        if path.starts_with(SHARED) {
            return self.files.parse(path)?.err().map(|error| format!("{path}: {error}"));
        }
        let families = Family::ALL.map(Family::as_str).join(", ");
        Some(format!("{path}: must be <family>/<Type>.json or shared/<name>.json; families: {families}"))
    }

    /// The words that mark a key of a free map as secret.
    pub fn words(&self) -> &SecretWords {
        &self.words
    }

    /// The type of connection that services of this type have.
    pub fn find(&self, family: Family, service_type: &str) -> Result<Arc<ConnectionType>, ConnectionTypeError> {
        if let Some(read) = self.types.get(&(family, service_type.to_owned())) {
            let read = read.get_or_init(|| self.read(family, service_type));
            return read.clone().map_err(ConnectionTypeError::Unusable);
        }
        if WITHOUT_CONNECTION.contains(&(family, service_type)) {
            return Err(ConnectionTypeError::WithoutConnection);
        }
        Err(ConnectionTypeError::Unknown { allowed: self.service_types(family) })
    }

    fn read(&self, family: Family, name: &str) -> Result<Arc<ConnectionType>, String> {
        let schema = self.files.parse(&format!("{family}/{name}.json")).ok_or("the file is gone")?;
        let read = schema.and_then(|schema| ConnectionType::read(name, &schema, &self.files));
        read.map(Arc::new).map_err(|error| error.to_string())
    }

    /// The service types of a family, in order.
    pub fn service_types(&self, family: Family) -> Vec<String> {
        let own = self.types.keys().filter(|(it, _)| *it == family).map(|(_, name)| name.clone());
        let without = WITHOUT_CONNECTION.iter().filter(|(it, _)| *it == family).map(|(_, name)| (*name).to_owned());
        let mut names: Vec<_> = own.chain(without).collect();
        names.sort();
        names
    }
}

/// The family and type of `<family>/<Type>.json`.
fn key_of(path: &str) -> Option<(Family, String)> {
    let (family, file) = path.split_once('/')?;
    let name = file.strip_suffix(".json").filter(|name| !name.is_empty() && !name.contains('/'))?;
    Some((Family::parse(family)?, name.to_owned()))
}
