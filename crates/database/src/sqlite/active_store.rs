//! Which store secrets go into.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use strongroom_domain::{ActiveStore, ActiveStoreRecord, StoreError};

use super::SqliteDatabase;
use super::request::Effect;
use super::rows::{optional_text, text};

#[async_trait]
impl ActiveStoreRecord for SqliteDatabase {
    async fn active_store(&self) -> Result<Option<ActiveStore>, StoreError> {
        let sql = "SELECT place, moving_from, progress FROM active_store";
        self.read(move |connection| connection.prepare_cached(sql)?.query_row([], active_store).optional()).await
    }

    async fn activate(&self, from: Option<&str>, to: &str, moving_from: &str) -> Result<bool, StoreError> {
        let (from, to, moving_from) = (from.map(str::to_owned), to.to_owned(), moving_from.to_owned());
        let todo = move |connection: &Connection| Ok(activate(connection, from.as_deref(), &to, &moving_from)?);
        self.write(Effect::Change, todo).await
    }

    async fn tell_progress(&self, progress: &str) -> Result<(), StoreError> {
        let progress = progress.to_owned();
        let sql = "UPDATE active_store SET progress = ?1";
        self.write(Effect::Note, move |connection| {
            Ok(connection.prepare_cached(sql)?.execute([&progress]).map(drop)?)
        })
        .await
    }

    async fn end_move(&self) -> Result<(), StoreError> {
        let sql = "UPDATE active_store SET moving_from = NULL";
        self.write(Effect::Change, move |connection| Ok(connection.execute(sql, []).map(drop)?)).await
    }

    async fn erase_remains(&self) -> Result<(), StoreError> {
        self.erase_remains_of_ciphertexts().await
    }
}

fn active_store(row: &Row<'_>) -> rusqlite::Result<ActiveStore> {
    Ok(ActiveStore { place: text(row, 0)?, moving_from: optional_text(row, 1)?, progress: optional_text(row, 2)? })
}

fn activate(connection: &Connection, from: Option<&str>, to: &str, moving_from: &str) -> rusqlite::Result<bool> {
    let met = match from {
        None => connection.execute(
            "INSERT INTO active_store (number, place, moving_from) VALUES (1, ?1, ?2) ON CONFLICT DO NOTHING",
            params![to, moving_from],
        )?,
        Some(from) => connection.execute(
            "UPDATE active_store SET place = ?1, moving_from = ?2, progress = NULL WHERE place = ?3",
            params![to, moving_from, from],
        )?,
    };
    Ok(met == 1)
}
