//! A row of the database, believed and understood; and the same made ready to answer from.

use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{CatalogError, ServiceCatalog, etag, path_of};
use crate::entity_template::EntityTemplate;
use crate::json_pointer::shown;
use crate::row_signer::{RowKind, RowMac, RowSigner};
use crate::secret::{SecretId, StoredSecret};
use crate::secret_swap::{KeptSecret, SecretIndex};
use crate::service::Family;
use crate::service_store::{ServiceRow, StoredService};

/// What to do about a row that is not believed.
const REPAIR: &str = "an admin can repair it by sending the whole service again (PUT)";

/// By what a ready service is found again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum CacheKey {
    Id(Family, Uuid),
    Fqn(Family, String),
}

/// A row that is not believed, and why.
pub(super) type UnbelievedRow = (ServiceRow, String);

/// A service whose row is believed.
#[derive(Debug)]
pub(super) struct LoadedService {
    pub(super) row: ServiceRow,
    pub(super) entity: Map<String, Value>,
    pub(super) index: SecretIndex,
    /// In the order of [`SecretIndex::kept`]; none where a row is missing or the secret lies elsewhere.
    pub(super) ciphertexts: Vec<Option<Vec<u8>>>,
}

/// A service ready to answer from: never with plaintext in it.
#[derive(Debug)]
pub(super) struct ReadyService {
    pub(super) id: Uuid,
    pub(super) family: Family,
    pub(super) name: Arc<str>,
    pub(super) deleted: bool,
    pub(super) etag: Arc<str>,
    pub(super) template: EntityTemplate,
    pub(super) index: SecretIndex,
    /// In the order of [`SecretIndex::kept`], as the ciphertexts and the paths.
    pub(super) secrets: Vec<StoredSecret>,
    pub(super) ciphertexts: Vec<Option<Vec<u8>>>,
    pub(super) secret_paths: Arc<[String]>,
    /// Whether the row has our MAC; else nothing of it counts, not even that it was deleted.
    pub(super) is_believed: bool,
    /// Grows with each write.
    pub(super) revision: u64,
    /// Fields that do not open, and why: they spoil the views that show the connection, and nothing else.
    pub(super) broken: Option<(Vec<String>, String)>,
}

impl LoadedService {
    /// Checks the MAC of a row and parses it.
    pub(super) fn from_row(stored: StoredService, signer: &dyn RowSigner) -> Result<Self, Box<UnbelievedRow>> {
        let StoredService { row, ciphertexts } = stored;
        if let Err(error) = verify_row(signer, &row) {
            return Err(Box::new((row, error.to_string())));
        }
        let parsed = (serde_json::from_str(&row.document), serde_json::from_str::<SecretIndex>(&row.secrets));
        let (Ok(entity), Ok(index)) = parsed else {
            return Err(Box::new((row, "the row does not hold what this version writes".to_owned())));
        };
        let mut by_place: Vec<_> = ciphertexts.into_iter().map(Some).collect();
        let mut take = |kept: &KeptSecret| {
            let wanted = by_place.iter_mut().find(|row| {
                row.as_ref().is_some_and(|row| row.secret.id.path == kept.pointer && row.secret.version == kept.version)
            });
            wanted.and_then(Option::take).map(|row| row.ciphertext)
        };
        let ciphertexts = index.kept.iter().map(&mut take).collect();
        Ok(Self { row, entity, index, ciphertexts })
    }

    pub(super) fn name(&self) -> &str {
        self.text("name")
    }

    pub(super) fn service_type(&self) -> &str {
        self.text("serviceType")
    }

    fn text(&self, key: &str) -> &str {
        self.entity.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn connection(&self) -> Option<&Value> {
        self.entity.get("connection")
    }

    /// The entity as a masked view and the history have it.
    pub(super) fn masked_entity(&self) -> Map<String, Value> {
        let mut entity = self.entity.clone();
        if let Some(connection) = entity.get_mut("connection") {
            *connection = self.index.masked(connection);
        }
        entity
    }

    /// The field of a secret, by its number in the index.
    pub(super) fn pointer(&self, at: usize) -> String {
        self.index.kept.get(at).map(|kept| kept.pointer.clone()).unwrap_or_default()
    }

    pub(super) fn stored_secrets(&self) -> impl Iterator<Item = StoredSecret> {
        self.index.kept.iter().map(|kept| stored_secret(self.row.id, kept))
    }
}

impl ReadyService {
    /// About how much memory it takes, in bytes.
    pub(super) fn weight(&self) -> u32 {
        let ciphertexts: usize = self.ciphertexts.iter().flatten().map(|it| it.len() + 24).sum();
        let index: usize = self.index.kept.len() * 384 + self.index.typed.len() * 96;
        u32::try_from(self.template.weight() + ciphertexts + index + 512).unwrap_or(u32::MAX)
    }

    pub(super) fn keys(&self) -> [CacheKey; 2] {
        let fqn = crate::service::fully_qualified_name(&self.name);
        [CacheKey::Id(self.family, self.id), CacheKey::Fqn(self.family, fqn)]
    }

    /// The error of a view that needs what does not open.
    pub(super) fn readable(&self) -> Result<(), CatalogError> {
        match &self.broken {
            None => Ok(()),
            Some((paths, reason)) => Err(CatalogError::Unreadable {
                name: self.name.to_string(),
                paths: paths.clone(),
                reason: reason.clone(),
            }),
        }
    }
}

impl ServiceCatalog {
    /// Makes a stored service ready. A row that is not believed is an answer too: without its connection.
    pub(super) fn make_ready(&self, stored: StoredService) -> ReadyService {
        match LoadedService::from_row(stored, &*self.signer) {
            Ok(loaded) => self.ready_of(loaded),
            Err(refused) => {
                let (row, reason) = *refused;
                tracing::error!(service.family = %row.family, service.id = %row.id, reason, "a service is not believed");
                unbelieved(&row, &reason)
            }
        }
    }

    fn ready_of(&self, loaded: LoadedService) -> ReadyService {
        let broken = self.broken_fields(&loaded);
        let template = EntityTemplate::new(&path_of(loaded.row.family, loaded.row.id), &loaded.entity, &loaded.index);
        let name = loaded.name().into();
        let secrets = loaded.stored_secrets().collect();
        let LoadedService { row, index, ciphertexts, .. } = loaded;
        let secret_paths = index.kept.iter().map(|kept| kept.pointer.clone()).collect();
        ReadyService {
            id: row.id,
            family: row.family,
            name,
            deleted: row.deleted,
            etag: etag(row.id, row.version),
            template,
            index,
            secrets,
            ciphertexts,
            secret_paths,
            is_believed: true,
            revision: row.revision,
            broken,
        }
    }

    /// The fields whose ciphertext does not open, of those that lie in our own rows.
    pub(super) fn broken_fields(&self, loaded: &LoadedService) -> Option<(Vec<String>, String)> {
        let sealer = self.stores.sealer().ok()?;
        let mut paths = Vec::new();
        let mut reasons: Vec<String> = Vec::new();
        for (kept, ciphertext) in loaded.index.kept.iter().zip(&loaded.ciphertexts) {
            if kept.store.is_some() {
                continue;
            }
            let opened = match ciphertext {
                Some(ciphertext) => sealer.open(&stored_secret(loaded.row.id, kept), ciphertext).err(),
                None => Some(crate::secrets_manager::SecretsError::new(
                    crate::secrets_manager::SecretsErrorKind::NotFound,
                    self.stores.database().kind(),
                    "open",
                )),
            };
            let Some(error) = opened else { continue };
            paths.push(format!("connection.{}", shown(&kept.pointer)));
            let reason = error.detail.unwrap_or_else(|| format!("the secret is {}", error.kind));
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        (!paths.is_empty()).then(|| (paths, format!("{}; or an admin sends the connection again", reasons.join("; "))))
    }
}

/// What is shown of a row that is not believed: its id and name, from its columns.
fn unbelieved(row: &ServiceRow, reason: &str) -> ReadyService {
    let name: Arc<str> = unquoted(&row.fqn).into();
    let entity = [("id", row.id.to_string()), ("name", name.to_string()), ("fullyQualifiedName", row.fqn.clone())];
    let mut entity: Map<_, _> = entity.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    let claimed: Value = serde_json::from_str(&row.document).unwrap_or_default();
    if let Some(service_type) = claimed.get("serviceType").filter(|it| it.is_string()) {
        entity.insert("serviceType".to_owned(), service_type.clone());
    }
    entity.insert("deleted".to_owned(), row.deleted.into());
    ReadyService {
        id: row.id,
        family: row.family,
        name,
        deleted: row.deleted,
        etag: etag(row.id, row.version),
        template: EntityTemplate::new(&path_of(row.family, row.id), &entity, &SecretIndex::default()),
        index: SecretIndex::default(),
        secrets: Vec::new(),
        ciphertexts: Vec::new(),
        secret_paths: Arc::default(),
        is_believed: false,
        revision: row.revision,
        broken: Some((vec!["connection".to_owned()], format!("{reason}; {REPAIR}"))),
    }
}

/// The name behind a fully qualified one.
fn unquoted(fqn: &str) -> String {
    let inner = fqn.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.map_or_else(|| fqn.to_owned(), |inner| inner.replace("\"\"", "\""))
}

/// The error about a row that is not believed.
pub(super) fn unreadable((row, reason): &UnbelievedRow) -> CatalogError {
    CatalogError::Unreadable {
        name: unquoted(&row.fqn),
        paths: vec!["connection".to_owned()],
        reason: format!("{reason}; {REPAIR}"),
    }
}

pub(super) fn stored_secret(service_id: Uuid, kept: &KeptSecret) -> StoredSecret {
    StoredSecret { id: SecretId::of_service(service_id, kept.pointer.clone()), version: kept.version.clone() }
}

/// The fields that the MAC of a service row covers.
fn with_signed_fields<T>(row: &ServiceRow, use_fields: impl FnOnce(&[&[u8]]) -> T) -> T {
    let (version, revision) = (row.version.tenths().to_be_bytes(), row.revision.to_be_bytes());
    use_fields(&[
        row.id.as_bytes(),
        row.family.as_str().as_bytes(),
        row.fqn.as_bytes(),
        &[u8::from(row.deleted)],
        &version,
        &revision,
        row.document.as_bytes(),
        row.secrets.as_bytes(),
    ])
}

pub(crate) fn sign_row(signer: &dyn RowSigner, row: &ServiceRow) -> RowMac {
    with_signed_fields(row, |fields| signer.sign(RowKind::Service, fields))
}

pub(crate) fn verify_row(signer: &dyn RowSigner, row: &ServiceRow) -> Result<(), crate::row_signer::SignatureError> {
    with_signed_fields(row, |fields| signer.verify(RowKind::Service, fields, &row.mac))
}
