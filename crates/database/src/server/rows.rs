//! From columns to the domain's rows.
//!
//! A word that is none of ours is read as another one, without the row's tag: such a row was changed behind our back,
//! its MAC says so, and it spoils no list.

use strongroom_domain::{
    CiphertextRow, EntityVersion, Family, KeyId, Principal, PrincipalKind, PrincipalRow, Role, RowMac, SecretId,
    SecretVersion, ServiceRow, StoredSecret, TokenHash, TokenRow,
};

use super::values::Row;

macro_rules! service_columns {
    () => {
        "s.id, s.family, s.fqn, s.deleted, s.version, s.revision, s.document, s.secrets, s.key_id, s.mac"
    };
}

/// How many columns a service has, where those of its ciphertexts follow.
pub(super) const SERVICE_WIDTH: usize = 10;

pub(super) use service_columns;

/// Reads the columns of `service_columns!`.
pub(super) fn service(row: &Row) -> sqlx::Result<ServiceRow> {
    let family = Family::parse(&row.text(1)?);
    Ok(ServiceRow {
        id: row.id(0)?,
        family: family.unwrap_or(Family::Database),
        fqn: row.text(2)?,
        deleted: row.flag(3)?,
        version: EntityVersion::from_tenths(row.unsigned(4)?),
        revision: row.unsigned(5)?,
        document: row.text(6)?,
        secrets: row.text(7)?,
        mac: mac_unless(family.is_none(), row, 8)?,
    })
}

/// Reads path, version and ciphertext of a secret whose owner is known; none where a join found none.
pub(super) fn ciphertext(
    row: &Row,
    from: usize,
    owner: impl FnOnce(String) -> SecretId,
) -> sqlx::Result<Option<CiphertextRow>> {
    let Some(ciphertext) = row.optional_bytes(from + 2)? else { return Ok(None) };
    let secret = StoredSecret { id: owner(row.text(from)?), version: SecretVersion::new(row.text(from + 1)?) };
    Ok(Some(CiphertextRow { secret, ciphertext }))
}

/// Reads the columns of `principal_columns!`.
pub(super) fn principal(row: &Row) -> sqlx::Result<PrincipalRow> {
    let (kind, role) = (PrincipalKind::parse(&row.text(1)?), Role::parse(&row.text(4)?));
    let principal = Principal {
        id: row.id(0)?,
        kind: kind.unwrap_or(PrincipalKind::User),
        name: row.text(2)?,
        email: row.optional_text(3)?,
        role: role.unwrap_or(Role::None),
        disabled: row.flag(5)?,
        created_at: row.integer(6)?,
    };
    Ok(PrincipalRow { principal, mac: mac_unless(kind.is_none() || role.is_none(), row, 7)? })
}

/// Reads the columns of `token_columns!`, the first of which is column `from`.
pub(super) fn token(row: &Row, from: usize) -> sqlx::Result<TokenRow> {
    // A hash of another length is none of ours; the MAC says so.
    let hash = <[u8; 32]>::try_from(row.bytes(from + 1)?).unwrap_or_default();
    Ok(TokenRow {
        id: row.id(from)?,
        hash: TokenHash(hash),
        principal_id: row.id(from + 2)?,
        first_admin: row.flag(from + 3)?,
        created_at: row.integer(from + 4)?,
        expires_at: row.optional_integer(from + 5)?,
        last_used_at: row.optional_integer(from + 6)?,
        revoked_at: row.optional_integer(from + 7)?,
        mac: mac(row, from + 8)?,
    })
}

fn mac(row: &Row, from: usize) -> sqlx::Result<RowMac> {
    Ok(RowMac { key_id: KeyId::new(row.text(from)?), tag: row.bytes(from + 1)? })
}

/// The MAC of a row, without its tag where the row holds what we never write.
fn mac_unless(is_foreign: bool, row: &Row, from: usize) -> sqlx::Result<RowMac> {
    let mac = mac(row, from)?;
    Ok(if is_foreign { RowMac { tag: Vec::new(), ..mac } } else { mac })
}
