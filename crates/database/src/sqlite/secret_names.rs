//! Who holds which name: no secret gets a name that another secret has or is about to have in a store, or that a user
//! typed as a reference.

use rusqlite::{Connection, Row, params};
use strongroom_domain::{ClaimedName, HeldName, NameChanges, ServiceWriteError};
use uuid::Uuid;

use super::errors::Fault;
use super::rows::text;

/// Applies what a write does to names; refuses where a name is taken.
pub(super) fn change(
    connection: &Connection,
    service_id: Uuid,
    names: &NameChanges,
) -> Result<(), Fault<ServiceWriteError>> {
    for normal_name in &names.released {
        release(connection, service_id, normal_name)?;
    }
    if let Some(typed) = &names.typed {
        replace_typed(connection, service_id, typed)?;
    }
    for claim in &names.claimed {
        claim_name(connection, service_id, claim)?;
    }
    Ok(())
}

/// Reads who holds these names.
pub(super) fn holders(connection: &Connection, normal_names: &[String]) -> rusqlite::Result<Vec<HeldName>> {
    let mut statement = connection.prepare_cached(
        "SELECT normal_name, service_id, path, 1 FROM secret_names WHERE normal_name = ?1
         UNION
         SELECT normal_name, owner_id, path, 1 FROM secret_intents WHERE normal_name = ?1
         UNION ALL
         SELECT normal_name, service_id, path, 0 FROM typed_references WHERE normal_name = ?1",
    )?;
    let mut holders = Vec::new();
    for normal_name in normal_names {
        for holder in statement.query_map([normal_name], held_name)? {
            holders.push(holder?);
        }
    }
    Ok(holders)
}

/// Says whether a secret may be put into a store under this name: nobody else has it, nobody typed it. Ids of owners are
/// unique over all kinds.
pub(super) fn is_free_for(
    connection: &Connection,
    normal_name: &str,
    owner_id: Uuid,
    path: &str,
) -> rusqlite::Result<bool> {
    let is_taken = connection
        .prepare_cached(
            "SELECT 1 FROM secret_names WHERE normal_name = ?1 AND NOT (service_id = ?2 AND path = ?3)
             UNION ALL SELECT 1 FROM typed_references WHERE normal_name = ?1
             UNION ALL SELECT 1 FROM secret_intents WHERE normal_name = ?1 AND NOT (owner_id = ?2 AND path = ?3)",
        )?
        .exists(params![normal_name, owner_id, path])?;
    Ok(!is_taken)
}

fn held_name(row: &Row<'_>) -> rusqlite::Result<HeldName> {
    Ok(HeldName { normal_name: text(row, 0)?, service_id: row.get(1)?, path: text(row, 2)?, kept: row.get(3)? })
}

fn release(connection: &Connection, service_id: Uuid, normal_name: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM secret_names WHERE normal_name = ?1 AND service_id = ?2")?
        .execute(params![normal_name, service_id])
        .map(drop)
}

fn replace_typed(
    connection: &Connection,
    service_id: Uuid,
    typed: &[ClaimedName],
) -> Result<(), Fault<ServiceWriteError>> {
    connection.prepare_cached("DELETE FROM typed_references WHERE service_id = ?1")?.execute([service_id])?;
    for ClaimedName { name, normal_name, path } in typed {
        if is_kept(connection, normal_name)? {
            return Err(taken(normal_name));
        }
        connection
            .prepare_cached(
                "INSERT INTO typed_references (normal_name, name, service_id, path) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![normal_name, name, service_id, path])?;
    }
    Ok(())
}

fn claim_name(
    connection: &Connection,
    service_id: Uuid,
    ClaimedName { name, normal_name, path }: &ClaimedName,
) -> Result<(), Fault<ServiceWriteError>> {
    let is_taken = connection
        .prepare_cached(
            "SELECT 1 FROM secret_names WHERE normal_name = ?1
             UNION ALL SELECT 1 FROM typed_references WHERE normal_name = ?1
             UNION ALL SELECT 1 FROM secret_intents WHERE normal_name = ?1 AND NOT (owner_id = ?2 AND path = ?3)",
        )?
        .exists(params![normal_name, service_id, path])?;
    if is_taken {
        return Err(taken(normal_name));
    }
    connection
        .prepare_cached("INSERT INTO secret_names (normal_name, name, service_id, path) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![normal_name, name, service_id, path])?;
    Ok(())
}

/// Also where a secret of that name is yet to be deleted in a store.
fn is_kept(connection: &Connection, normal_name: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM secret_names WHERE normal_name = ?1
             UNION ALL SELECT 1 FROM secret_intents WHERE normal_name = ?1",
        )?
        .exists([normal_name])
}

fn taken(normal_name: &str) -> Fault<ServiceWriteError> {
    Fault::Refused(ServiceWriteError::NameTaken(normal_name.to_owned()))
}
