//! All stores that secrets may be in, and which of them new ones go into.

use std::sync::{Arc, PoisonError, RwLock};

use crate::active_store::ActiveStore;
use crate::secrets_manager::{Sealer, SecretsError, SecretsErrorKind, SecretsManager};

/// The stores of a server.
///
/// The encrypted database is always among them: it has what was not moved yet, and its sealer makes no I/O.
pub struct SecretStores {
    database: Arc<dyn SecretsManager>,
    outside: Vec<Arc<dyn SecretsManager>>,
    active: RwLock<Active>,
}

/// Where new secrets go.
#[derive(Clone)]
enum Active {
    /// Into rows of our own database.
    Database,
    Outside(Arc<dyn SecretsManager>),
    /// Into a store that this server is not configured for: it neither reads nor writes any.
    Elsewhere(String),
}

impl SecretStores {
    /// The encrypted database alone, or beside stores outside of it. New secrets go into the database until
    /// [`SecretStores::follow`] is told otherwise.
    pub fn new(database: Arc<dyn SecretsManager>, outside: Vec<Arc<dyn SecretsManager>>) -> Self {
        Self { database, outside, active: RwLock::new(Active::Database) }
    }

    /// A single store that is active from the beginning.
    pub fn only(database: Arc<dyn SecretsManager>, outside: Arc<dyn SecretsManager>) -> Self {
        let active = RwLock::new(Active::Outside(Arc::clone(&outside)));
        Self { database, outside: vec![outside], active }
    }

    /// Does as the database says.
    pub fn follow(&self, noted: Option<&ActiveStore>) {
        let active = match noted {
            None => Active::Database,
            Some(noted) if noted.place == self.database.place() => Active::Database,
            Some(noted) => match self.at(&noted.place) {
                Some(store) => Active::Outside(Arc::clone(store)),
                None => Active::Elsewhere(noted.place.clone()),
            },
        };
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = active;
    }

    /// The store outside of the database at this place.
    pub fn at(&self, place: &str) -> Option<&Arc<dyn SecretsManager>> {
        self.outside.iter().find(|store| store.place() == place)
    }

    /// The encrypted database.
    pub fn database(&self) -> &Arc<dyn SecretsManager> {
        &self.database
    }

    /// The store that new secrets go into; the place of one that this server is not configured for.
    pub fn active(&self) -> Result<Arc<dyn SecretsManager>, String> {
        match &*self.active.read().unwrap_or_else(PoisonError::into_inner) {
            Active::Database => Ok(Arc::clone(&self.database)),
            Active::Outside(store) => Ok(Arc::clone(store)),
            Active::Elsewhere(place) => Err(place.clone()),
        }
    }

    /// The store in which references that users typed are looked up.
    pub(crate) fn of_references(&self) -> Option<&Arc<dyn SecretsManager>> {
        self.outside.iter().find(|store| store.limits().reachable_by_workers)
    }

    /// The part that opens what lies in our own rows.
    pub(crate) fn sealer(&self) -> Result<&dyn Sealer, SecretsError> {
        self.database.sealer().ok_or_else(|| {
            SecretsError::new(SecretsErrorKind::Settings, self.database.kind(), "open").because("it has no sealer")
        })
    }

    /// Whether workers with an identity of their own can resolve references to this place.
    pub(crate) fn is_reachable_by_workers(&self, place: &str) -> bool {
        self.at(place).is_some_and(|store| store.limits().reachable_by_workers)
    }
}
