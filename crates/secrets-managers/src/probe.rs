//! What every store's `check` does: put a probe secret, read it back, compare, delete.

use rand::TryRng;
use rand::rngs::SysRng;
use strongroom_domain::{
    OwnerKind, SecretId, SecretValue, SecretsError, SecretsErrorKind, SecretsManager, StoredSecret,
};
use uuid::Uuid;

const OPERATION: &str = "check";

/// Makes a round trip of a random value under an id of its own, and leaves nothing behind.
pub(crate) async fn round_trip(manager: &dyn SecretsManager) -> Result<(), SecretsError> {
    let id = SecretId { owner_kind: OwnerKind::Probe, owner_id: Uuid::new_v4(), path: "/probe".to_owned() };
    let read_back = put_and_compare(manager, &id).await;
    // Also after a failure: a put whose answer was lost may have been kept.
    let deleted = manager.delete(&id).await;
    read_back.and(deleted)
}

async fn put_and_compare(manager: &dyn SecretsManager, id: &SecretId) -> Result<(), SecretsError> {
    let value = random_value(manager.kind())?;
    let version = manager.put(id, &value).await?;
    let read = manager.get(&StoredSecret { id: id.clone(), version }).await?;
    if read.is_same_as(&value) {
        return Ok(());
    }
    Err(SecretsError::new(SecretsErrorKind::Corrupt, manager.kind(), OPERATION)
        .on(id)
        .because("the probe secret read back differs from what was put"))
}

fn random_value(store: &'static str) -> Result<SecretValue, SecretsError> {
    let number = SysRng
        .try_next_u64()
        .map_err(|error| SecretsError::new(SecretsErrorKind::Unavailable, store, OPERATION).caused_by(error))?;
    Ok(SecretValue::new(format!("strongroom probe {number:016x}")))
}
