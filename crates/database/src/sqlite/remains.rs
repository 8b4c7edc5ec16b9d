//! Removes what deleted ciphertexts leave in the database file and in its write-ahead log.

use std::time::Duration;

use rusqlite::Connection;
use strongroom_domain::StoreError;

use super::errors::Fault;
use super::request::Effect;
use super::{SqliteDatabase, ciphertexts};

/// How long the rows that are left may take to be written anew.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often the log is tried to be emptied.
const TRIES: u32 = 100;

/// How long one try waits for those who read from the log; the writer can do nothing else meanwhile.
const READERS: Duration = Duration::from_millis(20);

/// How long writes have their turn before the next try.
const TRY_AGAIN: Duration = Duration::from_millis(200);

impl SqliteDatabase {
    /// Writes the ciphertexts anew that are left, then empties the log, which holds older states of pages. Other writes
    /// wait for each of the two, reads go on; who reads for very long keeps the log from being emptied.
    pub(super) async fn erase_remains_of_ciphertexts(&self) -> Result<(), StoreError> {
        let rewrite = |connection: &Connection| Ok(ciphertexts::rewrite(connection)?);
        self.ask::<_, StoreError, _>(&self.0.writer.queue, Effect::Change, PATIENCE, rewrite).await?;
        for _ in 0..TRIES {
            if self.ask(&self.0.writer.queue, Effect::None, PATIENCE, empty_log).await? {
                return Ok(());
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
        Err(StoreError::Unavailable("another process keeps the write-ahead log from being emptied".to_owned()))
    }
}

/// Moves what the log holds into the file and cuts the log off; says whether nobody was in the way.
fn empty_log(connection: &Connection) -> Result<bool, Fault<StoreError>> {
    let usual: u32 = connection.query_row("PRAGMA busy_timeout", [], |row| row.get(0))?;
    connection.busy_timeout(READERS)?;
    let emptied =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0).map(|is_busy: bool| !is_busy));
    connection.busy_timeout(Duration::from_millis(usual.into()))?;
    Ok(emptied?)
}
