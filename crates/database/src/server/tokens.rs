//! Tokens, by their hashes; never the tokens themselves.

use strongroom_domain::{KeyId, PrincipalRow, PrincipalWriteError, RowMac, TokenHash, TokenRow};
use uuid::Uuid;

use super::errors::{Fault, is_duplicate, is_orphan};
use super::rows::{principal, token};
use super::session::Session;
use super::values::{Row, values};
use crate::columns::{PRINCIPAL_WIDTH, principal_columns, token_columns};

type Written = Result<(), Fault<PrincipalWriteError>>;

pub(super) async fn insert(session: &mut Session, row: &TokenRow) -> Written {
    let inserted = session
        .execute(
            "INSERT INTO tokens (id, hash, principal_id, first_admin, created_at, expires_at, last_used_at,
                 revoked_at, key_id, mac)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            values![
                row.id,
                row.hash.0.as_slice(),
                row.principal_id,
                row.first_admin,
                row.created_at,
                row.expires_at,
                row.last_used_at,
                row.revoked_at,
                row.mac.key_id.as_str(),
                &row.mac.tag,
            ],
        )
        .await;
    inserted.map(drop).map_err(conflict)
}

/// Replaces all but the last use, which only [`touch`] writes: a rotation must not set it back.
pub(super) async fn update(session: &mut Session, row: &TokenRow, expected: &RowMac) -> Written {
    let updated = session
        .execute(
            "UPDATE tokens SET hash = $1, principal_id = $2, first_admin = $3, created_at = $4, expires_at = $5,
                 revoked_at = $6, key_id = $7, mac = $8
             WHERE id = $9 AND key_id = $10 AND mac = $11",
            values![
                row.hash.0.as_slice(),
                row.principal_id,
                row.first_admin,
                row.created_at,
                row.expires_at,
                row.revoked_at,
                row.mac.key_id.as_str(),
                &row.mac.tag,
                row.id,
                expected.key_id.as_str(),
                &expected.tag,
            ],
        )
        .await
        .map_err(conflict)?;
    if updated == 0 { Err(Fault::Refused(PrincipalWriteError::Conflict)) } else { Ok(()) }
}

/// A token of the same id or hash, or an owner that is gone.
fn conflict(error: sqlx::Error) -> Fault<PrincipalWriteError> {
    if is_duplicate(&error) || is_orphan(&error) {
        Fault::Refused(PrincipalWriteError::Conflict)
    } else {
        Fault::Sql(error)
    }
}

pub(super) async fn touch(session: &mut Session, id: Uuid, at: i64) -> sqlx::Result<()> {
    let sql = "UPDATE tokens SET last_used_at = $1 WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $3)";
    session.execute(sql, values![at, id, at]).await.map(drop)
}

pub(super) async fn all(session: &mut Session) -> sqlx::Result<Vec<(TokenRow, PrincipalRow)>> {
    let sql = concat!(
        "SELECT ",
        principal_columns!(),
        ", ",
        token_columns!(),
        " FROM tokens t JOIN principals p ON p.id = t.principal_id ORDER BY t.created_at DESC, t.id DESC"
    );
    session.query(sql, &[]).await?.iter().map(with_owner).collect()
}

pub(super) async fn find(session: &mut Session, hash: &TokenHash) -> sqlx::Result<Option<(TokenRow, PrincipalRow)>> {
    let sql = concat!(
        "SELECT ",
        principal_columns!(),
        ", ",
        token_columns!(),
        " FROM tokens t JOIN principals p ON p.id = t.principal_id WHERE t.hash = $1"
    );
    session.first(sql, values![hash.0.as_slice()]).await?.as_ref().map(with_owner).transpose()
}

pub(super) async fn signed_with(session: &mut Session, key_id: &KeyId, limit: usize) -> sqlx::Result<Vec<TokenRow>> {
    let sql = concat!("SELECT ", token_columns!(), " FROM tokens t WHERE t.key_id = $1 LIMIT $2");
    session.query(sql, values![key_id.as_str(), limit]).await?.iter().map(|row| token(row, 0)).collect()
}

fn with_owner(row: &Row) -> sqlx::Result<(TokenRow, PrincipalRow)> {
    Ok((token(row, PRINCIPAL_WIDTH)?, principal(row)?))
}
