//! From columns to the domain's rows.
//!
//! Text that is no UTF-8 is read with replacement characters instead of failing, and a word that is none of ours as
//! another one, without the row's tag: such a row was changed behind our back, its MAC says so, and it spoils no list.

use rusqlite::Row;
use rusqlite::types::{Type, ValueRef};
use strongroom_domain::{
    CiphertextRow, EntityVersion, Family, KeyId, Principal, PrincipalKind, PrincipalRow, Role, RowMac, SecretId,
    SecretVersion, ServiceRow, StoredSecret, TokenHash, TokenRow,
};

macro_rules! service_columns {
    () => {
        "id, family, fqn, deleted, version, revision, document, secrets, key_id, mac"
    };
}

pub(super) use service_columns;

/// Reads the columns of `service_columns!`.
pub(super) fn service(row: &Row<'_>) -> rusqlite::Result<ServiceRow> {
    let family = Family::parse(&text(row, 1)?);
    Ok(ServiceRow {
        id: row.get(0)?,
        family: family.unwrap_or(Family::Database),
        fqn: text(row, 2)?,
        deleted: row.get(3)?,
        version: EntityVersion::from_tenths(unsigned(row, 4)?),
        revision: unsigned(row, 5)?,
        document: text(row, 6)?,
        secrets: text(row, 7)?,
        mac: mac_unless(family.is_none(), row, 8)?,
    })
}

/// Reads path, version and ciphertext of a secret whose owner is known.
pub(super) fn ciphertext(row: &Row<'_>, owner: impl FnOnce(String) -> SecretId) -> rusqlite::Result<CiphertextRow> {
    let secret = StoredSecret { id: owner(text(row, 0)?), version: SecretVersion::new(text(row, 1)?) };
    Ok(CiphertextRow { secret, ciphertext: row.get(2)? })
}

/// Reads the columns of `principal_columns!`.
pub(super) fn principal(row: &Row<'_>) -> rusqlite::Result<PrincipalRow> {
    let (kind, role) = (PrincipalKind::parse(&text(row, 1)?), Role::parse(&text(row, 4)?));
    let principal = Principal {
        id: row.get(0)?,
        kind: kind.unwrap_or(PrincipalKind::User),
        name: text(row, 2)?,
        email: optional_text(row, 3)?,
        role: role.unwrap_or(Role::None),
        disabled: row.get(5)?,
        created_at: row.get(6)?,
    };
    Ok(PrincipalRow { principal, mac: mac_unless(kind.is_none() || role.is_none(), row, 7)? })
}

/// Reads the columns of `token_columns!`, the first of which is column `from`.
pub(super) fn token(row: &Row<'_>, from: usize) -> rusqlite::Result<TokenRow> {
    Ok(TokenRow {
        id: row.get(from)?,
        hash: TokenHash(row.get(from + 1)?),
        principal_id: row.get(from + 2)?,
        first_admin: row.get(from + 3)?,
        created_at: row.get(from + 4)?,
        expires_at: row.get(from + 5)?,
        last_used_at: row.get(from + 6)?,
        revoked_at: row.get(from + 7)?,
        mac: mac(row, from + 8)?,
    })
}

/// A text, byte for byte where it is one.
pub(super) fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    match row.get_ref(column)? {
        ValueRef::Text(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        other => Err(rusqlite::Error::InvalidColumnType(column, "of text".to_owned(), other.data_type())),
    }
}

/// A text, where there is one.
pub(super) fn optional_text(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => text(row, column).map(Some),
    }
}

/// A text that is one of a few known words.
pub(super) fn word<T>(
    row: &Row<'_>,
    column: usize,
    name: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    parse(&text(row, column)?).ok_or_else(|| rusqlite::Error::InvalidColumnType(column, name.to_owned(), Type::Text))
}

fn mac(row: &Row<'_>, from: usize) -> rusqlite::Result<RowMac> {
    Ok(RowMac { key_id: KeyId::new(text(row, from)?), tag: row.get(from + 1)? })
}

/// The MAC of a row, without its tag where the row holds what we never write.
fn mac_unless(is_foreign: bool, row: &Row<'_>, from: usize) -> rusqlite::Result<RowMac> {
    let mac = mac(row, from)?;
    Ok(if is_foreign { RowMac { tag: Vec::new(), ..mac } } else { mac })
}

/// `SQLite`'s integers are signed; a number that somebody made negative becomes a large one, and the MAC says so.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}
