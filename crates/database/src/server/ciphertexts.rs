//! Envelopes of secrets: inserted, read, re-encrypted, deleted.

use async_trait::async_trait;
use strongroom_domain::{
    CiphertextRow, CiphertextStore, KeyId, OwnerKind, SealedSecret, SecretId, SecretVersion, StoreError, StoredSecret,
};
use uuid::Uuid;

use super::ServerDatabase;
use super::errors::Fault;
use super::session::{Session, reading, writing};
use super::values::{Value, placeholders, rows_of_placeholders, values};

#[async_trait]
impl CiphertextStore for ServerDatabase {
    async fn insert(&self, sealed: SealedSecret) -> Result<(), StoreError> {
        reading!(self, session => insert(session, std::slice::from_ref(&sealed)))
    }

    async fn load(&self, secrets: &[StoredSecret]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        reading!(self, session => async {
            let mut loaded = Vec::with_capacity(secrets.len());
            for secret in secrets {
                loaded.push(load(session, secret).await?);
            }
            Ok(loaded)
        })
    }

    async fn delete(&self, id: &SecretId) -> Result<(), StoreError> {
        let sql = "DELETE FROM ciphertexts WHERE owner_id = $1 AND owner_kind = $2 AND path = $3";
        let deleted = reading!(self, session =>
            session.execute(sql, values![id.owner_id, id.owner_kind.as_str(), &id.path]));
        deleted.map(drop)
    }

    async fn delete_version(&self, secret: &StoredSecret) -> Result<(), StoreError> {
        reading!(self, session => delete_versions(session, std::slice::from_ref(secret)))
    }

    async fn encrypted_with(&self, key_id: &KeyId, limit: usize) -> Result<Vec<CiphertextRow>, StoreError> {
        reading!(self, session => encrypted_with(session, key_id, limit))
    }

    async fn reencrypt(&self, replacements: Vec<(CiphertextRow, SealedSecret)>) -> Result<usize, StoreError> {
        // In one order, so that two rotations do not wait for each other.
        let mut replacements = replacements;
        replacements.sort_by(|(left, _), (right, _)| place(&left.secret).cmp(&place(&right.secret)));
        writing!(self, session => reencrypt(session, &replacements))
    }
}

fn place(secret: &StoredSecret) -> (Uuid, &str, &str) {
    (secret.id.owner_id, &secret.id.path, secret.version.as_str())
}

/// Adds new versions and deletes superseded ones.
pub(super) async fn replace(
    session: &mut Session,
    sealed: &[SealedSecret],
    superseded: &[StoredSecret],
) -> sqlx::Result<()> {
    delete_versions(session, superseded).await?;
    insert(session, sealed).await
}

async fn insert(session: &mut Session, sealed: &[SealedSecret]) -> sqlx::Result<()> {
    if sealed.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO ciphertexts (owner_kind, owner_id, path, version, key_id, ciphertext) VALUES {}",
        rows_of_placeholders(sealed.len(), 6)
    );
    let mut values: Vec<Value<'_>> = Vec::with_capacity(sealed.len() * 6);
    for SealedSecret { secret: StoredSecret { id, version }, key_id, ciphertext } in sealed {
        let kind = id.owner_kind.as_str();
        values.extend_from_slice(values![kind, id.owner_id, &id.path, version.as_str(), key_id.as_str(), ciphertext]);
    }
    session.execute(sql, &values).await.map(drop)
}

async fn delete_versions(session: &mut Session, secrets: &[StoredSecret]) -> sqlx::Result<()> {
    let owner = |secret: &StoredSecret| (secret.id.owner_id, secret.id.owner_kind);
    for of_owner in secrets.chunk_by(|one, next| owner(one) == owner(next)) {
        let Some((owner_id, kind)) = of_owner.first().map(owner) else { continue };
        let mut values: Vec<Value<'_>> = values![owner_id, kind.as_str()].to_vec();
        let mut places = Vec::with_capacity(of_owner.len());
        for StoredSecret { id, version } in of_owner {
            places.push(placeholders(values.len() + 1, 2));
            values.extend_from_slice(values![&id.path, version.as_str()]);
        }
        let sql = format!(
            "DELETE FROM ciphertexts WHERE owner_id = $1 AND owner_kind = $2 AND (path, version) IN ({})",
            places.join(", ")
        );
        session.execute(sql, &values).await?;
    }
    Ok(())
}

/// Deletes all secrets of an owner.
pub(super) async fn delete_of_owner(session: &mut Session, kind: OwnerKind, owner_id: Uuid) -> sqlx::Result<()> {
    let sql = "DELETE FROM ciphertexts WHERE owner_id = $1 AND owner_kind = $2";
    session.execute(sql, values![owner_id, kind.as_str()]).await.map(drop)
}

async fn load(session: &mut Session, StoredSecret { id, version }: &StoredSecret) -> sqlx::Result<Option<Vec<u8>>> {
    let sql = "SELECT ciphertext FROM ciphertexts
               WHERE owner_id = $1 AND owner_kind = $2 AND path = $3 AND version = $4";
    let values = values![id.owner_id, id.owner_kind.as_str(), &id.path, version.as_str()];
    session.first(sql, values).await?.map(|row| row.bytes(0)).transpose()
}

async fn encrypted_with(session: &mut Session, key_id: &KeyId, limit: usize) -> sqlx::Result<Vec<CiphertextRow>> {
    let sql = "SELECT owner_kind, owner_id, path, version, ciphertext FROM ciphertexts WHERE key_id = $1 LIMIT $2";
    let rows = session.query(sql, values![key_id.as_str(), limit]).await?;
    rows.iter()
        .map(|row| {
            let id = SecretId { owner_kind: row.word(0, OwnerKind::parse)?, owner_id: row.id(1)?, path: row.text(2)? };
            let secret = StoredSecret { id, version: SecretVersion::new(row.text(3)?) };
            Ok(CiphertextRow { secret, ciphertext: row.bytes(4)? })
        })
        .collect()
}

async fn reencrypt(
    session: &mut Session,
    replacements: &[(CiphertextRow, SealedSecret)],
) -> Result<usize, Fault<StoreError>> {
    let sql = "UPDATE ciphertexts SET key_id = $1, ciphertext = $2
               WHERE owner_id = $3 AND owner_kind = $4 AND path = $5 AND version = $6 AND ciphertext = $7";
    let mut replaced = 0;
    for (old, new) in replacements {
        if old.secret != new.secret {
            // An envelope is bound to its secret and version: under another one it would never open again.
            let text = "an envelope was to be replaced by that of another secret or version";
            return Err(Fault::Refused(StoreError::Unexpected(text.to_owned())));
        }
        let StoredSecret { id, version } = &old.secret;
        let (kind, version) = (id.owner_kind.as_str(), version.as_str());
        let values =
            values![new.key_id.as_str(), &new.ciphertext, id.owner_id, kind, &id.path, version, &old.ciphertext];
        replaced += usize::try_from(session.execute(sql, values).await?).unwrap_or_default();
    }
    Ok(replaced)
}
