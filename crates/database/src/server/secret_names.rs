//! Who holds which name: no secret gets a name that another secret has or is about to have in a store, or that a user
//! typed as a reference.

use strongroom_domain::{ClaimedName, HeldName, NameChanges, ServiceWriteError};
use uuid::Uuid;

use super::errors::Fault;
use super::session::{Session, Sql};
use super::values::{Value, placeholders, rows_of_placeholders, values};

type Changed = Result<(), Fault<ServiceWriteError>>;

/// Applies what a write does to names; refuses where a name is taken.
pub(super) async fn change(session: &mut Session, service_id: Uuid, names: &NameChanges) -> Changed {
    let taken_or_typed = names.claimed.iter().chain(names.typed.iter().flatten());
    lock(session, taken_or_typed.map(|claim| claim.normal_name.as_str()).collect()).await?;
    for normal_name in &names.released {
        let sql = "DELETE FROM secret_names WHERE normal_name = $1 AND service_id = $2";
        session.execute(sql, values![normal_name, service_id]).await?;
    }
    if let Some(typed) = &names.typed {
        replace_typed(session, service_id, typed).await?;
    }
    for claim in &names.claimed {
        claim_name(session, service_id, claim).await?;
    }
    Ok(())
}

/// Locks the rows of names that are about to be taken or typed, in the order of the names so that no two writes wait for
/// each other: two transactions that look whether a name is free would both find it so.
pub(super) async fn lock(session: &mut Session, mut normal_names: Vec<&str>) -> sqlx::Result<()> {
    normal_names.sort_unstable();
    normal_names.dedup();
    for normal_name in normal_names {
        let sql = Sql::Each {
            postgres: "INSERT INTO known_names (normal_name) VALUES ($1)
                       ON CONFLICT (normal_name) DO UPDATE SET normal_name = excluded.normal_name",
            mysql: "INSERT INTO known_names (normal_name) VALUES ($1)
                    ON DUPLICATE KEY UPDATE normal_name = VALUES(normal_name)",
        };
        session.execute(sql, values![normal_name]).await?;
    }
    Ok(())
}

/// Reads who holds these names: in one statement, so that no name is missed that passes from one table to another.
pub(super) async fn holders(session: &mut Session, normal_names: &[String]) -> sqlx::Result<Vec<HeldName>> {
    let mut holders = Vec::new();
    if normal_names.is_empty() {
        return Ok(holders);
    }
    let count = normal_names.len();
    let [kept, intended, typed] = [0, 1, 2].map(|table| placeholders(1 + table * count, count));
    let sql = format!(
        "SELECT normal_name, service_id, path, 'kept' FROM secret_names WHERE normal_name IN {kept}
         UNION ALL SELECT normal_name, owner_id, path, 'kept' FROM secret_intents WHERE normal_name IN {intended}
         UNION ALL SELECT normal_name, service_id, path, 'typed' FROM typed_references WHERE normal_name IN {typed}"
    );
    let values: Vec<Value<'_>> = [normal_names; 3].into_iter().flatten().map(Value::from).collect();
    for row in session.query(sql, &values).await? {
        let (normal_name, service_id) = (row.text(0)?, row.id(1)?);
        let holder = HeldName { normal_name, service_id, path: row.text(2)?, kept: row.text(3)? == "kept" };
        if !holders.contains(&holder) {
            holders.push(holder);
        }
    }
    Ok(holders)
}

async fn replace_typed(session: &mut Session, service_id: Uuid, typed: &[ClaimedName]) -> Changed {
    session.execute("DELETE FROM typed_references WHERE service_id = $1", values![service_id]).await?;
    let mut seen: Vec<(&str, &str)> = Vec::new();
    let mut values: Vec<Value<'_>> = Vec::new();
    for ClaimedName { name, normal_name, path } in typed {
        if is_kept(session, normal_name).await? {
            return Err(taken(normal_name));
        }
        if !seen.contains(&(normal_name, path)) {
            seen.push((normal_name, path));
            values.extend_from_slice(values![service_id, normal_name, name, path]);
        }
    }
    if !seen.is_empty() {
        let places = rows_of_placeholders(seen.len(), 4);
        let sql = format!("INSERT INTO typed_references (service_id, normal_name, name, path) VALUES {places}");
        session.execute(sql, &values).await?;
    }
    Ok(())
}

async fn claim_name(session: &mut Session, service_id: Uuid, claim: &ClaimedName) -> Changed {
    let ClaimedName { name, normal_name, path } = claim;
    let is_taken = "SELECT 1 FROM secret_names WHERE normal_name = $1
                    UNION ALL SELECT 1 FROM typed_references WHERE normal_name = $2
                    UNION ALL SELECT 1 FROM secret_intents
                    WHERE normal_name = $3 AND NOT (owner_id = $4 AND path = $5) LIMIT 1";
    if session.exists(is_taken, values![normal_name, normal_name, normal_name, service_id, path]).await? {
        return Err(taken(normal_name));
    }
    let sql = "INSERT INTO secret_names (normal_name, name, service_id, path) VALUES ($1, $2, $3, $4)";
    session.execute(sql, values![normal_name, name, service_id, path]).await?;
    Ok(())
}

/// Also where a secret of that name is yet to be deleted in a store.
async fn is_kept(session: &mut Session, normal_name: &str) -> sqlx::Result<bool> {
    let sql = "SELECT 1 FROM secret_names WHERE normal_name = $1
               UNION ALL SELECT 1 FROM secret_intents WHERE normal_name = $2 LIMIT 1";
    session.exists(sql, values![normal_name, normal_name]).await
}

fn taken(normal_name: &str) -> Fault<ServiceWriteError> {
    Fault::Refused(ServiceWriteError::NameTaken(normal_name.to_owned()))
}
