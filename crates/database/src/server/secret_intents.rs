//! What is about to be put into a store outside of the database, or deleted there.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use strongroom_domain::{
    HeldName, Intent, IntentChanges, IntentError, IntentState, IntentStore, NamedSecret, OwnerKind, PlannedDeletion,
    SecretId, ServiceWriteError, StoreError,
};
use uuid::Uuid;

use super::errors::Fault;
use super::leases::now;
use super::session::{Session, reading, writing};
use super::values::{Row, Value, placeholders, rows_of_placeholders, values};
use super::{ServerDatabase, secret_names};
use crate::columns::{COMMITTED_IS_DUE, DELETION_IS_DUE, millis};

macro_rules! intent_columns {
    () => {
        "token, place, owner_kind, owner_id, path, name, state"
    };
}

/// How many tokens or names one statement takes at most.
const AT_ONCE: usize = 1_000;

#[async_trait]
impl IntentStore for ServerDatabase {
    async fn intend(&self, intents: &[Intent], due_in: Duration) -> Result<(), IntentError> {
        if intents.is_empty() {
            return Ok(());
        }
        writing!(self, session => intend(session, intents, due_in))
    }

    async fn intents_of(&self, (kind, id): (OwnerKind, Uuid)) -> Result<Vec<Intent>, StoreError> {
        let sql = concat!(
            "SELECT ",
            intent_columns!(),
            " FROM secret_intents WHERE owner_id = $1 AND owner_kind = $2 ORDER BY due_at, token"
        );
        reading!(self, session => async {
            session.query(sql, values![id, kind.as_str()]).await?.iter().map(intent).collect()
        })
    }

    async fn due_intents(&self, limit: usize) -> Result<Vec<Intent>, StoreError> {
        let sql = concat!(
            "SELECT ",
            intent_columns!(),
            " FROM secret_intents WHERE due_at <= $1 ORDER BY due_at, token LIMIT $2"
        );
        reading!(self, session => async {
            let now = now(session).await?;
            session.query(sql, values![now, limit]).await?.iter().map(intent).collect()
        })
    }

    async fn claim_intent(&self, token: Uuid, lasts: Duration) -> Result<bool, StoreError> {
        let sql = "UPDATE secret_intents SET due_at = $1 WHERE token = $2 AND due_at <= $3";
        writing!(self, session => async {
            let now = now(session).await?;
            Ok(session.execute(sql, values![now.saturating_add(millis(lasts)), token, now]).await? == 1)
        })
    }

    async fn withdraw_intent(&self, token: Uuid) -> Result<bool, StoreError> {
        let sql = "UPDATE secret_intents SET state = 'withdrawing'
                   WHERE token = $1 AND state IN ('putting', 'moving', 'withdrawing')";
        writing!(self, session => async { Ok(session.execute(sql, values![token]).await? == 1) })
    }

    async fn begin_deletion(&self, token: Uuid) -> Result<bool, StoreError> {
        writing!(self, session => begin_deletion(session, token))
    }

    async fn put_off(&self, tokens: &[Uuid], due_in: Duration) -> Result<(), StoreError> {
        writing!(self, session => put_off(session, tokens, due_in))
    }

    async fn forget_intents(&self, tokens: &[Uuid]) -> Result<(), StoreError> {
        writing!(self, session => forget(session, tokens))
    }

    async fn unknown_names(&self, normal_names: &[String]) -> Result<Vec<String>, StoreError> {
        reading!(self, session => unknown(session, normal_names))
    }
}

/// Does what a write of a service does to intents; refuses where a put that it names was withdrawn. One statement a
/// token: `MySQL` might read a short table whole for several ones, and wait for what other writes have locked.
pub(super) async fn change(session: &mut Session, changes: &IntentChanges) -> Result<(), Fault<ServiceWriteError>> {
    for token in &changes.ended {
        let sql = "DELETE FROM secret_intents WHERE token = $1 AND state IN ('putting', 'moving')";
        ensure_putting(session.execute(sql, values![*token]).await?)?;
    }
    if !changes.committed.is_empty() {
        let due_at = due_at(session, COMMITTED_IS_DUE).await?;
        for token in &changes.committed {
            let sql = "UPDATE secret_intents SET state = 'committed', due_at = $1
                       WHERE token = $2 AND state IN ('putting', 'moving')";
            ensure_putting(session.execute(sql, values![due_at, *token]).await?)?;
        }
    }
    Ok(note_deletions(session, &changes.deletions).await?)
}

fn ensure_putting(met: u64) -> Result<(), Fault<ServiceWriteError>> {
    if met == 1 { Ok(()) } else { Err(Fault::Refused(ServiceWriteError::Conflict)) }
}

/// Notes what is to be deleted in stores. Names need no lock: this very transaction gives them up, so that whoever looks
/// in one statement finds either them or these intents.
pub(super) async fn note_deletions(session: &mut Session, deletions: &[PlannedDeletion]) -> sqlx::Result<()> {
    for PlannedDeletion { token, place, secret, grace } in deletions {
        let (place, secret) = (place.clone(), secret.clone());
        let intent = Intent { token: *token, place, secret, state: IntentState::Deleting };
        insert(session, std::slice::from_ref(&intent), (*grace).max(DELETION_IS_DUE)).await?;
    }
    Ok(())
}

async fn intend(session: &mut Session, intents: &[Intent], due_in: Duration) -> Result<(), Fault<IntentError>> {
    let normal_names: Vec<String> = intents.iter().map(|intent| intent.secret.normal_name()).collect();
    secret_names::lock(session, normal_names.iter().map(String::as_str).collect()).await?;
    let held = secret_names::holders(session, &normal_names).await?;
    let mut wanted: HashMap<&str, &SecretId> = HashMap::new();
    for (normal_name, intent) in normal_names.iter().zip(intents) {
        let id = &intent.secret.id;
        let is_taken = held.iter().any(|held| held.normal_name == *normal_name && !is_of(held, id));
        if is_taken || *wanted.entry(normal_name).or_insert(id) != id {
            return Err(Fault::Refused(IntentError::NameTaken(normal_name.clone())));
        }
    }
    for (normal_name, intent) in normal_names.iter().zip(intents) {
        let SecretId { owner_id, path, .. } = &intent.secret.id;
        if is_about_to_go(session, normal_name, *owner_id).await? {
            return Err(Fault::Refused(IntentError::NameTaken(normal_name.clone())));
        }
        let sql = "DELETE FROM secret_intents
                   WHERE normal_name = $1 AND owner_id = $2 AND path = $3 AND state = 'deleting' AND place = $4";
        session.execute(sql, values![normal_name, *owner_id, path, &intent.place]).await?;
    }
    Ok(insert(session, intents, due_in).await?)
}

async fn begin_deletion(session: &mut Session, token: Uuid) -> Result<bool, Fault<StoreError>> {
    let found = session.first("SELECT normal_name FROM secret_intents WHERE token = $1", values![token]).await?;
    let Some(normal_name) = found.map(|row| row.text(0)).transpose()? else { return Ok(false) };
    secret_names::lock(session, vec![normal_name.as_str()]).await?;
    let is_wanted = "SELECT 1 FROM secret_intents
                     WHERE normal_name = $1 AND token <> $2 AND state IN ('putting', 'moving', 'committed') LIMIT 1";
    if session.exists(is_wanted, values![&normal_name, token]).await? {
        return Ok(false);
    }
    let sql = "UPDATE secret_intents SET state = 'removing'
               WHERE token = $1 AND state IN ('deleting', 'withdrawing', 'removing')";
    // MySQL counts rows that stay as they are as changed, too: sqlx asks it to.
    Ok(session.execute(sql, values![token]).await? == 1)
}

/// Whether a secret is being removed from a store under this name.
async fn is_about_to_go(session: &mut Session, normal_name: &str, owner_id: Uuid) -> sqlx::Result<bool> {
    let sql = "SELECT 1 FROM secret_intents WHERE normal_name = $1 AND (state = 'removing' OR (state = 'withdrawing'
                   AND NOT EXISTS (SELECT 1 FROM secret_names WHERE normal_name = $2 AND service_id = $3))) LIMIT 1";
    session.exists(sql, values![normal_name, normal_name, owner_id]).await
}

/// Whether it is this secret that holds the name. Ids of owners are unique over all kinds.
fn is_of(held: &HeldName, id: &SecretId) -> bool {
    held.kept && held.service_id == id.owner_id && held.path == id.path
}

async fn insert(session: &mut Session, intents: &[Intent], due_in: Duration) -> sqlx::Result<()> {
    let due_at = due_at(session, due_in).await?;
    let normal_names: Vec<String> = intents.iter().map(|intent| intent.secret.normal_name()).collect();
    let mut values: Vec<Value<'_>> = Vec::with_capacity(intents.len() * 9);
    for (Intent { token, place, secret: NamedSecret { id, name }, state }, normal_name) in
        intents.iter().zip(&normal_names)
    {
        let (kind, state) = (id.owner_kind.as_str(), state.as_str());
        values.extend_from_slice(values![*token, place, kind, id.owner_id, &id.path, name, normal_name, state, due_at]);
    }
    let places = rows_of_placeholders(intents.len(), 9);
    let sql = format!(
        "INSERT INTO secret_intents (token, place, owner_kind, owner_id, path, name, normal_name, state, due_at)
         VALUES {places}"
    );
    session.execute(sql, &values).await.map(drop)
}

async fn due_at(session: &mut Session, due_in: Duration) -> sqlx::Result<i64> {
    Ok(now(session).await?.saturating_add(millis(due_in)))
}

fn intent(row: &Row) -> sqlx::Result<Intent> {
    let id = SecretId { owner_kind: row.word(2, OwnerKind::parse)?, owner_id: row.id(3)?, path: row.text(4)? };
    Ok(Intent {
        token: row.id(0)?,
        place: row.text(1)?,
        secret: NamedSecret { id, name: row.text(5)? },
        state: row.word(6, IntentState::parse)?,
    })
}

async fn put_off(session: &mut Session, tokens: &[Uuid], due_in: Duration) -> Result<(), Fault<StoreError>> {
    let due_at = due_at(session, due_in).await?;
    for tokens in tokens.chunks(AT_ONCE) {
        let sql = format!("UPDATE secret_intents SET due_at = $1 WHERE token IN {}", placeholders(2, tokens.len()));
        let mut values: Vec<Value<'_>> = vec![due_at.into()];
        values.extend(tokens.iter().map(|token| Value::Id(*token)));
        session.execute(sql, &values).await?;
    }
    Ok(())
}

async fn forget(session: &mut Session, tokens: &[Uuid]) -> Result<(), Fault<StoreError>> {
    for tokens in tokens.chunks(AT_ONCE) {
        let sql = format!("DELETE FROM secret_intents WHERE token IN {}", placeholders(1, tokens.len()));
        let values: Vec<Value<'_>> = tokens.iter().map(|token| Value::Id(*token)).collect();
        session.execute(sql, &values).await?;
    }
    Ok(())
}

async fn unknown(session: &mut Session, normal_names: &[String]) -> sqlx::Result<Vec<String>> {
    let mut unknown = Vec::new();
    for normal_names in normal_names.chunks(AT_ONCE) {
        let count = normal_names.len();
        let (kept, intended) = (placeholders(1, count), placeholders(1 + count, count));
        let sql = format!(
            "SELECT normal_name FROM secret_names WHERE normal_name IN {kept}
             UNION ALL SELECT normal_name FROM secret_intents WHERE normal_name IN {intended}"
        );
        let values: Vec<Value<'_>> = normal_names.iter().chain(normal_names).map(Value::from).collect();
        let rows = session.query(sql, &values).await?;
        let known: HashSet<String> = rows.iter().map(|row| row.text(0)).collect::<sqlx::Result<_>>()?;
        unknown.extend(normal_names.iter().filter(|normal_name| !known.contains(*normal_name)).cloned());
    }
    Ok(unknown)
}
