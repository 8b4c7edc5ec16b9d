//! One connection at work, whichever protocol it speaks.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, MySqlConnection, PgConnection, SqlSafeStr};
use strongroom_domain::StoreError;

use super::ServerDatabase;
use super::pool::{Connector, Hold, Pool};
use super::values::{Row, Value, bind_mysql, bind_postgres};

/// How often a transaction is run again because others stood in its way.
pub(super) const REPEATS: u32 = 5;

/// A connection, within a transaction or not. One that is dropped in the midst of something is closed.
pub(super) enum Session {
    Postgres(Hold<Connector<PgConnectOptions>, PgConnection>),
    MySql(Hold<Connector<MySqlConnectOptions>, MySqlConnection>),
}

/// A statement with the placeholders `$1`, `$2`, …: each once, in their order.
pub(super) enum Sql {
    /// The same for both.
    Both(Cow<'static, str>),
    /// One for each.
    Each { postgres: &'static str, mysql: &'static str },
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self::Both(Cow::Borrowed(text))
    }
}

impl From<String> for Sql {
    /// For statements with as many placeholders as there are values. Values themselves are always bound.
    fn from(text: String) -> Self {
        Self::Both(Cow::Owned(text))
    }
}

impl Sql {
    fn for_postgres(self) -> sqlx::SqlStr {
        match self {
            Self::Both(Cow::Borrowed(text)) | Self::Each { postgres: text, .. } => text.into_sql_str(),
            Self::Both(Cow::Owned(text)) => AssertSqlSafe(text).into_sql_str(),
        }
    }

    fn for_mysql(self) -> sqlx::SqlStr {
        let text = match self {
            Self::Both(text) => text,
            Self::Each { mysql, .. } => Cow::Borrowed(mysql),
        };
        AssertSqlSafe(without_numbers(&text)).into_sql_str()
    }
}

/// `MySQL` counts placeholders by itself: `$1` becomes `?`.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split('$');
    let mut statement = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        statement.push('?');
        statement.push_str(part.trim_start_matches(|character: char| character.is_ascii_digit()));
    }
    statement
}

impl Pool {
    /// A connection for single statements.
    pub(super) async fn acquire(&self) -> sqlx::Result<Session> {
        Ok(match self {
            Self::Postgres(pool) => Session::Postgres(Hold::take(pool).await?),
            Self::MySql(pool) => Session::MySql(Hold::take(pool).await?),
        })
    }

    /// A connection in a transaction.
    pub(super) async fn begin(&self) -> sqlx::Result<Session> {
        let mut session = self.acquire().await?;
        session.set_in_transaction(true);
        session.run_script("BEGIN").await?;
        Ok(session)
    }
}

impl Session {
    /// Runs a statement; says how many rows it met.
    pub(super) async fn execute(&mut self, sql: impl Into<Sql>, values: &[Value<'_>]) -> sqlx::Result<u64> {
        match self {
            Self::Postgres(hold) => {
                let query = bind_postgres(sqlx::query(sql.into().for_postgres()), values);
                let outcome = query.execute(hold.connection()?).await;
                Ok(hold.done(outcome)?.rows_affected())
            }
            Self::MySql(hold) => {
                let query = bind_mysql(sqlx::query(sql.into().for_mysql()), values);
                let outcome = query.execute(hold.connection()?).await;
                Ok(hold.done(outcome)?.rows_affected())
            }
        }
    }

    /// Reads all rows.
    pub(super) async fn query(&mut self, sql: impl Into<Sql>, values: &[Value<'_>]) -> sqlx::Result<Vec<Row>> {
        match self {
            Self::Postgres(hold) => {
                let query = bind_postgres(sqlx::query(sql.into().for_postgres()), values);
                let outcome = query.fetch_all(hold.connection()?).await;
                Ok(hold.done(outcome)?.into_iter().map(Row::Postgres).collect())
            }
            Self::MySql(hold) => {
                let query = bind_mysql(sqlx::query(sql.into().for_mysql()), values);
                let outcome = query.fetch_all(hold.connection()?).await;
                Ok(hold.done(outcome)?.into_iter().map(Row::MySql).collect())
            }
        }
    }

    /// Reads one row, where there is one.
    pub(super) async fn first(&mut self, sql: impl Into<Sql>, values: &[Value<'_>]) -> sqlx::Result<Option<Row>> {
        Ok(self.query(sql, values).await?.into_iter().next())
    }

    /// Says whether there is a row.
    pub(super) async fn exists(&mut self, sql: impl Into<Sql>, values: &[Value<'_>]) -> sqlx::Result<bool> {
        Ok(self.first(sql, values).await?.is_some())
    }

    /// Runs a script of several statements without values.
    pub(super) async fn run_script(&mut self, script: &'static str) -> sqlx::Result<()> {
        match self {
            Self::Postgres(hold) => {
                let outcome = sqlx::raw_sql(script).execute(hold.connection()?).await;
                hold.done(outcome).map(drop)
            }
            Self::MySql(hold) => {
                let outcome = sqlx::raw_sql(script).execute(hold.connection()?).await;
                hold.done(outcome).map(drop)
            }
        }
    }

    /// Commits the transaction.
    pub(super) async fn commit(mut self) -> sqlx::Result<()> {
        self.run_script("COMMIT").await?;
        self.set_in_transaction(false);
        Ok(())
    }

    /// Rolls the transaction back; where even that fails, the connection is closed, and the server does it.
    pub(super) async fn roll_back(mut self) {
        let rolled_back = self.run_script("ROLLBACK").await;
        self.set_in_transaction(rolled_back.is_err());
    }

    fn set_in_transaction(&mut self, is_in_transaction: bool) {
        match self {
            Self::Postgres(hold) => hold.is_in_transaction = is_in_transaction,
            Self::MySql(hold) => hold.is_in_transaction = is_in_transaction,
        }
    }
}

impl ServerDatabase {
    /// Waits for work as long as a caller may.
    pub(super) async fn within<T, E: From<StoreError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let timeout: Duration = self.handle.answer_timeout;
        let too_slow = || StoreError::Unavailable(format!("no answer within {} ms", timeout.as_millis()));
        tokio::time::timeout(timeout, work).await.map_err(|_| E::from(too_slow()))?
    }
}

/// Runs statements outside a transaction: `reading!(database, session => …)`, where `…` is a future of a
/// `sqlx::Result`.
macro_rules! reading {
    ($database:expr, $session:ident => $work:expr) => {{
        let database = $database;
        database
            .within(async {
                let read = async {
                    let mut session = database.handle.pool.acquire().await?;
                    let $session = &mut session;
                    $work.await
                };
                let read: sqlx::Result<_> = read.await;
                read.map_err(|error| $crate::server::errors::store_error(&error))
            })
            .await
    }};
}

/// Runs statements in a transaction, all of it again where another one stood in its way:
/// `writing!(database, session => …)`, where `…` is a future of a `Result<_, Fault<_>>`.
macro_rules! writing {
    ($database:expr, $session:ident => $work:expr) => {{
        let database = $database;
        database
            .within(async {
                let mut repeats = 0;
                loop {
                    let done = async {
                        let mut session = database.handle.pool.begin().await?;
                        let is_allowed = match &database.lease {
                            Some(lease) => lease.hold(&mut session).await?,
                            None => true,
                        };
                        let outcome = if is_allowed {
                            let $session = &mut session;
                            $work.await
                        } else {
                            Err($crate::server::errors::Fault::Refused($crate::server::leases::lost().into()))
                        };
                        match outcome {
                            Ok(value) => {
                                session.commit().await?;
                                Ok(value)
                            }
                            Err(fault) => {
                                session.roll_back().await;
                                Err(fault)
                            }
                        }
                    };
                    match done.await {
                        Err($crate::server::errors::Fault::Sql(error))
                            if $crate::server::errors::is_worth_repeating(&error)
                                && repeats < $crate::server::session::REPEATS =>
                        {
                            repeats += 1;
                        }
                        outcome => break outcome.map_err($crate::server::errors::Fault::into_error),
                    }
                }
            })
            .await
    }};
}

pub(super) use {reading, writing};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_lose_their_numbers_for_mysql() {
        assert_eq!(without_numbers("a = $1 AND b IN ($2, $10)"), "a = ? AND b IN (?, ?)");
    }
}
