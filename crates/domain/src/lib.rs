//! The rules of Strongroom, without I/O: what a service is, where its secrets are, who may see them.
//!
//! Databases, clouds and HTTP are reached through the traits of this crate ([`SecretsManager`],
//! [`ServiceStore`], [`PrincipalStore`], [`AuditLog`], [`RowSigner`], [`Clock`]).

mod access_tokens;
mod active_store;
mod audit;
mod caller;
mod change_feed;
mod clock;
mod connection_type;
mod connection_types;
mod embedded_credentials;
mod entity_template;
mod fault;
mod free_map;
mod guarded_cache;
mod json_pointer;
mod key_rotation;
mod principal_store;
mod quoted_secrets;
mod replicas;
mod row_signer;
mod secret;
mod secret_intents;
mod secret_names;
mod secret_stores;
mod secret_swap;
mod secrets_manager;
mod service;
mod service_catalog;
mod service_fields;
mod service_store;
mod store_error;
mod strict_json;
mod test_connection;

pub use access_tokens::{AccessError, AccessToken, AccessTokens, IssuedToken, ListedToken, TokenHash};
pub use active_store::{ActiveStore, ActiveStoreRecord};
pub use audit::{AuditAction, AuditEntry, AuditLog, AuditPage, AuditQuery, Origin};
pub use caller::{Admin, Caller, Principal, PrincipalKind, Role};
pub use change_feed::{ChangeFeed, ChangedService, Changes};
pub use clock::{Clock, SystemTimestamp};
pub use connection_type::ConnectionType;
pub use connection_types::{ConnectionTypeError, ConnectionTypes};
pub use entity_template::View;
pub use fault::{Fault, Faults};
pub use free_map::SecretWords;
pub use key_rotation::{KeyRotation, KeyUsage, KeyUsageStore, RotationError, RotationReport};
pub use principal_store::{PrincipalRow, PrincipalStore, PrincipalWriteError, TokenRow};
pub use replicas::{Replica, ReplicaRegistry, newest_common_key};
pub use row_signer::{KeyId, RowKind, RowMac, RowSigner, SignatureError};
pub use secret::{
    MASK, NamedSecret, NamedVersion, OwnerKind, SecretId, SecretReference, SecretValue, SecretVersion, StoredSecret,
    is_mask,
};
pub use secret_intents::{Intent, IntentChanges, IntentError, IntentState, IntentStore, PlannedDeletion};
pub use secret_names::NameSettings;
pub use secret_stores::SecretStores;
pub use secrets_manager::{
    CheckStep, CiphertextRow, CiphertextStore, ForeignName, ForeignSecret, FoundSecret, Limits, PutMode, SealedSecret,
    Sealer, SecretPage, SecretPut, SecretsError, SecretsErrorKind, SecretsManager, Tariff,
};
pub use service::{EntityVersion, Family, Include, ServiceKey, fully_qualified_name};
pub use service_catalog::{
    CatalogError, CatalogSettings, Change, DeleteOptions, Difference, DifferenceState, ListRequest, MoveOrder,
    MoveProgress, MoveSurvey, PageRequest, ReadRequest, SecretsHealth, ServiceAnswer, ServiceCatalog,
    ServicePageAnswer, SetAside, SweepReport, UnreadableService, VerifyReport, VersionsAnswer, WriteAnswer,
    WriteRequest,
};
pub use service_store::{
    ClaimedName, HeldName, ListQuery, NameChanges, PageCursor, ServicePage, ServiceRow, ServiceStore, ServiceWrite,
    ServiceWriteError, StoredService, VersionRow,
};
pub use store_error::StoreError;
pub use strict_json::{JsonError, MAX_DEPTH, parse_json};
pub use test_connection::TestConnectionDefinitions;
