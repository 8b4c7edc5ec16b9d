//! The columns of rows that every engine reads in the same order.

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

pub(crate) use {principal_columns, token_columns};
