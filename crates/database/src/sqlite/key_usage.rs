//! Which keys the rows need.

use async_trait::async_trait;
use rusqlite::{Connection, Row};
use strongroom_domain::{KeyId, KeyUsage, KeyUsageStore, StoreError};

use super::SqliteDatabase;
use super::rows::{text, unsigned};

const COUNT: &str = "
    SELECT key_id, sum(secrets), sum(signed) FROM (
        SELECT key_id, count(*) AS secrets, 0 AS signed FROM ciphertexts GROUP BY key_id
        UNION ALL SELECT key_id, 0, count(*) FROM services GROUP BY key_id
        UNION ALL SELECT key_id, 0, count(*) FROM principals GROUP BY key_id
        UNION ALL SELECT key_id, 0, count(*) FROM tokens GROUP BY key_id
    ) GROUP BY key_id ORDER BY key_id";

#[async_trait]
impl KeyUsageStore for SqliteDatabase {
    async fn key_usage(&self) -> Result<Vec<KeyUsage>, StoreError> {
        self.read(count).await
    }
}

fn count(connection: &Connection) -> rusqlite::Result<Vec<KeyUsage>> {
    connection.prepare_cached(COUNT)?.query_map([], usage)?.collect()
}

fn usage(row: &Row<'_>) -> rusqlite::Result<KeyUsage> {
    Ok(KeyUsage { key_id: KeyId::new(text(row, 0)?), secrets: unsigned(row, 1)?, rows: unsigned(row, 2)? })
}
