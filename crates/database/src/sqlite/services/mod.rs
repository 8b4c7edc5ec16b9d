//! Services with their ciphertexts, names and history.

mod list;
mod write;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use strongroom_domain::{
    AuditEntry, EntityVersion, Family, HeldName, KeyId, ListQuery, PlannedDeletion, RowMac, ServiceKey, ServicePage,
    ServiceRow, ServiceStore, ServiceWrite, ServiceWriteError, StoreError, StoredService, VersionRow,
};
use uuid::Uuid;

use super::request::Effect;
use super::rows::{service, service_columns, text, unsigned};
use super::{SqliteDatabase, ciphertexts, secret_names};

#[cfg(test)]
pub(super) use list::{EXISTS_SQL, ROWS_SQL};

#[async_trait]
impl ServiceStore for SqliteDatabase {
    async fn find(&self, family: Family, key: &ServiceKey) -> Result<Option<StoredService>, StoreError> {
        let key = key.clone();
        self.read(move |connection| find(connection, family, &key)).await
    }

    async fn list(&self, query: ListQuery) -> Result<ServicePage, StoreError> {
        self.read(move |connection| list::page(connection, &query)).await
    }

    async fn write(&self, write: ServiceWrite) -> Result<(), ServiceWriteError> {
        self.write(Effect::Change, move |connection| write::write(connection, &write)).await
    }

    async fn erase(
        &self,
        id: Uuid,
        expected_revision: u64,
        deletions: Vec<PlannedDeletion>,
        audit: AuditEntry,
    ) -> Result<(), ServiceWriteError> {
        self.write(Effect::Change, move |connection| {
            write::erase(connection, id, expected_revision, &deletions, &audit)
        })
        .await
    }

    async fn history(&self, id: Uuid) -> Result<Vec<VersionRow>, StoreError> {
        self.read(move |connection| history(connection, id)).await
    }

    async fn holders(&self, normal_names: &[String]) -> Result<Vec<HeldName>, StoreError> {
        let normal_names = normal_names.to_vec();
        self.read(move |connection| secret_names::holders(connection, &normal_names)).await
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        self.read(|connection| Ok(!connection.prepare_cached("SELECT 1 FROM services LIMIT 1")?.exists([])?)).await
    }

    async fn scan(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<StoredService>, StoreError> {
        self.read(move |connection| scan(connection, after, limit)).await
    }

    async fn signed_with(&self, key_id: &KeyId, limit: usize) -> Result<Vec<ServiceRow>, StoreError> {
        let key_id = key_id.clone();
        self.read(move |connection| signed_with(connection, &key_id, limit)).await
    }

    async fn resign(&self, replacements: Vec<(ServiceRow, RowMac)>) -> Result<usize, StoreError> {
        self.write(Effect::Change, move |connection| Ok(write::resign(connection, &replacements)?)).await
    }
}

fn find(connection: &Connection, family: Family, key: &ServiceKey) -> rusqlite::Result<Option<StoredService>> {
    let row = match key {
        ServiceKey::Id(id) => connection
            .prepare_cached(concat!("SELECT ", service_columns!(), " FROM services WHERE id = ?1 AND family = ?2"))?
            .query_row(params![id, family.as_str()], service),
        ServiceKey::Name(fqn) => connection
            .prepare_cached(concat!("SELECT ", service_columns!(), " FROM services WHERE family = ?1 AND fqn = ?2"))?
            .query_row(params![family.as_str(), fqn], service),
    };
    row.optional()?.map(|row| with_ciphertexts(connection, row)).transpose()
}

fn with_ciphertexts(connection: &Connection, row: ServiceRow) -> rusqlite::Result<StoredService> {
    let ciphertexts = ciphertexts::of_service(connection, row.id)?;
    Ok(StoredService { row, ciphertexts })
}

fn history(connection: &Connection, id: Uuid) -> rusqlite::Result<Vec<VersionRow>> {
    connection
        .prepare_cached("SELECT version, document FROM service_versions WHERE service_id = ?1 ORDER BY version DESC")?
        .query_map([id], |row| {
            Ok(VersionRow { version: EntityVersion::from_tenths(unsigned(row, 0)?), document: text(row, 1)? })
        })?
        .collect()
}

fn scan(connection: &Connection, after: Option<Uuid>, limit: usize) -> rusqlite::Result<Vec<StoredService>> {
    let sql = concat!("SELECT ", service_columns!(), " FROM services WHERE id > ?1 ORDER BY id LIMIT ?2");
    let after = after.map(Uuid::into_bytes);
    let after: &[u8] = after.as_ref().map_or(&[], <[u8; 16]>::as_slice);
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![after, i64::try_from(limit).unwrap_or(i64::MAX)], service)?;
    rows.map(|row| with_ciphertexts(connection, row?)).collect()
}

fn signed_with(connection: &Connection, key_id: &KeyId, limit: usize) -> rusqlite::Result<Vec<ServiceRow>> {
    connection
        .prepare_cached(concat!("SELECT ", service_columns!(), " FROM services WHERE key_id = ?1 LIMIT ?2"))?
        .query_map(params![key_id.as_str(), i64::try_from(limit).unwrap_or(i64::MAX)], service)?
        .collect()
}
