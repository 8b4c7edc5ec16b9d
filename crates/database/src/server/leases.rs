//! Leases: what only one replica does at a time. They end by the clock of the database server, which all replicas
//! share, and each has a number that grows, so that whoever lost one can write nothing under it.

use std::time::Duration;

use strongroom_domain::StoreError;
use uuid::Uuid;

use super::session::{Session, Sql};
use super::values::values;

/// Makes the table; it is there before the schema is, since bringing that up to date needs a lease.
pub(super) const TABLE: fn() -> Sql = || Sql::Each {
    postgres: "CREATE TABLE IF NOT EXISTS leases (
                   name TEXT NOT NULL PRIMARY KEY, holder UUID, token BIGINT NOT NULL, ends_at BIGINT NOT NULL)",
    mysql: "CREATE TABLE IF NOT EXISTS leases (
                name VARBINARY(64) NOT NULL PRIMARY KEY, holder BINARY(16), token BIGINT NOT NULL,
                ends_at BIGINT NOT NULL) ENGINE = InnoDB",
};

/// A lease that was got. It may be over at any time: [`Lease::hold`] says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    name: &'static str,
    holder: Uuid,
    token: i64,
    lasts: Duration,
}

impl Lease {
    /// Takes a lease that nobody holds, or whose holder let it end.
    pub(super) async fn take(
        session: &mut Session,
        name: &'static str,
        holder: Uuid,
        lasts: Duration,
    ) -> sqlx::Result<Option<Self>> {
        let make = Sql::Each {
            postgres: "INSERT INTO leases (name, holder, token, ends_at) VALUES ($1, NULL, 0, 0) ON CONFLICT DO NOTHING",
            mysql: "INSERT IGNORE INTO leases (name, holder, token, ends_at) VALUES ($1, NULL, 0, 0)",
        };
        session.execute(make, values![name]).await?;
        let now = now(session).await?;
        let take = "UPDATE leases SET holder = $1, token = token + 1, ends_at = $2 WHERE name = $3 AND ends_at <= $4";
        let updated = session.execute(take, values![holder, end(now, lasts), name, now]).await?;
        if updated == 0 {
            return Ok(None);
        }
        let row =
            session.first("SELECT token FROM leases WHERE name = $1 AND holder = $2", values![name, holder]).await?;
        let token = row.map(|row| row.integer(0)).transpose()?;
        Ok(token.map(|token| Self { name, holder, token, lasts }))
    }

    /// Says whether the last holder of a lease vanished without giving it back.
    pub(super) async fn is_left_behind(session: &mut Session, name: &str) -> sqlx::Result<bool> {
        let sql = Sql::Each {
            postgres: "SELECT 1 FROM leases WHERE name = $1 AND ends_at > 0
                       AND ends_at <= CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
            mysql: "SELECT 1 FROM leases WHERE name = $1 AND ends_at > 0
                    AND ends_at <= CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)",
        };
        session.exists(sql, values![name]).await
    }

    /// Makes the lease last on, and keeps others from taking it until the transaction ends; says whether it still was
    /// one's own. Whatever is written in the same transaction is written under the lease.
    pub(super) async fn hold(&self, session: &mut Session) -> sqlx::Result<bool> {
        let now = now(session).await?;
        let sql = "UPDATE leases SET ends_at = $1 WHERE name = $2 AND holder = $3 AND token = $4";
        let values = values![end(now, self.lasts), self.name, self.holder, self.token];
        Ok(session.execute(sql, values).await? == 1)
    }

    /// Gives the lease back: its work is done, and nobody has to wait for its end.
    pub(super) async fn give_back(&self, session: &mut Session) -> sqlx::Result<()> {
        let sql = "UPDATE leases SET ends_at = 0 WHERE name = $1 AND holder = $2 AND token = $3";
        session.execute(sql, values![self.name, self.holder, self.token]).await.map(drop)
    }
}

/// The answer to whoever writes under a lease that is another's by now.
pub(super) fn lost() -> StoreError {
    StoreError::Unavailable("another process has taken over".to_owned())
}

/// The server's time in milliseconds since the epoch.
pub(super) async fn now(session: &mut Session) -> sqlx::Result<i64> {
    let sql = Sql::Each {
        postgres: "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        mysql: "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)",
    };
    let row = session.first(sql, &[]).await?;
    row.map_or(Ok(0), |row| row.integer(0))
}

fn end(now: i64, lasts: Duration) -> i64 {
    now.saturating_add(i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX))
}
