//! Writes of services, each in a transaction with its audit entry and word to the other replicas.

use strongroom_domain::{
    AuditEntry, ChangedService, Family, OwnerKind, PlannedDeletion, RowMac, ServiceRow, ServiceWrite,
    ServiceWriteError, StoreError, VersionRow,
};
use uuid::Uuid;

use super::super::errors::{Fault, is_duplicate};
use super::super::session::{Session, Sql};
use super::super::values::values;
use super::super::{audit, changes, ciphertexts, secret_intents, secret_names};

type Written<T = ()> = Result<T, Fault<ServiceWriteError>>;

/// What a write changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// What a service holds.
    Content,
    /// Which services there are, of which family and state.
    Existence,
}

/// Writes a service with all that belongs to it.
pub(super) async fn write(session: &mut Session, write: &ServiceWrite) -> Written<Changed> {
    let row = &write.row;
    let changed = match write.expected_revision {
        None => insert(session, row).await?,
        Some(revision) => update(session, row, revision).await?,
    };
    secret_intents::change(session, &write.intents).await?;
    secret_names::change(session, row.id, &write.names).await?;
    ciphertexts::replace(session, &write.sealed, &write.superseded).await?;
    if let Some(before) = &write.history {
        keep_history(session, row.id, before).await?;
    }
    audit::insert(session, &[&write.audit]).await?;
    let service = ChangedService { family: row.family, id: row.id, fqn: row.fqn.clone() };
    match changed {
        Changed::Content => changes::note_content(session, &service).await?,
        Changed::Existence => changes::note_existence(session, &service).await?,
    }
    Ok(changed)
}

/// Deletes a service; its names and history go with it by foreign key.
pub(super) async fn erase(
    session: &mut Session,
    id: Uuid,
    expected_revision: u64,
    deletions: &[PlannedDeletion],
    audit: &AuditEntry,
) -> Written {
    let found = session.first("SELECT family, fqn FROM services WHERE id = $1", values![id]).await?;
    let sql = "DELETE FROM services WHERE id = $1 AND revision = $2";
    let erased = session.execute(sql, values![id, expected_revision]).await?;
    let Some(row) = found.filter(|_| erased > 0) else { return Err(Fault::Refused(ServiceWriteError::Conflict)) };
    ciphertexts::delete_of_owner(session, OwnerKind::Service, id).await?;
    secret_intents::note_deletions(session, deletions).await?;
    audit::insert(session, &[audit]).await?;
    let family = Family::parse(&row.text(0)?).unwrap_or(Family::Database);
    Ok(changes::note_existence(session, &ChangedService { family, id, fqn: row.text(1)? }).await?)
}

/// Replaces MACs of rows that did not change since.
pub(super) async fn resign(
    session: &mut Session,
    replacements: &[(ServiceRow, RowMac)],
) -> Result<usize, Fault<StoreError>> {
    let sql = "UPDATE services SET key_id = $1, mac = $2 WHERE id = $3 AND revision = $4 AND key_id = $5 AND mac = $6";
    let mut replaced = 0;
    for (row, mac) in replacements {
        let old = &row.mac;
        let values = values![mac.key_id.as_str(), &mac.tag, row.id, row.revision, old.key_id.as_str(), &old.tag];
        replaced += usize::try_from(session.execute(sql, values).await?).unwrap_or_default();
    }
    Ok(replaced)
}

async fn insert(session: &mut Session, row: &ServiceRow) -> Written<Changed> {
    let inserted = session
        .execute(
            "INSERT INTO services (id, family, fqn, deleted, version, revision, document, secrets, key_id, mac)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            values![
                row.id,
                row.family.as_str(),
                &row.fqn,
                row.deleted,
                row.version.tenths(),
                row.revision,
                &row.document,
                &row.secrets,
                row.mac.key_id.as_str(),
                &row.mac.tag,
            ],
        )
        .await;
    inserted.map(|_| Changed::Existence).map_err(already_exists)
}

async fn update(session: &mut Session, row: &ServiceRow, revision: u64) -> Written<Changed> {
    // The usual update leaves family, name and state alone.
    let sql = "UPDATE services SET version = $1, revision = $2, document = $3, secrets = $4, key_id = $5, mac = $6
               WHERE id = $7 AND revision = $8 AND family = $9 AND fqn = $10 AND deleted = $11";
    let values = values![
        row.version.tenths(),
        row.revision,
        &row.document,
        &row.secrets,
        row.mac.key_id.as_str(),
        &row.mac.tag,
        row.id,
        revision,
        row.family.as_str(),
        &row.fqn,
        row.deleted,
    ];
    if session.execute(sql, values).await? == 1 {
        return Ok(Changed::Content);
    }
    let sql = "UPDATE services SET family = $1, fqn = $2, deleted = $3, version = $4, revision = $5, document = $6,
                   secrets = $7, key_id = $8, mac = $9
               WHERE id = $10 AND revision = $11";
    let values = values![
        row.family.as_str(),
        &row.fqn,
        row.deleted,
        row.version.tenths(),
        row.revision,
        &row.document,
        &row.secrets,
        row.mac.key_id.as_str(),
        &row.mac.tag,
        row.id,
        revision,
    ];
    match session.execute(sql, values).await.map_err(already_exists)? {
        0 => Err(Fault::Refused(ServiceWriteError::Conflict)),
        _ => Ok(Changed::Existence),
    }
}

fn already_exists(error: sqlx::Error) -> Fault<ServiceWriteError> {
    if is_duplicate(&error) { Fault::Refused(ServiceWriteError::AlreadyExists) } else { Fault::Sql(error) }
}

async fn keep_history(session: &mut Session, service_id: Uuid, before: &VersionRow) -> sqlx::Result<()> {
    let sql = Sql::Each {
        postgres: "INSERT INTO service_versions (service_id, version, document) VALUES ($1, $2, $3)
                   ON CONFLICT (service_id, version) DO UPDATE SET document = excluded.document",
        mysql: "INSERT INTO service_versions (service_id, version, document) VALUES ($1, $2, $3)
                ON DUPLICATE KEY UPDATE document = VALUES(document)",
    };
    session.execute(sql, values![service_id, before.version.tenths(), &before.document]).await.map(drop)
}
