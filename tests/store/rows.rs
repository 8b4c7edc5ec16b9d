//! Rows for tests that care for one of their fields, and the shortest ways to write and read them.

use strongroom_domain::{
    AuditAction, AuditEntry, AuditQuery, ClaimedName, EntityVersion, Family, IntentChanges, KeyId, NameChanges,
    Principal, PrincipalKind, PrincipalRow, Role, RowMac, SealedSecret, SecretId, SecretVersion, ServiceKey,
    ServiceRow, ServiceWrite, StoredSecret, StoredService, TokenHash, TokenRow,
};
use uuid::Uuid;

use crate::support::stores::Store;

pub(super) fn mac(key: &str, tag: u8) -> RowMac {
    RowMac { key_id: KeyId::new(key), tag: vec![tag; 32] }
}

pub(super) fn row(fqn: &str) -> ServiceRow {
    ServiceRow {
        id: Uuid::new_v4(),
        family: Family::Database,
        fqn: fqn.to_owned(),
        deleted: false,
        version: EntityVersion::FIRST,
        revision: 1,
        document: format!(r#"{{"name":"{fqn}"}}"#),
        secrets: "[]".to_owned(),
        mac: mac("first-key", 1),
    }
}

pub(super) fn creation(row: ServiceRow) -> ServiceWrite {
    ServiceWrite {
        audit: entry(AuditAction::Create, row.id, &row.fqn),
        row,
        expected_revision: None,
        sealed: Vec::new(),
        superseded: Vec::new(),
        names: NameChanges::default(),
        intents: IntentChanges::default(),
        history: None,
    }
}

/// The write that changes nothing but the revision.
pub(super) fn next(row: &ServiceRow) -> ServiceWrite {
    let next = ServiceRow { revision: row.revision + 1, ..row.clone() };
    ServiceWrite {
        expected_revision: Some(row.revision),
        audit: entry(AuditAction::Update, row.id, &row.fqn),
        ..creation(next)
    }
}

pub(super) fn entry(action: AuditAction, subject_id: Uuid, subject: &str) -> AuditEntry {
    AuditEntry {
        sequence: 0,
        at: 1_700_000_000_000,
        actor: "admin".to_owned(),
        action,
        family: Some(Family::Database),
        subject_id: Some(subject_id),
        subject: subject.into(),
        secret_paths: ["/config/password".to_owned()].into(),
        address: "127.0.0.1".to_owned(),
        request_id: "request".into(),
    }
}

pub(super) fn sealed(owner: Uuid, path: &str, version: &str, ciphertext: &[u8]) -> SealedSecret {
    SealedSecret {
        secret: stored(owner, path, version),
        key_id: KeyId::new("first-key"),
        ciphertext: ciphertext.to_vec(),
    }
}

pub(super) fn stored(owner: Uuid, path: &str, version: &str) -> StoredSecret {
    StoredSecret { id: SecretId::of_service(owner, path), version: SecretVersion::new(version) }
}

pub(super) fn name(name: &str) -> ClaimedName {
    ClaimedName { name: name.to_uppercase(), normal_name: name.to_owned(), path: "/config/password".to_owned() }
}

pub(super) fn claiming(names: &[&str]) -> NameChanges {
    NameChanges { claimed: names.iter().copied().map(name).collect(), ..NameChanges::default() }
}

pub(super) fn typing(names: &[&str]) -> NameChanges {
    NameChanges { typed: Some(names.iter().copied().map(name).collect()), ..NameChanges::default() }
}

pub(super) fn principal(name: &str) -> PrincipalRow {
    let principal = Principal {
        id: Uuid::new_v4(),
        kind: PrincipalKind::Bot,
        name: name.to_owned(),
        email: None,
        role: Role::Worker,
        disabled: false,
        created_at: 17,
    };
    PrincipalRow { principal, mac: mac("first-key", 1) }
}

pub(super) fn token(owner: &PrincipalRow, number: u8) -> TokenRow {
    TokenRow {
        id: Uuid::new_v4(),
        hash: TokenHash([number; 32]),
        principal_id: owner.principal.id,
        first_admin: number == 1,
        created_at: i64::from(number),
        expires_at: number.is_multiple_of(2).then_some(99),
        last_used_at: None,
        revoked_at: None,
        mac: mac("first-key", number),
    }
}

/// The entry of a write that is not about a service.
pub(super) fn audit() -> AuditEntry {
    AuditEntry { family: None, ..entry(AuditAction::CreatePrincipal, Uuid::new_v4(), "x") }
}

pub(super) async fn create(store: &Store, fqn: &str) -> ServiceRow {
    let row = row(fqn);
    store.services.write(creation(row.clone())).await.unwrap();
    row
}

pub(super) async fn find(store: &Store, fqn: &str) -> Option<StoredService> {
    store.services.find(Family::Database, &ServiceKey::Name(fqn.to_owned())).await.unwrap()
}

pub(super) async fn audit_count(store: &Store) -> usize {
    store.audit.page(AuditQuery { limit: 10_000, ..AuditQuery::default() }).await.unwrap().entries.len()
}
