//! Who holds which name: no secret gets a name that another secret has, or that a user typed as a reference.

use strongroom_domain::{ClaimedName, HeldName, NameChanges, ServiceWriteError};
use uuid::Uuid;

use super::errors::Fault;
use super::session::{Session, Sql};
use super::values::{Value, placeholders, rows_of_placeholders, values};

type Changed = Result<(), Fault<ServiceWriteError>>;

/// Applies what a write does to names; refuses where a name is taken.
pub(super) async fn change(session: &mut Session, service_id: Uuid, names: &NameChanges) -> Changed {
    lock(session, names).await?;
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

/// Locks the rows of all names that are taken or typed, in the order of the names so that no two writes wait for each
/// other: two transactions that look whether a name is free would both find it so.
async fn lock(session: &mut Session, names: &NameChanges) -> sqlx::Result<()> {
    let both = names.claimed.iter().chain(names.typed.iter().flatten());
    let mut normal_names: Vec<&str> = both.map(|claim| claim.normal_name.as_str()).collect();
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

/// Reads who holds these names.
pub(super) async fn holders(session: &mut Session, normal_names: &[String]) -> sqlx::Result<Vec<HeldName>> {
    let mut holders = Vec::new();
    if normal_names.is_empty() {
        return Ok(holders);
    }
    let values: Vec<Value<'_>> = normal_names.iter().map(Value::from).collect();
    for (table, kept) in [("secret_names", true), ("typed_references", false)] {
        let places = placeholders(1, values.len());
        let sql = format!("SELECT normal_name, service_id, path FROM {table} WHERE normal_name IN {places}");
        for row in session.query(sql, &values).await? {
            holders.push(HeldName { normal_name: row.text(0)?, service_id: row.id(1)?, path: row.text(2)?, kept });
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
    if is_kept(session, normal_name).await? || is_typed(session, normal_name).await? {
        return Err(taken(normal_name));
    }
    let sql = "INSERT INTO secret_names (normal_name, name, service_id, path) VALUES ($1, $2, $3, $4)";
    session.execute(sql, values![normal_name, name, service_id, path]).await?;
    Ok(())
}

async fn is_kept(session: &mut Session, normal_name: &str) -> sqlx::Result<bool> {
    session.exists("SELECT service_id FROM secret_names WHERE normal_name = $1", values![normal_name]).await
}

async fn is_typed(session: &mut Session, normal_name: &str) -> sqlx::Result<bool> {
    let sql = "SELECT service_id FROM typed_references WHERE normal_name = $1 LIMIT 1";
    session.exists(sql, values![normal_name]).await
}

fn taken(normal_name: &str) -> Fault<ServiceWriteError> {
    Fault::Refused(ServiceWriteError::NameTaken(normal_name.to_owned()))
}
