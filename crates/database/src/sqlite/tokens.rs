//! Tokens, by their hashes; never the tokens themselves.

use rusqlite::{Connection, OptionalExtension, Row, params};
use strongroom_domain::{KeyId, PrincipalRow, PrincipalWriteError, RowMac, TokenHash, TokenRow};
use uuid::Uuid;

use super::errors::{Fault, is_duplicate, is_orphan};
use super::rows::{principal, token};
use crate::columns::{PRINCIPAL_WIDTH, principal_columns, token_columns};

type Written = Result<(), Fault<PrincipalWriteError>>;

pub(super) fn insert(connection: &Connection, row: &TokenRow) -> Written {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO tokens (id, hash, principal_id, first_admin, created_at, expires_at, last_used_at,
                 revoked_at, key_id, mac)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            row.id,
            row.hash.0,
            row.principal_id,
            row.first_admin,
            row.created_at,
            row.expires_at,
            row.last_used_at,
            row.revoked_at,
            row.mac.key_id.as_str(),
            row.mac.tag,
        ]);
    inserted.map(drop).map_err(conflict)
}

/// Replaces all but the last use, which only [`touch`] writes: a rotation must not set it back.
pub(super) fn update(connection: &Connection, row: &TokenRow, expected: &RowMac) -> Written {
    let updated = connection
        .prepare_cached(
            "UPDATE tokens SET hash = ?1, principal_id = ?2, first_admin = ?3, created_at = ?4, expires_at = ?5,
                 revoked_at = ?6, key_id = ?7, mac = ?8
             WHERE id = ?9 AND key_id = ?10 AND mac = ?11",
        )?
        .execute(params![
            row.hash.0,
            row.principal_id,
            row.first_admin,
            row.created_at,
            row.expires_at,
            row.revoked_at,
            row.mac.key_id.as_str(),
            row.mac.tag,
            row.id,
            expected.key_id.as_str(),
            expected.tag,
        ])
        .map_err(conflict)?;
    if updated == 0 { Err(Fault::Refused(PrincipalWriteError::Conflict)) } else { Ok(()) }
}

/// A token of the same id or hash, or an owner that is gone.
fn conflict(error: rusqlite::Error) -> Fault<PrincipalWriteError> {
    if is_duplicate(&error) || is_orphan(&error) {
        Fault::Refused(PrincipalWriteError::Conflict)
    } else {
        Fault::Sqlite(error)
    }
}

pub(super) fn touch(connection: &Connection, id: Uuid, at: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE tokens SET last_used_at = ?2 WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)",
        )?
        .execute(params![id, at])
        .map(drop)
}

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<(TokenRow, PrincipalRow)>> {
    connection
        .prepare_cached(concat!(
            "SELECT ",
            principal_columns!(),
            ", ",
            token_columns!(),
            " FROM tokens t JOIN principals p ON p.id = t.principal_id ORDER BY t.created_at DESC, t.id DESC"
        ))?
        .query_map([], with_owner)?
        .collect()
}

pub(super) fn find(connection: &Connection, hash: &TokenHash) -> rusqlite::Result<Option<(TokenRow, PrincipalRow)>> {
    connection
        .prepare_cached(concat!(
            "SELECT ",
            principal_columns!(),
            ", ",
            token_columns!(),
            " FROM tokens t JOIN principals p ON p.id = t.principal_id WHERE t.hash = ?1"
        ))?
        .query_row([hash.0], with_owner)
        .optional()
}

pub(super) fn signed_with(connection: &Connection, key_id: &KeyId, limit: usize) -> rusqlite::Result<Vec<TokenRow>> {
    connection
        .prepare_cached(concat!("SELECT ", token_columns!(), " FROM tokens t WHERE t.key_id = ?1 LIMIT ?2"))?
        .query_map(params![key_id.as_str(), i64::try_from(limit).unwrap_or(i64::MAX)], |row| token(row, 0))?
        .collect()
}

fn with_owner(row: &Row<'_>) -> rusqlite::Result<(TokenRow, PrincipalRow)> {
    Ok((token(row, PRINCIPAL_WIDTH)?, principal(row)?))
}
