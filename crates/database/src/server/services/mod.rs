//! Services with their ciphertexts, names and history.

mod list;
mod write;

use async_trait::async_trait;
use strongroom_domain::{
    AuditEntry, EntityVersion, Family, HeldName, KeyId, ListQuery, OwnerKind, PlannedDeletion, RowMac, SecretId,
    ServiceKey, ServicePage, ServiceRow, ServiceStore, ServiceWrite, ServiceWriteError, StoreError, StoredService,
    VersionRow,
};
use uuid::Uuid;

use super::rows::{SERVICE_WIDTH, ciphertext, service, service_columns};
use super::session::{Session, reading, writing};
use super::values::{Row, values};
use super::{ServerDatabase, secret_names};

/// A service and its ciphertexts in one answer: as many rows as it has ciphertexts, or one.
macro_rules! with_ciphertexts {
    ($services:expr) => {
        concat!(
            "SELECT ",
            service_columns!(),
            ", c.path, c.version, c.ciphertext FROM ",
            $services,
            " s LEFT JOIN ciphertexts c ON c.owner_id = s.id AND c.owner_kind = 'service'"
        )
    };
}

/// The services of a page with their ciphertexts: `page!("WHERE … ORDER BY … LIMIT …", index, "ORDER BY …")`. Each server
/// would read the whole table for some of its pages; `PostgreSQL` is kept from joining the ciphertexts of all services,
/// `MySQL` from another index than the one in the order of the page.
macro_rules! page {
    ($rows:expr, $index:literal, $order:literal) => {
        $crate::server::session::Sql::Each {
            postgres: concat!(
                "SELECT ",
                service_columns!(),
                ", c.path, c.version, c.ciphertext FROM (SELECT * FROM services ",
                $rows,
                ") s LEFT JOIN LATERAL (SELECT path, version, ciphertext FROM ciphertexts \
                 WHERE owner_id = s.id AND owner_kind = 'service' OFFSET 0) c ON TRUE ",
                $order
            ),
            mysql: concat!(
                with_ciphertexts!(concat!("(SELECT * FROM services FORCE INDEX (", $index, ") ", $rows, ")")),
                " ",
                $order
            ),
        }
    };
}

use {page, with_ciphertexts};

#[async_trait]
impl ServiceStore for ServerDatabase {
    async fn find(&self, family: Family, key: &ServiceKey) -> Result<Option<StoredService>, StoreError> {
        if matches!(key, ServiceKey::Name(fqn) if fqn.contains('\0')) {
            // PostgreSQL cannot even be asked for it.
            return Ok(None);
        }
        reading!(self, session => find(session, family, key))
    }

    async fn list(&self, query: ListQuery) -> Result<ServicePage, StoreError> {
        reading!(self, session => list::page(session, &query, &self.handle))
    }

    async fn write(&self, write: ServiceWrite) -> Result<(), ServiceWriteError> {
        let written = writing!(self, session => write::write(session, &write));
        // Also where the outcome is not known.
        if !matches!(written, Ok(write::Changed::Content)) {
            self.handle.totals.forget(Some(write.row.family));
        }
        written.map(drop)
    }

    async fn erase(
        &self,
        id: Uuid,
        expected_revision: u64,
        deletions: Vec<PlannedDeletion>,
        audit: AuditEntry,
    ) -> Result<(), ServiceWriteError> {
        let erased = writing!(self, session => write::erase(session, id, expected_revision, &deletions, &audit));
        self.handle.totals.forget(audit.family);
        erased
    }

    async fn history(&self, id: Uuid) -> Result<Vec<VersionRow>, StoreError> {
        reading!(self, session => history(session, id))
    }

    async fn holders(&self, normal_names: &[String]) -> Result<Vec<HeldName>, StoreError> {
        reading!(self, session => secret_names::holders(session, normal_names))
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        reading!(self, session => async { Ok(!session.exists("SELECT id FROM services LIMIT 1", &[]).await?) })
    }

    async fn scan(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<StoredService>, StoreError> {
        reading!(self, session => scan(session, after, limit))
    }

    async fn signed_with(&self, key_id: &KeyId, limit: usize) -> Result<Vec<ServiceRow>, StoreError> {
        let sql = concat!("SELECT ", service_columns!(), " FROM services s WHERE s.key_id = $1 LIMIT $2");
        reading!(self, session => async {
            session.query(sql, values![key_id.as_str(), limit]).await?.iter().map(service).collect()
        })
    }

    async fn resign(&self, replacements: Vec<(ServiceRow, RowMac)>) -> Result<usize, StoreError> {
        writing!(self, session => write::resign(session, &replacements))
    }
}

async fn find(session: &mut Session, family: Family, key: &ServiceKey) -> sqlx::Result<Option<StoredService>> {
    let rows = match key {
        ServiceKey::Id(id) => {
            let sql = concat!(with_ciphertexts!("services"), " WHERE s.id = $1 AND s.family = $2");
            session.query(sql, values![*id, family.as_str()]).await?
        }
        ServiceKey::Name(fqn) => {
            let sql = concat!(with_ciphertexts!("services"), " WHERE s.family = $1 AND s.fqn = $2");
            session.query(sql, values![family.as_str(), fqn]).await?
        }
    };
    Ok(grouped(&rows)?.into_iter().next())
}

/// Puts the rows of one service together; they stand next to each other.
fn grouped(rows: &[Row]) -> sqlx::Result<Vec<StoredService>> {
    let mut services: Vec<StoredService> = Vec::new();
    for row in rows {
        let id = row.id(0)?;
        let of_service = |path| SecretId { owner_kind: OwnerKind::Service, owner_id: id, path };
        let ciphertext = ciphertext(row, SERVICE_WIDTH, of_service)?;
        match services.last_mut().filter(|last| last.row.id == id) {
            Some(last) => last.ciphertexts.extend(ciphertext),
            None => {
                services.push(StoredService { row: service(row)?, ciphertexts: ciphertext.into_iter().collect() });
            }
        }
    }
    Ok(services)
}

async fn history(session: &mut Session, id: Uuid) -> sqlx::Result<Vec<VersionRow>> {
    let sql = "SELECT version, document FROM service_versions WHERE service_id = $1 ORDER BY version DESC";
    let rows = session.query(sql, values![id]).await?;
    rows.iter()
        .map(|row| Ok(VersionRow { version: EntityVersion::from_tenths(row.unsigned(0)?), document: row.text(1)? }))
        .collect()
}

async fn scan(session: &mut Session, after: Option<Uuid>, limit: usize) -> sqlx::Result<Vec<StoredService>> {
    // No service has the id of all zeros.
    let sql = page!("WHERE id > $1 ORDER BY id LIMIT $2", "PRIMARY", "ORDER BY s.id");
    grouped(&session.query(sql, values![after.unwrap_or_default(), limit]).await?)
}
