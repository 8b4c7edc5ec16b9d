//! Which store secrets go into.

use async_trait::async_trait;
use strongroom_domain::{ActiveStore, ActiveStoreRecord, StoreError};

use super::errors::Fault;
use super::session::{Session, Sql, reading, writing};
use super::values::values;
use super::{ServerDatabase, changes};

#[async_trait]
impl ActiveStoreRecord for ServerDatabase {
    async fn active_store(&self) -> Result<Option<ActiveStore>, StoreError> {
        reading!(self, session => active_store(session))
    }

    async fn activate(&self, from: Option<&str>, to: &str, moving_from: &str) -> Result<bool, StoreError> {
        writing!(self, session => activate(session, from, to, moving_from))
    }

    async fn tell_progress(&self, progress: &str) -> Result<(), StoreError> {
        let sql = "UPDATE active_store SET progress = $1";
        writing!(self, session => async { Ok(session.execute(sql, values![progress]).await.map(drop)?) })
    }

    async fn end_move(&self) -> Result<(), StoreError> {
        writing!(self, session => async {
            session.execute("UPDATE active_store SET moving_from = NULL", &[]).await?;
            Ok(changes::note_store(session).await?)
        })
    }

    /// A server cleans up by itself, at times of its own.
    async fn erase_remains(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

async fn active_store(session: &mut Session) -> sqlx::Result<Option<ActiveStore>> {
    let row = session.first("SELECT place, moving_from, progress FROM active_store", &[]).await?;
    let read = |row: super::values::Row| {
        Ok(ActiveStore { place: row.text(0)?, moving_from: row.optional_text(1)?, progress: row.optional_text(2)? })
    };
    row.map(read).transpose()
}

async fn activate(
    session: &mut Session,
    from: Option<&str>,
    to: &str,
    moving_from: &str,
) -> Result<bool, Fault<StoreError>> {
    let met = match from {
        None => {
            let sql = Sql::Each {
                postgres: "INSERT INTO active_store (number, place, moving_from) VALUES (1, $1, $2)
                           ON CONFLICT DO NOTHING",
                mysql: "INSERT IGNORE INTO active_store (number, place, moving_from) VALUES (1, $1, $2)",
            };
            session.execute(sql, values![to, moving_from]).await?
        }
        Some(from) => {
            let sql = "UPDATE active_store SET place = $1, moving_from = $2, progress = NULL WHERE place = $3";
            session.execute(sql, values![to, moving_from, from]).await?
        }
    };
    if met == 0 {
        return Ok(false);
    }
    changes::note_store(session).await?;
    Ok(true)
}
