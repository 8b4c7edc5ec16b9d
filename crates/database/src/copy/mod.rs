//! Carries everything from one database to another of any engine, row by row, and checks that it arrived.
//!
//! A copy that was cut short goes on where it stopped. Until all rows are there and compared, the target holds a mark:
//! nothing serves half a database.

mod digest;
mod tables;

use async_trait::async_trait;
use strongroom_domain::StoreError;
use thiserror::Error;

use self::digest::Digest;
pub(crate) use self::tables::{Cell, Kind, Row, TABLES, Table};
use crate::Database;

/// How many rows are read at once, about: those that share their first column stay together.
const PAGE: usize = 100;

/// How many bytes of rows are written in one transaction, about. Servers refuse packets of more than 16 MiB.
const CHUNK: usize = 4 * 1024 * 1024;

/// What a copy needs of a database.
#[async_trait]
pub(crate) trait TableAccess: Send + Sync {
    /// The value of the first column that ends a page of so many rows; none where there are fewer.
    async fn end_of_page(
        &self,
        table: &'static Table,
        after: Option<&Cell>,
        rows: usize,
    ) -> Result<Option<Cell>, StoreError>;

    /// The rows after one value of the first column up to another one, in any order.
    async fn rows(
        &self,
        table: &'static Table,
        after: Option<&Cell>,
        up_to: Option<&Cell>,
    ) -> Result<Vec<Row>, StoreError>;

    /// Adds rows in one transaction.
    async fn append(&self, table: &'static Table, rows: Vec<Row>) -> Result<(), StoreError>;

    /// How many rows there are.
    async fn count(&self, table: &'static Table) -> Result<u64, StoreError>;

    /// From where rows are being copied into this database.
    async fn unfinished_copy(&self) -> Result<Option<String>, StoreError>;

    /// Sets the mark that [`TableAccess::unfinished_copy`] finds.
    async fn begin_copy(&self, source: &str) -> Result<(), StoreError>;

    /// Takes the mark away; the next audit entry gets the number after the last one.
    async fn finish_copy(&self) -> Result<(), StoreError>;
}

/// Why a copy did not come to its end. No row of the source was changed.
#[derive(Debug, Error)]
pub enum CopyError {
    /// A server runs on one of the two.
    #[error("servers run on the {end} database: stop them all, wait 15 s, and run this again")]
    InUse {
        /// Which one.
        end: &'static str,
    },
    /// The source is itself half a copy.
    #[error("the source was never copied whole itself, from {0}")]
    HalfSource(String),
    /// The target holds rows that no copy wrote.
    #[error("the target is not empty: its table {0} has rows; name an empty database")]
    NotEmpty(&'static str),
    /// Another source was being copied into the target.
    #[error("the target holds part of a copy from {0}: finish that one, or empty the target")]
    OfAnother(String),
    /// The rows are not those of the source.
    #[error(
        "the table {table} of the target differs from the source's after {rows} rows, as when the source was changed \
         since the copy began: empty the target, and begin again"
    )]
    Differs {
        /// Where.
        table: &'static str,
        /// How many are the same.
        rows: u64,
    },
    /// A database could not.
    #[error("the {end} cannot be used: {error}")]
    Store {
        /// Which one.
        end: &'static str,
        /// Why.
        #[source]
        error: StoreError,
    },
}

/// How far a copy is.
#[derive(Clone, Copy, Debug)]
pub struct CopyProgress {
    /// What happens to the table.
    pub step: CopyStep,
    /// Which one.
    pub table: &'static str,
    /// Rows so far.
    pub done: u64,
    /// Rows in all.
    pub total: u64,
}

/// What happens to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyStep {
    /// Its rows are carried over.
    Copy,
    /// Both ends are read again and compared.
    Compare,
}

/// A table that is the same on both ends, byte for byte.
#[derive(Clone, Debug)]
pub struct CopiedTable {
    /// Its name.
    pub name: &'static str,
    /// How many rows it has.
    pub rows: u64,
    /// SHA-256 over all of them, in hexadecimal; the same on every engine.
    pub digest: String,
}

/// Copies all rows of one database into another one, which is empty or holds the beginning of the same copy.
/// `source` is the name of the former, without a password.
///
/// No server may run on either; that is looked at where servers announce themselves, and the caller's to see to where
/// the database is a file.
pub async fn copy(
    from: &Database,
    to: &Database,
    source: &str,
    mut told: impl FnMut(CopyProgress),
) -> Result<Vec<CopiedTable>, CopyError> {
    begin(from, to, source).await?;
    for table in TABLES {
        carry(from, to, table, &mut told).await?;
    }
    let mut copied = Vec::new();
    for table in TABLES {
        copied.push(ensure_same(from, to, table, &mut told).await?);
    }
    ensure_unused(from, to).await?;
    to.tables.finish_copy().await.map_err(of_target)?;
    Ok(copied)
}

async fn begin(from: &Database, to: &Database, source: &str) -> Result<(), CopyError> {
    ensure_unused(from, to).await?;
    if let Some(of) = from.tables.unfinished_copy().await.map_err(of_source)? {
        return Err(CopyError::HalfSource(of));
    }
    match to.tables.unfinished_copy().await.map_err(of_target)? {
        Some(of) if of == source => return Ok(()),
        Some(of) => return Err(CopyError::OfAnother(of)),
        None => {}
    }
    for table in TABLES {
        if to.tables.end_of_page(table, None, 1).await.map_err(of_target)?.is_some() {
            return Err(CopyError::NotEmpty(table.name));
        }
    }
    to.tables.begin_copy(source).await.map_err(of_target)?;
    // A server that started meanwhile did not see the mark; it looks again once it is announced.
    ensure_unused(from, to).await
}

async fn ensure_unused(from: &Database, to: &Database) -> Result<(), CopyError> {
    if !from.replicas.live().await.map_err(of_source)?.is_empty() {
        return Err(CopyError::InUse { end: "source" });
    }
    if !to.replicas.live().await.map_err(of_target)?.is_empty() {
        return Err(CopyError::InUse { end: "target" });
    }
    Ok(())
}

/// Copies what of a table is not there yet.
async fn carry(
    from: &Database,
    to: &Database,
    table: &'static Table,
    told: &mut impl FnMut(CopyProgress),
) -> Result<(), CopyError> {
    let there = compare(from, to, table, |_| {}).await?;
    if there.target_goes_on {
        return Err(CopyError::Differs { table: table.name, rows: there.rows });
    }
    let total = total(from, table).await;
    let mut done = there.rows;
    let (mut after, mut already) = (there.page_begins_after, there.rows_of_page);
    told(CopyProgress { step: CopyStep::Copy, table: table.name, done, total });
    loop {
        let (mut rows, end) = page(from, table, after.as_ref()).await?;
        for chunk in chunks(rows.split_off(already.min(rows.len()))) {
            done += chunk.len() as u64;
            to.tables.append(table, chunk).await.map_err(of_target)?;
        }
        told(CopyProgress { step: CopyStep::Copy, table: table.name, done, total });
        if end.is_none() {
            return Ok(());
        }
        (after, already) = (end, 0);
    }
}

async fn ensure_same(
    from: &Database,
    to: &Database,
    table: &'static Table,
    told: &mut impl FnMut(CopyProgress),
) -> Result<CopiedTable, CopyError> {
    let total = total(from, table).await;
    let tell = |done| told(CopyProgress { step: CopyStep::Compare, table: table.name, done, total });
    let compared = compare(from, to, table, tell).await?;
    if compared.source_goes_on || compared.target_goes_on {
        return Err(CopyError::Differs { table: table.name, rows: compared.rows });
    }
    Ok(CopiedTable { name: table.name, rows: compared.rows, digest: compared.digest.into_hex() })
}

/// For those who watch; counting a very long table may take longer than an answer may.
async fn total(from: &Database, table: &'static Table) -> u64 {
    from.tables.count(table).await.unwrap_or_default()
}

/// How much of a table is the same on both ends, from its beginning.
struct Comparison {
    rows: u64,
    digest: Digest,
    /// Where the page begins in which the two part, and how many rows of it are the same.
    page_begins_after: Option<Cell>,
    rows_of_page: usize,
    source_goes_on: bool,
    target_goes_on: bool,
}

async fn compare(
    from: &Database,
    to: &Database,
    table: &'static Table,
    mut told: impl FnMut(u64),
) -> Result<Comparison, CopyError> {
    let (mut rows, mut digest, mut after) = (0, Digest::default(), None);
    loop {
        let (source, end) = page(from, table, after.as_ref()).await?;
        let target = sorted(to, table, after.as_ref(), end.as_ref()).await.map_err(of_target)?;
        let same = source.iter().zip(&target).take_while(|(one, other)| one == other).count();
        source.iter().take(same).for_each(|row| digest.add(row));
        rows += same as u64;
        told(rows);
        let (source_goes_on, target_goes_on) = (source.len() > same, target.len() > same);
        if source_goes_on || target_goes_on || end.is_none() {
            let (page_begins_after, rows_of_page) = (after, same);
            return Ok(Comparison { rows, digest, page_begins_after, rows_of_page, source_goes_on, target_goes_on });
        }
        after = end;
    }
}

/// The next rows of the source, and the value of the first column that they end with; none on the last page.
async fn page(
    from: &Database,
    table: &'static Table,
    after: Option<&Cell>,
) -> Result<(Vec<Row>, Option<Cell>), CopyError> {
    let end = from.tables.end_of_page(table, after, PAGE).await.map_err(of_source)?;
    let rows = sorted(from, table, after, end.as_ref()).await.map_err(of_source)?;
    Ok((rows, end))
}

/// Sorted here, since engines do not sort long texts alike.
async fn sorted(
    database: &Database,
    table: &'static Table,
    after: Option<&Cell>,
    up_to: Option<&Cell>,
) -> Result<Vec<Row>, StoreError> {
    let mut rows = database.tables.rows(table, after, up_to).await?;
    rows.sort_unstable();
    Ok(rows)
}

/// Rows in portions of a size that every engine takes at once.
fn chunks(rows: Vec<Row>) -> Vec<Vec<Row>> {
    let (mut chunks, mut chunk, mut size) = (Vec::new(), Vec::new(), 0);
    for row in rows {
        let bytes: usize = row.iter().map(Cell::size).sum();
        if size + bytes > CHUNK && !chunk.is_empty() {
            chunks.push(std::mem::take(&mut chunk));
            size = 0;
        }
        size += bytes;
        chunk.push(row);
    }
    chunks.push(chunk);
    chunks
}

fn of_source(error: StoreError) -> CopyError {
    CopyError::Store { end: "source", error }
}

fn of_target(error: StoreError) -> CopyError {
    CopyError::Store { end: "target", error }
}
