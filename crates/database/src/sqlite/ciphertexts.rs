//! Envelopes of secrets: inserted, read, re-encrypted, deleted.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use strongroom_domain::{
    CiphertextRow, CiphertextStore, KeyId, OwnerKind, SealedSecret, SecretId, SecretVersion, StoreError, StoredSecret,
};
use uuid::Uuid;

use super::SqliteDatabase;
use super::errors::Fault;
use super::request::Effect;
use super::rows::{ciphertext, text, word};

#[async_trait]
impl CiphertextStore for SqliteDatabase {
    async fn insert(&self, sealed: SealedSecret) -> Result<(), StoreError> {
        self.write(Effect::Change, move |connection| Ok(insert(connection, &sealed)?)).await
    }

    async fn load(&self, secrets: &[StoredSecret]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let secrets = secrets.to_vec();
        self.read(move |connection| secrets.iter().map(|secret| load(connection, secret)).collect()).await
    }

    async fn delete(&self, id: &SecretId) -> Result<(), StoreError> {
        let id = id.clone();
        self.write(Effect::Change, move |connection| Ok(delete(connection, &id)?)).await
    }

    async fn delete_version(&self, secret: &StoredSecret) -> Result<(), StoreError> {
        let secret = secret.clone();
        self.write(Effect::Change, move |connection| Ok(delete_version(connection, &secret)?)).await
    }

    async fn encrypted_with(&self, key_id: &KeyId, limit: usize) -> Result<Vec<CiphertextRow>, StoreError> {
        let key_id = key_id.clone();
        self.read(move |connection| encrypted_with(connection, &key_id, limit)).await
    }

    async fn reencrypt(&self, replacements: Vec<(CiphertextRow, SealedSecret)>) -> Result<usize, StoreError> {
        self.write(Effect::Change, move |connection| reencrypt(connection, &replacements)).await
    }
}

/// Writes all rows anew, to pages on which nothing else ever was.
///
/// `secure_delete` overwrites a deleted row where it is, and a page that becomes free. But where `SQLite` has moved rows
/// between pages, copies of them stay in gaps. A table that is emptied as a whole leaves none.
pub(super) fn rewrite(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "DROP TABLE IF EXISTS temp.kept_ciphertexts;
         CREATE TEMP TABLE kept_ciphertexts AS SELECT * FROM main.ciphertexts ORDER BY rowid;
         DELETE FROM main.ciphertexts;
         INSERT INTO main.ciphertexts SELECT * FROM temp.kept_ciphertexts ORDER BY rowid;
         DROP TABLE temp.kept_ciphertexts;",
    )
}

/// Puts new versions in the place of superseded ones; adds and deletes what has no counterpart.
pub(super) fn replace(
    connection: &Connection,
    sealed: &[SealedSecret],
    superseded: &[StoredSecret],
) -> rusqlite::Result<()> {
    for old in superseded {
        if !sealed.iter().any(|new| new.secret.id == old.id) {
            delete_version(connection, old)?;
        }
    }
    for new in sealed {
        let mut counterparts = superseded.iter().filter(|old| old.id == new.secret.id);
        let replaced = match counterparts.next() {
            Some(old) => overwrite(connection, old, new)?,
            None => false,
        };
        counterparts.try_for_each(|old| delete_version(connection, old))?;
        if !replaced {
            insert(connection, new)?;
        }
    }
    Ok(())
}

/// Writes a new version over an old one; says whether that was there. The index of keys is left alone where the
/// key is the same.
fn overwrite(connection: &Connection, old: &StoredSecret, new: &SealedSecret) -> rusqlite::Result<bool> {
    let StoredSecret { id, version } = old;
    let values = params![
        new.secret.version.as_str(),
        new.ciphertext,
        new.key_id.as_str(),
        id.owner_kind.as_str(),
        id.owner_id,
        id.path,
        version.as_str()
    ];
    let same_key = connection
        .prepare_cached(
            "UPDATE ciphertexts SET version = ?1, ciphertext = ?2
             WHERE owner_kind = ?4 AND owner_id = ?5 AND path = ?6 AND version = ?7 AND key_id = ?3",
        )?
        .execute(values)?;
    if same_key > 0 {
        return Ok(true);
    }
    let other_key = connection
        .prepare_cached(
            "UPDATE ciphertexts SET version = ?1, ciphertext = ?2, key_id = ?3
             WHERE owner_kind = ?4 AND owner_id = ?5 AND path = ?6 AND version = ?7",
        )?
        .execute(values)?;
    Ok(other_key > 0)
}

fn insert(connection: &Connection, sealed: &SealedSecret) -> rusqlite::Result<()> {
    let SealedSecret { secret: StoredSecret { id, version }, key_id, ciphertext } = sealed;
    connection
        .prepare_cached(
            "INSERT INTO ciphertexts (owner_kind, owner_id, path, version, key_id, ciphertext)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![id.owner_kind.as_str(), id.owner_id, id.path, version.as_str(), key_id.as_str(), ciphertext])
        .map(drop)
}

fn delete_version(connection: &Connection, StoredSecret { id, version }: &StoredSecret) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM ciphertexts WHERE owner_kind = ?1 AND owner_id = ?2 AND path = ?3 AND version = ?4",
        )?
        .execute(params![id.owner_kind.as_str(), id.owner_id, id.path, version.as_str()])
        .map(drop)
}

/// Deletes all secrets of an owner.
pub(super) fn delete_of_owner(connection: &Connection, kind: OwnerKind, owner_id: Uuid) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM ciphertexts WHERE owner_kind = ?1 AND owner_id = ?2")?
        .execute(params![kind.as_str(), owner_id])
        .map(drop)
}

/// Reads all rows of a service.
pub(super) fn of_service(connection: &Connection, service_id: Uuid) -> rusqlite::Result<Vec<CiphertextRow>> {
    connection
        .prepare_cached(
            "SELECT path, version, ciphertext FROM ciphertexts WHERE owner_kind = ?1 AND owner_id = ?2
             ORDER BY path, version",
        )?
        .query_map(params![OwnerKind::Service.as_str(), service_id], |row| {
            ciphertext(row, |path| SecretId::of_service(service_id, path))
        })?
        .collect()
}

fn load(connection: &Connection, StoredSecret { id, version }: &StoredSecret) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached(
            "SELECT ciphertext FROM ciphertexts
             WHERE owner_kind = ?1 AND owner_id = ?2 AND path = ?3 AND version = ?4",
        )?
        .query_row(params![id.owner_kind.as_str(), id.owner_id, id.path, version.as_str()], |row| row.get(0))
        .optional()
}

fn delete(connection: &Connection, id: &SecretId) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM ciphertexts WHERE owner_kind = ?1 AND owner_id = ?2 AND path = ?3")?
        .execute(params![id.owner_kind.as_str(), id.owner_id, id.path])
        .map(drop)
}

fn encrypted_with(connection: &Connection, key_id: &KeyId, limit: usize) -> rusqlite::Result<Vec<CiphertextRow>> {
    let sql = "SELECT owner_kind, owner_id, path, version, ciphertext FROM ciphertexts WHERE key_id = ?1 LIMIT ?2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection
        .prepare_cached(sql)?
        .query_map(params![key_id.as_str(), limit], |row| {
            let owner_kind = word(row, 0, "owner_kind", OwnerKind::parse)?;
            let id = SecretId { owner_kind, owner_id: row.get(1)?, path: text(row, 2)? };
            let secret = StoredSecret { id, version: SecretVersion::new(text(row, 3)?) };
            Ok(CiphertextRow { secret, ciphertext: row.get(4)? })
        })?
        .collect()
}

fn reencrypt(
    connection: &Connection,
    replacements: &[(CiphertextRow, SealedSecret)],
) -> Result<usize, Fault<StoreError>> {
    let mut statement = connection.prepare_cached(
        "UPDATE ciphertexts SET key_id = ?1, ciphertext = ?2
         WHERE owner_kind = ?3 AND owner_id = ?4 AND path = ?5 AND version = ?6 AND ciphertext = ?7",
    )?;
    let mut replaced = 0;
    for (old, new) in replacements {
        if old.secret != new.secret {
            // An envelope is bound to its secret and version: under another one it would never open again.
            let text = "an envelope was to be replaced by that of another secret or version";
            return Err(Fault::Refused(StoreError::Unexpected(text.to_owned())));
        }
        let StoredSecret { id, version } = &old.secret;
        let owner = id.owner_kind.as_str();
        let key =
            params![new.key_id.as_str(), new.ciphertext, owner, id.owner_id, id.path, version.as_str(), old.ciphertext];
        replaced += statement.execute(key)?;
    }
    Ok(replaced)
}
