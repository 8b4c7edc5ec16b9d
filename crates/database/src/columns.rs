//! What every engine has in common: columns that are read in the same order, and times.

use std::time::Duration;

macro_rules! principal_columns {
    () => {
        "p.id, p.kind, p.name, p.email, p.role, p.disabled, p.created_at, p.key_id, p.mac"
    };
}

macro_rules! token_columns {
    () => {
        "t.id, t.hash, t.principal_id, t.first_admin, t.created_at, t.expires_at, t.last_used_at, t.revoked_at, \
         t.key_id, t.mac"
    };
}

/// How many columns a principal has, where a token's follow.
pub(crate) const PRINCIPAL_WIDTH: usize = 9;

/// How long whoever named a secret in a document has time to make it current himself.
pub(crate) const COMMITTED_IS_DUE: Duration = Duration::from_mins(1);

/// The same for whoever planned a deletion without a time of grace.
pub(crate) const DELETION_IS_DUE: Duration = Duration::from_mins(1);

/// A time span as rows have it.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) use {principal_columns, token_columns};
