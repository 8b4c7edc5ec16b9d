//! Where secrets are kept: one file or folder for each store, all behind [`strongroom_domain::SecretsManager`].
//!
//! A store knows ids and values of secrets, and nothing of connections, schemas, HTTP or SQL, nor of other stores.
//! `docs/adding-a-secrets-manager.md` says how to add one.

#[cfg(feature = "aws")]
mod aws;
mod encrypted_database;
mod in_memory;
mod layers;
mod probe;
pub mod registry;

#[cfg(feature = "aws-parameter-store")]
pub use aws::AwsParameterStore;
#[cfg(feature = "aws-secrets-manager")]
pub use aws::AwsSecretsManager;
#[cfg(feature = "aws")]
pub use aws::AwsSettings;
pub use encrypted_database::{
    EncryptedDatabase, KeyRing, KeyRingError, KeyRingFile, KeyRingFileError, SharedKeyRing, WeakKey,
};
pub use in_memory::InMemory;
pub use layers::{Cache, CacheTimes, Pace, Patience, Quotas, Retry};
