//! Users, bots and tokens as the domain asks for them; the statements on tokens are in `tokens`.

use async_trait::async_trait;
use strongroom_domain::{
    AuditEntry, KeyId, PrincipalRow, PrincipalStore, PrincipalWriteError, RowMac, StoreError, TokenHash, TokenRow,
};
use uuid::Uuid;

use super::errors::{Fault, is_duplicate};
use super::rows::principal;
use super::session::{Session, reading, writing};
use super::values::values;
use super::{ServerDatabase, audit, changes, tokens};
use crate::columns::principal_columns;

type Written = Result<(), Fault<PrincipalWriteError>>;

#[async_trait]
impl PrincipalStore for ServerDatabase {
    async fn insert_principal(&self, row: PrincipalRow, audit: AuditEntry) -> Result<(), PrincipalWriteError> {
        writing!(self, session => async {
            insert(session, &row).await?;
            noted(session, Some(&audit)).await
        })
    }

    async fn update_principal(
        &self,
        row: PrincipalRow,
        expected: RowMac,
        audit: Option<AuditEntry>,
    ) -> Result<(), PrincipalWriteError> {
        writing!(self, session => async {
            update(session, &row, &expected).await?;
            noted(session, audit.as_ref()).await
        })
    }

    async fn principals(&self) -> Result<Vec<PrincipalRow>, StoreError> {
        reading!(self, session => all(session))
    }

    async fn insert_token(&self, row: TokenRow, audit: AuditEntry) -> Result<(), PrincipalWriteError> {
        writing!(self, session => async {
            tokens::insert(session, &row).await?;
            noted(session, Some(&audit)).await
        })
    }

    async fn update_token(
        &self,
        row: TokenRow,
        expected: RowMac,
        audit: Option<AuditEntry>,
    ) -> Result<(), PrincipalWriteError> {
        writing!(self, session => async {
            tokens::update(session, &row, &expected).await?;
            noted(session, audit.as_ref()).await
        })
    }

    async fn tokens(&self) -> Result<Vec<(TokenRow, PrincipalRow)>, StoreError> {
        reading!(self, session => tokens::all(session))
    }

    async fn find_token(&self, hash: &TokenHash) -> Result<Option<(TokenRow, PrincipalRow)>, StoreError> {
        reading!(self, session => tokens::find(session, hash))
    }

    async fn touch_token(&self, id: Uuid, at: i64) -> Result<(), StoreError> {
        reading!(self, session => tokens::touch(session, id, at))
    }

    async fn signed_with(
        &self,
        key_id: &KeyId,
        limit: usize,
    ) -> Result<(Vec<PrincipalRow>, Vec<TokenRow>), StoreError> {
        reading!(self, session => async {
            let principals = signed_with(session, key_id, limit).await?;
            let tokens = tokens::signed_with(session, key_id, limit - principals.len()).await?;
            Ok((principals, tokens))
        })
    }
}

/// What goes with every change of who may do what: its audit entry, and word to the other replicas.
async fn noted(session: &mut Session, audit: Option<&AuditEntry>) -> Written {
    if let Some(entry) = audit {
        audit::insert(session, &[entry]).await?;
    }
    Ok(changes::note_access(session).await?)
}

async fn insert(session: &mut Session, row: &PrincipalRow) -> Written {
    let principal = &row.principal;
    let inserted = session
        .execute(
            "INSERT INTO principals (id, kind, name, email, role, disabled, created_at, key_id, mac)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            values![
                principal.id,
                principal.kind.as_str(),
                &principal.name,
                principal.email.as_deref(),
                principal.role.as_str(),
                principal.disabled,
                principal.created_at,
                row.mac.key_id.as_str(),
                &row.mac.tag,
            ],
        )
        .await;
    inserted.map(drop).map_err(name_taken)
}

async fn update(session: &mut Session, row: &PrincipalRow, expected: &RowMac) -> Written {
    let principal = &row.principal;
    let updated = session
        .execute(
            "UPDATE principals SET kind = $1, name = $2, email = $3, role = $4, disabled = $5, created_at = $6,
                 key_id = $7, mac = $8
             WHERE id = $9 AND key_id = $10 AND mac = $11",
            values![
                principal.kind.as_str(),
                &principal.name,
                principal.email.as_deref(),
                principal.role.as_str(),
                principal.disabled,
                principal.created_at,
                row.mac.key_id.as_str(),
                &row.mac.tag,
                principal.id,
                expected.key_id.as_str(),
                &expected.tag,
            ],
        )
        .await
        .map_err(name_taken)?;
    if updated == 0 { Err(Fault::Refused(PrincipalWriteError::Conflict)) } else { Ok(()) }
}

fn name_taken(error: sqlx::Error) -> Fault<PrincipalWriteError> {
    if is_duplicate(&error) { Fault::Refused(PrincipalWriteError::NameTaken) } else { Fault::Sql(error) }
}

async fn all(session: &mut Session) -> sqlx::Result<Vec<PrincipalRow>> {
    let sql = concat!("SELECT ", principal_columns!(), " FROM principals p ORDER BY p.name");
    session.query(sql, &[]).await?.iter().map(principal).collect()
}

async fn signed_with(session: &mut Session, key_id: &KeyId, limit: usize) -> sqlx::Result<Vec<PrincipalRow>> {
    let sql = concat!("SELECT ", principal_columns!(), " FROM principals p WHERE p.key_id = $1 LIMIT $2");
    session.query(sql, values![key_id.as_str(), limit]).await?.iter().map(principal).collect()
}
