//! Re-encryption under the newest key while the server serves. Resumable: what is left is read from the rows.

use std::sync::Arc;

use async_trait::async_trait;
use thiserror::Error;

use crate::access_tokens::{signed_principal, signed_token, verify_principal, verify_token};
use crate::principal_store::{PrincipalStore, PrincipalWriteError};
use crate::row_signer::{KeyId, RowSigner};
use crate::secrets_manager::{CiphertextStore, Sealer, SecretsError};
use crate::service_catalog::{sign_row, verify_row};
use crate::service_store::ServiceStore;
use crate::store_error::StoreError;

/// How many rows are rewritten in one transaction.
const BATCH: usize = 100;

/// How many rows were made with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUsage {
    /// The key.
    pub key_id: KeyId,
    /// Ciphertexts it encrypted.
    pub secrets: u64,
    /// Rows of services, users, bots and tokens it signed.
    pub rows: u64,
}

/// Tells which keys the database needs.
#[async_trait]
pub trait KeyUsageStore: Send + Sync {
    /// Every key that a row names, with its counts.
    async fn key_usage(&self) -> Result<Vec<KeyUsage>, StoreError>;
}

/// Why a rotation stopped. Run it again: it goes on where it was.
#[derive(Debug, Error)]
pub enum RotationError {
    /// The database could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row could not be encrypted anew.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
}

/// What a rotation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RotationReport {
    /// Ciphertexts and rows that the newest key now has.
    pub rewritten: u64,
    /// Rows that do not open or are not believed, and so stay as they are: their old key must stay too.
    pub left: u64,
}

/// Moves every row from older keys to the newest.
pub struct KeyRotation {
    /// Documents.
    pub services: Arc<dyn ServiceStore>,
    /// Users, bots and tokens.
    pub principals: Arc<dyn PrincipalStore>,
    /// Ciphertexts.
    pub ciphertexts: Arc<dyn CiphertextStore>,
    /// MACs.
    pub signer: Arc<dyn RowSigner>,
}

impl KeyRotation {
    /// Rewrites all rows made with `old`; `progress` is told how many are done so far.
    pub async fn retire(
        &self,
        old: &KeyId,
        sealer: &dyn Sealer,
        mut progress: impl FnMut(u64),
    ) -> Result<RotationReport, RotationError> {
        let mut report = RotationReport::default();
        loop {
            let left = report.left;
            let secrets = self.reencrypt_batch(old, sealer, &mut report).await?;
            progress(report.rewritten);
            if secrets == 0 && report.left == left {
                break;
            }
        }
        let (mut services_left, mut principals_left) = (0, 0);
        loop {
            let left = (services_left, principals_left);
            let services = self.resign_services(old, &mut services_left).await?;
            let rows = services + self.resign_principals(old, &mut principals_left).await?;
            report.rewritten += rows;
            progress(report.rewritten);
            if rows == 0 && (services_left, principals_left) == left {
                report.left += (services_left + principals_left) as u64;
                return Ok(report);
            }
        }
    }

    /// Rows that do not open stay in front of the query, so that a batch is enlarged by what is left.
    async fn reencrypt_batch(
        &self,
        old: &KeyId,
        sealer: &dyn Sealer,
        report: &mut RotationReport,
    ) -> Result<usize, RotationError> {
        let left = usize::try_from(report.left).unwrap_or(usize::MAX);
        let rows = self.ciphertexts.encrypted_with(old, BATCH.saturating_add(left)).await?;
        let mut replacements = Vec::with_capacity(rows.len());
        let mut unreadable = 0;
        for row in rows {
            match sealer.open(&row.secret, &row.ciphertext) {
                Ok(value) => {
                    let renewed = sealer.reseal(&row.secret, &value)?;
                    replacements.push((row, renewed));
                }
                Err(_) => unreadable += 1,
            }
        }
        report.left = unreadable;
        let replaced = self.ciphertexts.reencrypt(replacements).await?;
        report.rewritten += replaced as u64;
        Ok(replaced)
    }

    /// `left` counts rows that are not believed; as above, they stay in front and enlarge the batch.
    async fn resign_services(&self, old: &KeyId, left: &mut usize) -> Result<u64, RotationError> {
        let rows = self.services.signed_with(old, BATCH.saturating_add(*left)).await?;
        let (believed, others): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| verify_row(&*self.signer, row).is_ok());
        *left = others.len();
        let replacements = believed.into_iter().map(|row| {
            let mac = sign_row(&*self.signer, &row);
            (row, mac)
        });
        Ok(self.services.resign(replacements.collect()).await? as u64)
    }

    async fn resign_principals(&self, old: &KeyId, left: &mut usize) -> Result<u64, RotationError> {
        let (principals, tokens) = self.principals.signed_with(old, BATCH.saturating_add(*left)).await?;
        let all = principals.len() + tokens.len();
        let principals = principals.into_iter().filter(|row| verify_principal(&*self.signer, row).is_ok());
        let tokens = tokens.into_iter().filter(|row| verify_token(&*self.signer, row).is_ok());
        let (mut believed, mut resigned) = (0, 0);
        for row in principals {
            let expected = row.mac.clone();
            let row = signed_principal(&*self.signer, row.principal);
            believed += 1;
            resigned += u64::from(done(self.principals.update_principal(row, expected, None).await)?);
        }
        for row in tokens {
            let expected = row.mac.clone();
            let row = signed_token(&*self.signer, row);
            believed += 1;
            resigned += u64::from(done(self.principals.update_token(row, expected, None).await)?);
        }
        *left = all - believed;
        Ok(resigned)
    }
}

/// A row that was changed at the same time is met again in the next round.
fn done(written: Result<(), PrincipalWriteError>) -> Result<bool, RotationError> {
    match written {
        Ok(()) => Ok(true),
        Err(PrincipalWriteError::Conflict | PrincipalWriteError::NameTaken) => Ok(false),
        Err(PrincipalWriteError::Store(error)) => Err(error.into()),
    }
}
