//! What is about to be put into a store outside of the database, or deleted there.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use strongroom_domain::{
    Intent, IntentChanges, IntentError, IntentState, IntentStore, NamedSecret, OwnerKind, PlannedDeletion, SecretId,
    ServiceWriteError, StoreError,
};
use uuid::Uuid;

use super::SqliteDatabase;
use super::errors::Fault;
use super::request::Effect;
use super::rows::{text, word};
use super::secret_names::is_free_for;
use crate::columns::{COMMITTED_IS_DUE, DELETION_IS_DUE, millis};

macro_rules! intent_columns {
    () => {
        "token, place, owner_kind, owner_id, path, name, state"
    };
}

#[async_trait]
impl IntentStore for SqliteDatabase {
    async fn intend(&self, intents: &[Intent], due_in: Duration) -> Result<(), IntentError> {
        if intents.is_empty() {
            return Ok(());
        }
        let intents = intents.to_vec();
        self.write(Effect::Change, move |connection| intend(connection, &intents, due_in)).await
    }

    async fn intents_of(&self, (kind, id): (OwnerKind, Uuid)) -> Result<Vec<Intent>, StoreError> {
        self.read(move |connection| of_owner(connection, kind, id)).await
    }

    async fn due_intents(&self, limit: usize) -> Result<Vec<Intent>, StoreError> {
        self.read(move |connection| due(connection, limit)).await
    }

    async fn claim_intent(&self, token: Uuid, lasts: Duration) -> Result<bool, StoreError> {
        self.write(Effect::Change, move |connection| Ok(claim(connection, token, lasts)?)).await
    }

    async fn withdraw_intent(&self, token: Uuid) -> Result<bool, StoreError> {
        self.write(Effect::Change, move |connection| Ok(withdraw(connection, token)?)).await
    }

    async fn begin_deletion(&self, token: Uuid) -> Result<bool, StoreError> {
        self.write(Effect::Change, move |connection| Ok(begin_deletion(connection, token)?)).await
    }

    async fn put_off(&self, tokens: &[Uuid], due_in: Duration) -> Result<(), StoreError> {
        let tokens = tokens.to_vec();
        self.write(Effect::Change, move |connection| Ok(put_off(connection, &tokens, due_in)?)).await
    }

    async fn forget_intents(&self, tokens: &[Uuid]) -> Result<(), StoreError> {
        let tokens = tokens.to_vec();
        self.write(Effect::Change, move |connection| Ok(forget(connection, &tokens)?)).await
    }

    async fn unknown_names(&self, normal_names: &[String]) -> Result<Vec<String>, StoreError> {
        let normal_names = normal_names.to_vec();
        self.read(move |connection| unknown(connection, &normal_names)).await
    }
}

/// Does what a write of a service does to intents; refuses where a put that it names was withdrawn.
pub(super) fn change(connection: &Connection, changes: &IntentChanges) -> Result<(), Fault<ServiceWriteError>> {
    for token in &changes.ended {
        let sql = "DELETE FROM secret_intents WHERE token = ?1 AND state IN ('putting', 'moving')";
        ensure_putting(connection.prepare_cached(sql)?.execute([token])?)?;
    }
    for token in &changes.committed {
        let sql =
            "UPDATE secret_intents SET state = 'committed', due_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) + ?2
                   WHERE token = ?1 AND state IN ('putting', 'moving')";
        let committed = connection.prepare_cached(sql)?.execute(params![token, millis(COMMITTED_IS_DUE)])?;
        ensure_putting(committed)?;
    }
    Ok(note_deletions(connection, &changes.deletions)?)
}

fn ensure_putting(met: usize) -> Result<(), Fault<ServiceWriteError>> {
    if met == 1 { Ok(()) } else { Err(Fault::Refused(ServiceWriteError::Conflict)) }
}

/// Notes what is to be deleted in stores.
pub(super) fn note_deletions(connection: &Connection, deletions: &[PlannedDeletion]) -> rusqlite::Result<()> {
    for PlannedDeletion { token, place, secret, grace } in deletions {
        let (place, secret) = (place.clone(), secret.clone());
        let intent = Intent { token: *token, place, secret, state: IntentState::Deleting };
        insert(connection, &intent, &intent.secret.normal_name(), (*grace).max(DELETION_IS_DUE))?;
    }
    Ok(())
}

fn intend(connection: &Connection, intents: &[Intent], due_in: Duration) -> Result<(), Fault<IntentError>> {
    for intent in intents {
        let (id, normal_name) = (&intent.secret.id, intent.secret.normal_name());
        if !is_free_for(connection, &normal_name, id.owner_id, &id.path)? {
            return Err(Fault::Refused(IntentError::NameTaken(normal_name)));
        }
        if is_about_to_go(connection, &normal_name, id.owner_id)? {
            return Err(Fault::Refused(IntentError::NameTaken(normal_name)));
        }
        let sql = "DELETE FROM secret_intents
                   WHERE normal_name = ?1 AND owner_id = ?2 AND path = ?3 AND state = 'deleting' AND place = ?4";
        connection.prepare_cached(sql)?.execute(params![normal_name, id.owner_id, id.path, intent.place])?;
        insert(connection, intent, &normal_name, due_in)?;
    }
    Ok(())
}

/// Whether a secret is being removed from a store under this name.
fn is_about_to_go(connection: &Connection, normal_name: &str, owner_id: Uuid) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM secret_intents WHERE normal_name = ?1 AND (state = 'removing' OR (state = 'withdrawing'
                   AND NOT EXISTS (SELECT 1 FROM secret_names WHERE normal_name = ?1 AND service_id = ?2))) LIMIT 1";
    connection.prepare_cached(sql)?.exists(params![normal_name, owner_id])
}

fn insert(connection: &Connection, intent: &Intent, normal_name: &str, due_in: Duration) -> rusqlite::Result<()> {
    let Intent { token, place, secret: NamedSecret { id, name }, state } = intent;
    connection
        .prepare_cached(
            "INSERT INTO secret_intents
                 (token, place, owner_kind, owner_id, path, name, normal_name, state, due_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, CAST(unixepoch('subsec') * 1000 AS INTEGER) + ?9)",
        )?
        .execute(params![
            token,
            place,
            id.owner_kind.as_str(),
            id.owner_id,
            id.path,
            name,
            normal_name,
            state.as_str(),
            millis(due_in),
        ])
        .map(drop)
}

fn of_owner(connection: &Connection, kind: OwnerKind, id: Uuid) -> rusqlite::Result<Vec<Intent>> {
    let sql = concat!(
        "SELECT ",
        intent_columns!(),
        " FROM secret_intents WHERE owner_id = ?1 AND owner_kind = ?2 ORDER BY due_at, token"
    );
    connection.prepare_cached(sql)?.query_map(params![id, kind.as_str()], intent)?.collect()
}

fn due(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<Intent>> {
    let sql = concat!(
        "SELECT ",
        intent_columns!(),
        " FROM secret_intents WHERE due_at <= CAST(unixepoch('subsec') * 1000 AS INTEGER)
          ORDER BY due_at, token LIMIT ?1"
    );
    connection.prepare_cached(sql)?.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], intent)?.collect()
}

fn intent(row: &Row<'_>) -> rusqlite::Result<Intent> {
    let owner_kind = word(row, 2, "owner_kind", OwnerKind::parse)?;
    let id = SecretId { owner_kind, owner_id: row.get(3)?, path: text(row, 4)? };
    Ok(Intent {
        token: row.get(0)?,
        place: text(row, 1)?,
        secret: NamedSecret { id, name: text(row, 5)? },
        state: word(row, 6, "state", IntentState::parse)?,
    })
}

fn claim(connection: &Connection, token: Uuid, lasts: Duration) -> rusqlite::Result<bool> {
    let sql = "UPDATE secret_intents SET due_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) + ?2
               WHERE token = ?1 AND due_at <= CAST(unixepoch('subsec') * 1000 AS INTEGER)";
    Ok(connection.prepare_cached(sql)?.execute(params![token, millis(lasts)])? == 1)
}

fn withdraw(connection: &Connection, token: Uuid) -> rusqlite::Result<bool> {
    let sql = "UPDATE secret_intents SET state = 'withdrawing'
               WHERE token = ?1 AND state IN ('putting', 'moving', 'withdrawing')";
    Ok(connection.prepare_cached(sql)?.execute([token])? == 1)
}

fn begin_deletion(connection: &Connection, token: Uuid) -> rusqlite::Result<bool> {
    let sql = "UPDATE secret_intents SET state = 'removing'
               WHERE token = ?1 AND state IN ('deleting', 'withdrawing', 'removing')
               AND NOT EXISTS (SELECT 1 FROM secret_intents other
                   WHERE other.normal_name = secret_intents.normal_name AND other.token <> ?1
                   AND other.state IN ('putting', 'moving', 'committed'))";
    Ok(connection.prepare_cached(sql)?.execute([token])? == 1)
}

fn put_off(connection: &Connection, tokens: &[Uuid], due_in: Duration) -> rusqlite::Result<()> {
    let sql = "UPDATE secret_intents SET due_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) + ?2 WHERE token = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    tokens.iter().try_for_each(|token| statement.execute(params![token, millis(due_in)]).map(drop))
}

fn forget(connection: &Connection, tokens: &[Uuid]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM secret_intents WHERE token = ?1")?;
    tokens.iter().try_for_each(|token| statement.execute([token]).map(drop))
}

fn unknown(connection: &Connection, normal_names: &[String]) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "SELECT 1 FROM secret_names WHERE normal_name = ?1
         UNION ALL SELECT 1 FROM secret_intents WHERE normal_name = ?1",
    )?;
    let mut unknown = Vec::new();
    for normal_name in normal_names {
        if !statement.exists([normal_name])? {
            unknown.push(normal_name.clone());
        }
    }
    Ok(unknown)
}
