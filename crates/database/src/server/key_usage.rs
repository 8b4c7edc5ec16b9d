//! Which keys the rows need.

use async_trait::async_trait;
use strongroom_domain::{KeyId, KeyUsage, KeyUsageStore, StoreError};

use super::ServerDatabase;
use super::session::{Session, reading};

/// The tables whose rows name a key, and whether it encrypted them; else it signed them.
const TABLES: [(&str, bool); 4] = [
    ("SELECT key_id, count(*) FROM ciphertexts GROUP BY key_id", true),
    ("SELECT key_id, count(*) FROM services GROUP BY key_id", false),
    ("SELECT key_id, count(*) FROM principals GROUP BY key_id", false),
    ("SELECT key_id, count(*) FROM tokens GROUP BY key_id", false),
];

#[async_trait]
impl KeyUsageStore for ServerDatabase {
    async fn key_usage(&self) -> Result<Vec<KeyUsage>, StoreError> {
        reading!(self, session => count(session))
    }
}

async fn count(session: &mut Session) -> sqlx::Result<Vec<KeyUsage>> {
    let mut usages: Vec<KeyUsage> = Vec::new();
    for (sql, is_encrypted) in TABLES {
        for row in session.query(sql, &[]).await? {
            let (key_id, count) = (KeyId::new(row.text(0)?), row.unsigned(1)?);
            let (secrets, rows) = if is_encrypted { (count, 0) } else { (0, count) };
            match usages.iter_mut().find(|usage| usage.key_id == key_id) {
                Some(usage) => {
                    usage.secrets += secrets;
                    usage.rows += rows;
                }
                None => usages.push(KeyUsage { key_id, secrets, rows }),
            }
        }
    }
    usages.sort_by(|left, right| left.key_id.cmp(&right.key_id));
    Ok(usages)
}
