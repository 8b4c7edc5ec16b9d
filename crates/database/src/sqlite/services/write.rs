//! Writes of services. Each runs in a savepoint: what is refused half-way leaves nothing.

use rusqlite::{Connection, params};
use strongroom_domain::{
    AuditEntry, OwnerKind, PlannedDeletion, RowMac, ServiceRow, ServiceWrite, ServiceWriteError, VersionRow,
};
use uuid::Uuid;

use super::super::errors::{Fault, is_duplicate};
use super::super::{audit, ciphertexts, secret_intents, secret_names};

type Written = Result<(), Fault<ServiceWriteError>>;

/// Writes a service with all that belongs to it.
pub(super) fn write(connection: &Connection, write: &ServiceWrite) -> Written {
    match write.expected_revision {
        None => insert(connection, &write.row)?,
        Some(revision) => update(connection, &write.row, revision)?,
    }
    secret_intents::change(connection, &write.intents)?;
    secret_names::change(connection, write.row.id, &write.names)?;
    ciphertexts::replace(connection, &write.sealed, &write.superseded)?;
    if let Some(before) = &write.history {
        keep_history(connection, write.row.id, before)?;
    }
    audit::insert(connection, &write.audit)?;
    Ok(())
}

/// Deletes a service; its names and history go with it by foreign key.
pub(super) fn erase(
    connection: &Connection,
    id: Uuid,
    expected_revision: u64,
    deletions: &[PlannedDeletion],
    audit: &AuditEntry,
) -> Written {
    let erased = connection
        .prepare_cached("DELETE FROM services WHERE id = ?1 AND revision = ?2")?
        .execute(params![id, expected_revision.cast_signed()])?;
    if erased == 0 {
        return Err(Fault::Refused(ServiceWriteError::Conflict));
    }
    ciphertexts::delete_of_owner(connection, OwnerKind::Service, id)?;
    secret_intents::note_deletions(connection, deletions)?;
    audit::insert(connection, audit)?;
    Ok(())
}

/// Replaces MACs of rows that did not change since.
pub(super) fn resign(connection: &Connection, replacements: &[(ServiceRow, RowMac)]) -> rusqlite::Result<usize> {
    let mut statement = connection.prepare_cached(
        "UPDATE services SET key_id = ?1, mac = ?2 WHERE id = ?3 AND revision = ?4 AND key_id = ?5 AND mac = ?6",
    )?;
    let mut replaced = 0;
    for (row, mac) in replacements {
        let old = &row.mac;
        let revision = row.revision.cast_signed();
        replaced +=
            statement.execute(params![mac.key_id.as_str(), mac.tag, row.id, revision, old.key_id.as_str(), old.tag])?;
    }
    Ok(replaced)
}

fn insert(connection: &Connection, row: &ServiceRow) -> Written {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO services (id, family, fqn, deleted, version, revision, document, secrets, key_id, mac)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            row.id,
            row.family.as_str(),
            row.fqn,
            row.deleted,
            row.version.tenths().cast_signed(),
            row.revision.cast_signed(),
            row.document,
            row.secrets,
            row.mac.key_id.as_str(),
            row.mac.tag,
        ]);
    inserted.map(drop).map_err(already_exists)
}

fn update(connection: &Connection, row: &ServiceRow, revision: u64) -> Written {
    if update_in_place(connection, row, revision)? || update_with_indexes(connection, row, revision)? {
        return Ok(());
    }
    Err(Fault::Refused(ServiceWriteError::Conflict))
}

/// The usual update: what the indexes hold stays, so that they are not touched.
fn update_in_place(connection: &Connection, row: &ServiceRow, revision: u64) -> rusqlite::Result<bool> {
    let updated = connection
        .prepare_cached(
            "UPDATE services SET version = ?1, revision = ?2, document = ?3, secrets = ?4, mac = ?5
             WHERE id = ?6 AND revision = ?7 AND family = ?8 AND fqn = ?9 AND deleted = ?10 AND key_id = ?11",
        )?
        .execute(params![
            row.version.tenths().cast_signed(),
            row.revision.cast_signed(),
            row.document,
            row.secrets,
            row.mac.tag,
            row.id,
            revision.cast_signed(),
            row.family.as_str(),
            row.fqn,
            row.deleted,
            row.mac.key_id.as_str(),
        ])?;
    Ok(updated == 1)
}

fn update_with_indexes(
    connection: &Connection,
    row: &ServiceRow,
    revision: u64,
) -> Result<bool, Fault<ServiceWriteError>> {
    let updated = connection
        .prepare_cached(
            "UPDATE services SET family = ?1, fqn = ?2, deleted = ?3, version = ?4, revision = ?5, document = ?6,
                 secrets = ?7, key_id = ?8, mac = ?9
             WHERE id = ?10 AND revision = ?11",
        )?
        .execute(params![
            row.family.as_str(),
            row.fqn,
            row.deleted,
            row.version.tenths().cast_signed(),
            row.revision.cast_signed(),
            row.document,
            row.secrets,
            row.mac.key_id.as_str(),
            row.mac.tag,
            row.id,
            revision.cast_signed(),
        ]);
    updated.map(|rows| rows == 1).map_err(already_exists)
}

fn already_exists(error: rusqlite::Error) -> Fault<ServiceWriteError> {
    if is_duplicate(&error) { Fault::Refused(ServiceWriteError::AlreadyExists) } else { Fault::Sqlite(error) }
}

fn keep_history(connection: &Connection, service_id: Uuid, before: &VersionRow) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO service_versions (service_id, version, document) VALUES (?1, ?2, ?3)
             ON CONFLICT (service_id, version) DO UPDATE SET document = excluded.document",
        )?
        .execute(params![service_id, before.version.tenths().cast_signed(), before.document])
        .map(drop)
}
