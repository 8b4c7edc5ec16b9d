//! Users, bots and tokens.

use strongroom_domain::{
    AuditAction, AuditEntry, KeyId, KeyUsageStore, Principal, PrincipalKind, PrincipalRow, PrincipalStore,
    PrincipalWriteError, Role, TokenHash, TokenRow,
};
use uuid::Uuid;

use super::{Scratch, entry, mac};

fn principal(name: &str) -> PrincipalRow {
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

fn token(owner: &PrincipalRow, number: u8) -> TokenRow {
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

fn audit() -> AuditEntry {
    AuditEntry { family: None, ..entry(AuditAction::CreatePrincipal, Uuid::new_v4(), "x") }
}

#[tokio::test]
async fn users_and_bots_read_back_in_the_order_of_their_names() {
    let scratch = Scratch::new();
    let mut anna = principal("Änna\u{0} ");
    anna.principal = Principal {
        kind: PrincipalKind::User,
        email: Some("anna@example.com".to_owned()),
        role: Role::Admin,
        disabled: true,
        ..anna.principal
    };
    let bot = principal("bot");
    for row in [&anna, &bot] {
        scratch.database.insert_principal(row.clone(), audit()).await.unwrap();
    }

    let rows = scratch.database.principals().await.unwrap();

    assert_eq!(format!("{rows:?}"), format!("{:?}", [bot, anna]));
    assert_eq!(scratch.audit_count().await, 2);
}

#[tokio::test]
async fn a_name_belongs_to_one_user_or_bot_and_case_tells_apart() {
    let scratch = Scratch::new();
    scratch.database.insert_principal(principal("ci"), audit()).await.unwrap();
    scratch.database.insert_principal(principal("CI"), audit()).await.unwrap();

    let outcome = scratch.database.insert_principal(principal("ci"), audit()).await;

    assert!(matches!(outcome, Err(PrincipalWriteError::NameTaken)));
    assert_eq!(scratch.audit_count().await, 2);
}

#[tokio::test]
async fn a_principal_is_replaced_only_while_its_mac_is_the_expected_one() {
    let scratch = Scratch::new();
    let mut row = principal("ci");
    scratch.database.insert_principal(row.clone(), audit()).await.unwrap();
    row.principal.disabled = true;
    row.mac = mac("second-key", 2);

    scratch.database.update_principal(row.clone(), mac("first-key", 1), Some(audit())).await.unwrap();
    let again = scratch.database.update_principal(row.clone(), mac("first-key", 1), Some(audit())).await;

    assert!(matches!(again, Err(PrincipalWriteError::Conflict)));
    assert_eq!(format!("{:?}", scratch.database.principals().await.unwrap()), format!("{:?}", [row]));
    assert_eq!(scratch.audit_count().await, 2);
}

#[tokio::test]
async fn a_token_is_found_by_its_hash_with_its_owner() {
    let scratch = Scratch::new();
    let (owner, other) = (principal("ci"), principal("other"));
    for row in [&owner, &other] {
        scratch.database.insert_principal(row.clone(), audit()).await.unwrap();
    }
    let tokens = [token(&owner, 1), token(&owner, 2), token(&other, 3)];
    for row in &tokens {
        scratch.database.insert_token(row.clone(), audit()).await.unwrap();
    }

    let found = scratch.database.find_token(&TokenHash([2; 32])).await.unwrap().unwrap();
    let listed = scratch.database.tokens().await.unwrap();

    assert_eq!(format!("{found:?}"), format!("{:?}", (&tokens[1], &owner)));
    assert!(scratch.database.find_token(&TokenHash([9; 32])).await.unwrap().is_none());
    assert_eq!(listed.iter().map(|row| row.0.created_at).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(listed[0].1.principal.name, "other");
}

#[tokio::test]
async fn a_token_of_nobody_or_of_a_known_hash_is_a_conflict() {
    let scratch = Scratch::new();
    let owner = principal("ci");
    let orphan = scratch.database.insert_token(token(&owner, 1), audit()).await;
    scratch.database.insert_principal(owner.clone(), audit()).await.unwrap();
    scratch.database.insert_token(token(&owner, 1), audit()).await.unwrap();

    let twin = scratch.database.insert_token(token(&owner, 1), audit()).await;

    assert!(matches!(orphan, Err(PrincipalWriteError::Conflict)), "{orphan:?}");
    assert!(matches!(twin, Err(PrincipalWriteError::Conflict)), "{twin:?}");
}

#[tokio::test]
async fn the_last_use_only_goes_forward_and_a_replacement_leaves_it_alone() {
    let scratch = Scratch::new();
    let owner = principal("ci");
    scratch.database.insert_principal(owner.clone(), audit()).await.unwrap();
    let mut row = token(&owner, 1);
    scratch.database.insert_token(row.clone(), audit()).await.unwrap();
    for at in [50, 70, 60] {
        scratch.database.touch_token(row.id, at).await.unwrap();
    }
    row.revoked_at = Some(80);
    row.mac = mac("second-key", 8);

    scratch.database.update_token(row.clone(), mac("first-key", 1), None).await.unwrap();
    let again = scratch.database.update_token(row.clone(), mac("first-key", 1), None).await;

    let (found, _) = scratch.database.find_token(&row.hash).await.unwrap().unwrap();
    assert_eq!((found.last_used_at, found.revoked_at, found.mac), (Some(70), Some(80), row.mac));
    assert!(matches!(again, Err(PrincipalWriteError::Conflict)));
}

#[tokio::test]
async fn rows_of_a_key_are_found_up_to_the_limit_and_counted() {
    let scratch = Scratch::new();
    let first = KeyId::new("first-key");
    let (one, two) = (principal("one"), principal("two"));
    for row in [&one, &two] {
        scratch.database.insert_principal(row.clone(), audit()).await.unwrap();
    }
    for number in 1..=3 {
        scratch.database.insert_token(token(&one, number), audit()).await.unwrap();
    }
    scratch.create("shop").await;

    let (principals, tokens) = PrincipalStore::signed_with(&scratch.database, &first, 4).await.unwrap();
    let (no_principals, no_tokens) =
        PrincipalStore::signed_with(&scratch.database, &KeyId::new("other"), 4).await.unwrap();
    let usage = scratch.database.key_usage().await.unwrap();

    assert_eq!((principals.len(), tokens.len()), (2, 2));
    assert_eq!((no_principals.len(), no_tokens.len()), (0, 0));
    assert_eq!(usage.len(), 1);
    assert_eq!((usage[0].secrets, usage[0].rows), (0, 6));
}

#[tokio::test]
async fn a_role_that_does_not_exist_spoils_no_list_and_its_row_has_no_valid_mac() {
    let scratch = Scratch::new();
    for name in ["changed", "good"] {
        scratch.database.insert_principal(principal(name), audit()).await.unwrap();
    }
    scratch.other_connection().execute("UPDATE principals SET role = 'x' WHERE name = 'changed'", []).unwrap();

    let rows = scratch.database.principals().await.unwrap();

    assert_eq!((rows[0].principal.role, rows[0].mac.tag.len()), (Role::None, 0));
    assert_eq!((rows[1].principal.role, rows[1].mac.tag.len()), (Role::Worker, 32));
}
