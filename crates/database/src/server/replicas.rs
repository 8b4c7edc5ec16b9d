//! Who is there, by the clock of the database server.

use std::time::Duration;

use async_trait::async_trait;
use strongroom_domain::{KeyId, Replica, ReplicaRegistry, StoreError};
use uuid::Uuid;

use super::ServerDatabase;
use super::leases::now;
use super::session::{Session, Sql, reading};
use super::values::values;

/// For how long a replica counts as live after it was last seen.
const LIVES: Duration = Duration::from_secs(15);

/// After this time the rows of replicas that vanished are deleted.
const FORGOTTEN: Duration = Duration::from_hours(1);

#[async_trait]
impl ReplicaRegistry for ServerDatabase {
    async fn announce(&self, replica: &Replica) -> Result<(), StoreError> {
        reading!(self, session => announce(session, replica))
    }

    async fn leave(&self, id: Uuid) -> Result<(), StoreError> {
        let left = reading!(self, session => session.execute("DELETE FROM replicas WHERE id = $1", values![id]));
        left.map(drop)
    }

    async fn live(&self) -> Result<Vec<Replica>, StoreError> {
        reading!(self, session => live(session))
    }
}

async fn announce(session: &mut Session, Replica { id, keys, encrypts, store }: &Replica) -> sqlx::Result<()> {
    let now = now(session).await?;
    let keys = serde_json::json!(keys).to_string();
    let sql = Sql::Each {
        postgres: "INSERT INTO replicas (id, key_ids, encrypts, store, seen_at) VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT (id) DO UPDATE
                   SET key_ids = excluded.key_ids, encrypts = excluded.encrypts, store = excluded.store,
                       seen_at = excluded.seen_at",
        mysql: "INSERT INTO replicas (id, key_ids, encrypts, store, seen_at) VALUES ($1, $2, $3, $4, $5)
                ON DUPLICATE KEY UPDATE
                key_ids = VALUES(key_ids), encrypts = VALUES(encrypts), store = VALUES(store),
                seen_at = VALUES(seen_at)",
    };
    session.execute(sql, values![*id, &keys, encrypts.as_str(), store.as_deref(), now]).await.map(drop)
}

async fn live(session: &mut Session) -> sqlx::Result<Vec<Replica>> {
    let now = now(session).await?;
    // All columns: a database that is about to be copied may still have an older schema, without the last of them.
    let rows = session.query("SELECT * FROM replicas", &[]).await?;
    let mut live = Vec::with_capacity(rows.len());
    for row in rows {
        let unseen = Duration::from_millis(u64::try_from(now - row.integer(3)?).unwrap_or_default());
        if unseen > FORGOTTEN {
            session.execute("DELETE FROM replicas WHERE id = $1", values![row.id(0)?]).await?;
        } else if unseen <= LIVES {
            let keys = row.word(1, |json| serde_json::from_str(json).ok())?;
            live.push(Replica {
                id: row.id(0)?,
                keys,
                encrypts: KeyId::new(row.text(2)?),
                store: row.optional_text(4).ok().flatten(),
            });
        }
    }
    Ok(live)
}
