//! The audit: appended to by each write and each plaintext read.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use strongroom_domain::{AuditAction, AuditEntry, AuditLog, AuditPage, AuditQuery, Family, StoreError};
use uuid::Uuid;

use super::SqliteDatabase;
use super::request::Effect;
use super::rows::{text, word};

/// How many entries one step of a filtered read looks at.
const STEP: i64 = 50_000;

/// After this time a filtered read hands out what it found so far, with a cursor to go on from.
const PATIENCE: Duration = Duration::from_millis(400);

const PAGE: &str = "
    SELECT sequence, at, actor, action, family, subject_id, subject, secret_paths, address, request_id
    FROM audit_entries
    WHERE sequence >= ?1 AND sequence < ?2
      AND (?3 IS NULL OR actor = ?3)
      AND (?4 IS NULL OR family IS NOT NULL AND (subject = ?4 OR subject_id = ?5))
      AND (?6 IS NULL OR at >= ?6)
      AND (?7 IS NULL OR at < ?7)
    ORDER BY sequence DESC LIMIT ?8";

#[async_trait]
impl AuditLog for SqliteDatabase {
    async fn record(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.write(Effect::Note, move |connection| Ok(insert(connection, &entry)?)).await
    }

    async fn page(&self, query: AuditQuery) -> Result<AuditPage, StoreError> {
        self.read(move |connection| page(connection, &query)).await
    }
}

/// Appends an entry.
pub(super) fn insert(connection: &Connection, entry: &AuditEntry) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO audit_entries
                 (at, actor, action, family, subject_id, subject, secret_paths, address, request_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            entry.at,
            entry.actor,
            entry.action.as_str(),
            entry.family.map(Family::as_str),
            entry.subject_id,
            entry.subject,
            json(&entry.secret_paths)?,
            entry.address,
            entry.request_id,
        ])
        .map(drop)
}

fn json(paths: &[String]) -> rusqlite::Result<String> {
    serde_json::to_string(paths).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// Reads backwards step by step, so that a filter which matches little of a long log costs bounded time.
fn page(connection: &Connection, query: &AuditQuery) -> rusqlite::Result<AuditPage> {
    let give_up = Instant::now() + PATIENCE;
    let mut end = newest(connection)?.saturating_add(1).min(query.before_sequence.unwrap_or(i64::MAX));
    let mut entries = Vec::new();
    while end > 0 && entries.len() <= query.limit {
        if Instant::now() > give_up {
            entries.truncate(query.limit);
            return Ok(AuditPage { entries, next: Some(end) });
        }
        let start = end.saturating_sub(STEP).max(0);
        let missing = query.limit + 1 - entries.len();
        entries.extend(step(connection, query, start, end, missing)?);
        end = start;
    }
    let more = entries.len() > query.limit;
    entries.truncate(query.limit);
    let next = entries.last().map(|entry| entry.sequence).filter(|_| more);
    Ok(AuditPage { entries, next })
}

fn newest(connection: &Connection) -> rusqlite::Result<i64> {
    let newest: Option<Option<i64>> = connection
        .prepare_cached("SELECT max(sequence) FROM audit_entries")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(newest.flatten().unwrap_or_default())
}

fn step(
    connection: &Connection,
    query: &AuditQuery,
    start: i64,
    end: i64,
    limit: usize,
) -> rusqlite::Result<Vec<AuditEntry>> {
    let service_id = query.service.as_deref().and_then(|service| Uuid::try_parse(service).ok());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection
        .prepare_cached(PAGE)?
        .query_map(params![start, end, query.actor, query.service, service_id, query.since, query.until, limit], entry)?
        .collect()
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    let family = match row.get_ref(4)?.data_type() {
        Type::Null => None,
        _ => Some(word(row, 4, "family", Family::parse)?),
    };
    let paths: Vec<String> = word(row, 7, "secret_paths", |json| serde_json::from_str(json).ok())?;
    Ok(AuditEntry {
        sequence: row.get(0)?,
        at: row.get(1)?,
        actor: text(row, 2)?,
        action: word(row, 3, "action", AuditAction::parse)?,
        family,
        subject_id: row.get(5)?,
        subject: text(row, 6)?.into(),
        secret_paths: paths.into(),
        address: text(row, 8)?,
        request_id: text(row, 9)?.into(),
    })
}
