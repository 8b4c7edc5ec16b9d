//! What every store's `check` does: put a probe secret, read it back, compare, delete.

use rand::TryRng;
use rand::rngs::SysRng;
use strongroom_domain::{
    CheckStep, NamedSecret, NamedVersion, OwnerKind, PutMode, SecretId, SecretPut, SecretValue, SecretsError,
    SecretsErrorKind, SecretsManager,
};
use uuid::Uuid;

const OPERATION: &str = "check";

/// A probe secret of its own below the names of a store.
#[cfg(feature = "aws")]
pub(crate) fn secret_below(root: &str) -> NamedSecret {
    let owner_id = Uuid::new_v4();
    let id = SecretId { owner_kind: OwnerKind::Probe, owner_id, path: "/probe".to_owned() };
    NamedSecret { id, name: format!("{root}/probe/{}", owner_id.simple()) }
}

/// The put of a value into a probe secret.
pub(crate) fn put_of<'a>(secret: &'a NamedSecret, value: &'a SecretValue) -> SecretPut<'a> {
    SecretPut { secret, label: "probe", value, token: Uuid::new_v4(), mode: PutMode::New, is_repeated: false }
}

/// Makes a round trip of a random value under an id of its own, and leaves nothing behind.
pub(crate) async fn round_trip(manager: &dyn SecretsManager) -> CheckStep {
    let owner_id = Uuid::new_v4();
    let id = SecretId { owner_kind: OwnerKind::Probe, owner_id, path: "/probe".to_owned() };
    let secret = NamedSecret { id, name: format!("/strongroom-probe/{}", owner_id.simple()) };
    let read_back = put_and_compare(manager, &secret).await;
    // Also after a failure: a put whose answer was lost may have been kept.
    let deleted = manager.delete(&secret).await;
    let outcome = read_back.and(deleted).map(|()| "a probe secret was kept, read and deleted".to_owned());
    CheckStep { step: "round trip", outcome }
}

async fn put_and_compare(manager: &dyn SecretsManager, secret: &NamedSecret) -> Result<(), SecretsError> {
    let value = random_value(manager.kind())?;
    let version = manager.put(put_of(secret, &value)).await?;
    let read = manager.get(&NamedVersion { secret: secret.clone(), version }).await?;
    if read.value.is_same_as(&value) {
        return Ok(());
    }
    Err(SecretsError::new(SecretsErrorKind::Corrupt, manager.kind(), OPERATION)
        .on(&secret.id)
        .because("the probe secret read back differs from what was put"))
}

/// A value that no other probe has.
pub(crate) fn random_value(store: &'static str) -> Result<SecretValue, SecretsError> {
    let number = SysRng
        .try_next_u64()
        .map_err(|error| SecretsError::new(SecretsErrorKind::Unavailable, store, OPERATION).caused_by(error))?;
    Ok(SecretValue::new(format!("strongroom probe {number:016x}")))
}
