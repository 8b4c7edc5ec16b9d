//! Users, bots and tokens as the domain asks for them; the statements on tokens are in `tokens`.

use async_trait::async_trait;
use rusqlite::{Connection, params};
use strongroom_domain::{
    AuditEntry, KeyId, PrincipalRow, PrincipalStore, PrincipalWriteError, RowMac, StoreError, TokenHash, TokenRow,
};
use uuid::Uuid;

use super::errors::{Fault, is_duplicate};
use super::request::Effect;
use super::rows::principal;
use super::{SqliteDatabase, audit, tokens};
use crate::columns::principal_columns;

#[async_trait]
impl PrincipalStore for SqliteDatabase {
    async fn insert_principal(&self, row: PrincipalRow, audit: AuditEntry) -> Result<(), PrincipalWriteError> {
        self.write(Effect::Change, move |connection| {
            insert(connection, &row)?;
            Ok(audit::insert(connection, &audit)?)
        })
        .await
    }

    async fn update_principal(
        &self,
        row: PrincipalRow,
        expected: RowMac,
        audit: Option<AuditEntry>,
    ) -> Result<(), PrincipalWriteError> {
        self.write(Effect::Change, move |connection| {
            update(connection, &row, &expected)?;
            Ok(audit.iter().try_for_each(|entry| audit::insert(connection, entry))?)
        })
        .await
    }

    async fn principals(&self) -> Result<Vec<PrincipalRow>, StoreError> {
        self.read(all).await
    }

    async fn insert_token(&self, row: TokenRow, audit: AuditEntry) -> Result<(), PrincipalWriteError> {
        self.write(Effect::Change, move |connection| {
            tokens::insert(connection, &row)?;
            Ok(audit::insert(connection, &audit)?)
        })
        .await
    }

    async fn update_token(
        &self,
        row: TokenRow,
        expected: RowMac,
        audit: Option<AuditEntry>,
    ) -> Result<(), PrincipalWriteError> {
        self.write(Effect::Change, move |connection| {
            tokens::update(connection, &row, &expected)?;
            Ok(audit.iter().try_for_each(|entry| audit::insert(connection, entry))?)
        })
        .await
    }

    async fn tokens(&self) -> Result<Vec<(TokenRow, PrincipalRow)>, StoreError> {
        self.read(tokens::all).await
    }

    async fn find_token(&self, hash: &TokenHash) -> Result<Option<(TokenRow, PrincipalRow)>, StoreError> {
        let hash = *hash;
        self.read(move |connection| tokens::find(connection, &hash)).await
    }

    async fn touch_token(&self, id: Uuid, at: i64) -> Result<(), StoreError> {
        self.write(Effect::Note, move |connection| Ok(tokens::touch(connection, id, at)?)).await
    }

    async fn signed_with(
        &self,
        key_id: &KeyId,
        limit: usize,
    ) -> Result<(Vec<PrincipalRow>, Vec<TokenRow>), StoreError> {
        let key_id = key_id.clone();
        self.read(move |connection| {
            let principals = signed_with(connection, &key_id, limit)?;
            let tokens = tokens::signed_with(connection, &key_id, limit - principals.len())?;
            Ok((principals, tokens))
        })
        .await
    }
}

fn insert(connection: &Connection, row: &PrincipalRow) -> Result<(), Fault<PrincipalWriteError>> {
    let principal = &row.principal;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO principals (id, kind, name, email, role, disabled, created_at, key_id, mac)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            principal.id,
            principal.kind.as_str(),
            principal.name,
            principal.email,
            principal.role.as_str(),
            principal.disabled,
            principal.created_at,
            row.mac.key_id.as_str(),
            row.mac.tag,
        ]);
    inserted.map(drop).map_err(name_taken)
}

fn update(connection: &Connection, row: &PrincipalRow, expected: &RowMac) -> Result<(), Fault<PrincipalWriteError>> {
    let principal = &row.principal;
    let updated = connection
        .prepare_cached(
            "UPDATE principals SET kind = ?1, name = ?2, email = ?3, role = ?4, disabled = ?5, created_at = ?6,
                 key_id = ?7, mac = ?8
             WHERE id = ?9 AND key_id = ?10 AND mac = ?11",
        )?
        .execute(params![
            principal.kind.as_str(),
            principal.name,
            principal.email,
            principal.role.as_str(),
            principal.disabled,
            principal.created_at,
            row.mac.key_id.as_str(),
            row.mac.tag,
            principal.id,
            expected.key_id.as_str(),
            expected.tag,
        ])
        .map_err(name_taken)?;
    if updated == 0 { Err(Fault::Refused(PrincipalWriteError::Conflict)) } else { Ok(()) }
}

fn name_taken(error: rusqlite::Error) -> Fault<PrincipalWriteError> {
    if is_duplicate(&error) { Fault::Refused(PrincipalWriteError::NameTaken) } else { Fault::Sqlite(error) }
}

fn all(connection: &Connection) -> rusqlite::Result<Vec<PrincipalRow>> {
    connection
        .prepare_cached(concat!("SELECT ", principal_columns!(), " FROM principals p ORDER BY p.name"))?
        .query_map([], principal)?
        .collect()
}

fn signed_with(connection: &Connection, key_id: &KeyId, limit: usize) -> rusqlite::Result<Vec<PrincipalRow>> {
    connection
        .prepare_cached(concat!("SELECT ", principal_columns!(), " FROM principals p WHERE p.key_id = ?1 LIMIT ?2"))?
        .query_map(params![key_id.as_str(), i64::try_from(limit).unwrap_or(i64::MAX)], principal)?
        .collect()
}
