//! The audit: appended to by each write and each plaintext read. Entries of reads that come at the same time are
//! committed together, each answered only then.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use strongroom_domain::{AuditAction, AuditEntry, AuditLog, AuditPage, AuditQuery, Family, StoreError};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::ServerDatabase;
use super::errors::store_error;
use super::pool::Pool;
use super::session::{Session, reading};
use super::values::{Row, Value, rows_of_placeholders, values};

/// How many entries one statement takes at most.
const BATCH: usize = 64;

/// How many entries wait before callers wait to be let in.
const QUEUE: usize = 1024;

/// How many entries one step of a filtered read looks at.
const STEP: i64 = 50_000;

/// After this time a filtered read hands out what it found so far, with a cursor to go on from.
const PATIENCE: Duration = Duration::from_millis(400);

/// How long one commit may take, so that one that hangs does not keep all later entries waiting.
const PATIENCE_OF_COMMIT: Duration = Duration::from_secs(2);

const INSERT: &str = "INSERT INTO audit_entries
    (at, actor, action, family, subject_id, subject, secret_paths, address, request_id) VALUES ";

type Waiting = (AuditEntry, oneshot::Sender<Result<(), StoreError>>);

/// Entries on their way to the database.
pub(super) struct AuditQueue(mpsc::Sender<Waiting>);

impl AuditQueue {
    /// Starts the task that writes; it ends with the last handle of the database.
    pub(super) fn start(pool: Pool) -> Self {
        let (queue, mut waiting) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            while waiting.recv_many(&mut batch, BATCH).await > 0 {
                commit(&pool, batch.split_off(0)).await;
            }
        });
        Self(queue)
    }

    async fn record(&self, entry: AuditEntry) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.0.send((entry, reply)).await.map_err(|_| dropped())?;
        answer.await.map_err(|_| dropped())?
    }
}

async fn commit(pool: &Pool, batch: Vec<Waiting>) {
    let (entries, replies): (Vec<_>, Vec<_>) = batch.into_iter().filter(|(_, reply)| !reply.is_closed()).unzip();
    let entries: Vec<&AuditEntry> = entries.iter().collect();
    let committed = async {
        let mut session = pool.acquire().await?;
        insert(&mut session, &entries).await
    };
    let committed: Result<sqlx::Result<()>, _> = tokio::time::timeout(PATIENCE_OF_COMMIT, committed).await;
    for reply in replies {
        let _ = reply.send(match &committed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(store_error(error)),
            Err(_) => Err(StoreError::Unavailable("the audit was not written in time".to_owned())),
        });
    }
}

fn dropped() -> StoreError {
    StoreError::Unavailable("the audit entry was dropped".to_owned())
}

#[async_trait]
impl AuditLog for ServerDatabase {
    async fn record(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.within(self.handle.audit.record(entry)).await
    }

    async fn page(&self, query: AuditQuery) -> Result<AuditPage, StoreError> {
        let cannot_be = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains('\0'));
        if cannot_be(&query.actor) || cannot_be(&query.service) {
            // PostgreSQL cannot even be asked for it.
            return Ok(AuditPage { entries: Vec::new(), next: None });
        }
        reading!(self, session => page(session, &query))
    }
}

/// Appends entries.
pub(super) async fn insert(session: &mut Session, entries: &[&AuditEntry]) -> sqlx::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let paths: Vec<String> = entries.iter().map(|entry| json(&entry.secret_paths)).collect();
    let mut values: Vec<Value<'_>> = Vec::with_capacity(entries.len() * 9);
    for (entry, paths) in entries.iter().zip(&paths) {
        values.extend_from_slice(values![
            entry.at,
            &entry.actor,
            entry.action.as_str(),
            entry.family.map(Family::as_str),
            entry.subject_id,
            &*entry.subject,
            paths,
            &entry.address,
            &*entry.request_id,
        ]);
    }
    let sql = format!("{INSERT}{}", rows_of_placeholders(entries.len(), 9));
    session.execute(sql, &values).await.map(drop)
}

fn json(paths: &[String]) -> String {
    serde_json::Value::from(paths).to_string()
}

/// Reads backwards step by step, so that a filter which matches little of a long log costs bounded time.
async fn page(session: &mut Session, query: &AuditQuery) -> sqlx::Result<AuditPage> {
    let give_up = Instant::now() + PATIENCE;
    let mut end = newest(session).await?.saturating_add(1).min(query.before_sequence.unwrap_or(i64::MAX));
    let mut entries = Vec::new();
    while end > 0 && entries.len() <= query.limit {
        if Instant::now() > give_up {
            entries.truncate(query.limit);
            return Ok(AuditPage { entries, next: Some(end) });
        }
        let start = end.saturating_sub(STEP).max(0);
        let missing = query.limit + 1 - entries.len();
        entries.extend(step(session, query, start, end, missing).await?);
        end = start;
    }
    let more = entries.len() > query.limit;
    entries.truncate(query.limit);
    let next = entries.last().map(|entry| entry.sequence).filter(|_| more);
    Ok(AuditPage { entries, next })
}

async fn newest(session: &mut Session) -> sqlx::Result<i64> {
    let row = session.first("SELECT max(sequence) FROM audit_entries", &[]).await?;
    Ok(row.map(|row| row.optional_integer(0)).transpose()?.flatten().unwrap_or_default())
}

async fn step(
    session: &mut Session,
    query: &AuditQuery,
    start: i64,
    end: i64,
    limit: usize,
) -> sqlx::Result<Vec<AuditEntry>> {
    let mut filter = Filter { sql: String::new(), values: Vec::new() };
    filter.and("sequence >= ", start);
    filter.and("sequence < ", end);
    if let Some(actor) = &query.actor {
        filter.and("actor = ", actor);
    }
    if let Some(service) = &query.service {
        filter.and("family IS NOT NULL AND (subject = ", service);
        // No id: an id that no subject has.
        filter.also(" OR subject_id = ", Uuid::try_parse(service).unwrap_or_default());
        filter.sql.push(')');
    }
    if let Some(since) = query.since {
        filter.and("at >= ", since);
    }
    if let Some(until) = query.until {
        filter.and("at < ", until);
    }
    filter.also(" ORDER BY sequence DESC LIMIT ", limit);
    let sql = format!(
        "SELECT sequence, at, actor, action, family, subject_id, subject, secret_paths, address, request_id
         FROM audit_entries WHERE {}",
        filter.sql
    );
    session.query(sql, &filter.values).await?.iter().map(entry).collect()
}

/// Conditions that are there only where they are asked for.
struct Filter<'a> {
    sql: String,
    values: Vec<Value<'a>>,
}

impl<'a> Filter<'a> {
    fn and(&mut self, condition: &str, value: impl Into<Value<'a>>) {
        if !self.sql.is_empty() {
            self.sql.push_str(" AND ");
        }
        self.also(condition, value);
    }

    fn also(&mut self, text: &str, value: impl Into<Value<'a>>) {
        self.values.push(value.into());
        let _ = write!(self.sql, "{text}${}", self.values.len());
    }
}

fn entry(row: &Row) -> sqlx::Result<AuditEntry> {
    let family = match row.optional_text(4)? {
        None => None,
        Some(_) => Some(row.word(4, Family::parse)?),
    };
    let paths: Vec<String> = row.word(7, |json| serde_json::from_str(json).ok())?;
    Ok(AuditEntry {
        sequence: row.integer(0)?,
        at: row.integer(1)?,
        actor: row.text(2)?,
        action: row.word(3, AuditAction::parse)?,
        family,
        subject_id: row.optional_id(5)?,
        subject: row.text(6)?.into(),
        secret_paths: paths.into(),
        address: row.text(8)?,
        request_id: row.text(9)?.into(),
    })
}
