//! Users, bots and tokens.

use strongroom_domain::{KeyId, Principal, PrincipalKind, PrincipalWriteError, Role, TokenHash};

use super::rows::{audit, audit_count, create, mac, principal, token};
use crate::support::stores::Store;

async fn users_and_bots_read_back_in_the_order_of_their_names(store: Store) {
    let mut anna = principal("Änna e\u{301} \u{1F600}");
    anna.principal = Principal {
        kind: PrincipalKind::User,
        email: Some("ännä@example.com".to_owned()),
        role: Role::Admin,
        disabled: true,
        created_at: i64::MAX,
        ..anna.principal
    };
    let (bot, robot) = (principal("bot"), principal("Robot"));
    for row in [&anna, &bot, &robot] {
        store.principals.insert_principal(row.clone(), audit()).await.unwrap();
    }

    let rows = store.principals.principals().await.unwrap();

    assert_eq!(format!("{rows:?}"), format!("{:?}", [robot, bot, anna]));
    assert_eq!(audit_count(&store).await, 3);
}

async fn every_role_reads_back(store: Store) {
    let roles = [Role::Admin, Role::Worker, Role::None];
    for (name, role) in ["a", "b", "c"].into_iter().zip(roles) {
        let mut row = principal(name);
        row.principal.role = role;
        store.principals.insert_principal(row, audit()).await.unwrap();
    }

    let rows = store.principals.principals().await.unwrap();

    assert_eq!(rows.iter().map(|row| row.principal.role).collect::<Vec<_>>(), roles);
}

async fn a_name_belongs_to_one_user_or_bot_and_names_that_look_alike_stay_apart(store: Store) {
    let names = ["ci", "CI", "ci\u{301}", "c\u{ed}", "\u{fb01}", "fi", "c i", "c  i"];
    for name in names {
        store.principals.insert_principal(principal(name), audit()).await.unwrap();
    }

    let outcome = store.principals.insert_principal(principal("ci"), audit()).await;

    assert!(matches!(outcome, Err(PrincipalWriteError::NameTaken)), "{outcome:?}");
    assert_eq!(store.principals.principals().await.unwrap().len(), names.len());
    assert_eq!(audit_count(&store).await, names.len());
}

async fn a_principal_is_replaced_only_while_its_mac_is_the_expected_one(store: Store) {
    let mut row = principal("ci");
    store.principals.insert_principal(row.clone(), audit()).await.unwrap();
    row.principal.disabled = true;
    row.mac = mac("second-key", 2);

    store.principals.update_principal(row.clone(), mac("first-key", 1), Some(audit())).await.unwrap();
    let again = store.principals.update_principal(row.clone(), mac("first-key", 1), Some(audit())).await;

    assert!(matches!(again, Err(PrincipalWriteError::Conflict)), "{again:?}");
    assert_eq!(format!("{:?}", store.principals.principals().await.unwrap()), format!("{:?}", [row]));
    assert_eq!(audit_count(&store).await, 2);
}

/// MySQL says of such a row that it was not changed.
async fn a_row_that_is_replaced_by_itself_is_no_conflict(store: Store) {
    let owner = principal("ci");
    let row = token(&owner, 1);
    store.principals.insert_principal(owner.clone(), audit()).await.unwrap();
    store.principals.insert_token(row.clone(), audit()).await.unwrap();

    let of_owner = store.principals.update_principal(owner.clone(), owner.mac.clone(), None).await;
    let of_token = store.principals.update_token(row.clone(), row.mac.clone(), None).await;

    assert!(of_owner.is_ok(), "{of_owner:?}");
    assert!(of_token.is_ok(), "{of_token:?}");
}

async fn a_principal_that_does_not_exist_is_not_replaced(store: Store) {
    let row = principal("ci");

    let outcome = store.principals.update_principal(row.clone(), row.mac.clone(), Some(audit())).await;

    assert!(matches!(outcome, Err(PrincipalWriteError::Conflict)), "{outcome:?}");
    assert!(store.principals.principals().await.unwrap().is_empty());
    assert_eq!(audit_count(&store).await, 0);
}

async fn a_token_is_found_by_its_hash_with_its_owner(store: Store) {
    let (owner, other) = (principal("ci"), principal("other"));
    for row in [&owner, &other] {
        store.principals.insert_principal(row.clone(), audit()).await.unwrap();
    }
    let tokens = [token(&owner, 1), token(&owner, 2), token(&other, 3)];
    for row in &tokens {
        store.principals.insert_token(row.clone(), audit()).await.unwrap();
    }

    let found = store.principals.find_token(&TokenHash([2; 32])).await.unwrap().unwrap();
    let missing = store.principals.find_token(&TokenHash([9; 32])).await.unwrap();
    let listed = store.principals.tokens().await.unwrap();

    assert_eq!(format!("{found:?}"), format!("{:?}", (&tokens[1], &owner)));
    assert!(missing.is_none());
    assert_eq!(listed.iter().map(|row| row.0.created_at).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(listed[0].1.principal.name, "other");
}

async fn a_token_of_nobody_or_of_a_known_hash_is_a_conflict(store: Store) {
    let owner = principal("ci");

    let orphan = store.principals.insert_token(token(&owner, 1), audit()).await;
    store.principals.insert_principal(owner.clone(), audit()).await.unwrap();
    store.principals.insert_token(token(&owner, 1), audit()).await.unwrap();
    let twin = store.principals.insert_token(token(&owner, 1), audit()).await;

    assert!(matches!(orphan, Err(PrincipalWriteError::Conflict)), "{orphan:?}");
    assert!(matches!(twin, Err(PrincipalWriteError::Conflict)), "{twin:?}");
    assert_eq!(audit_count(&store).await, 2);
}

async fn the_last_use_only_goes_forward_and_a_replacement_leaves_it_alone(store: Store) {
    let owner = principal("ci");
    store.principals.insert_principal(owner.clone(), audit()).await.unwrap();
    let mut row = token(&owner, 1);
    store.principals.insert_token(row.clone(), audit()).await.unwrap();
    for at in [50, 70, 60] {
        store.principals.touch_token(row.id, at).await.unwrap();
    }
    row.revoked_at = Some(80);
    row.mac = mac("second-key", 8);

    store.principals.update_token(row.clone(), mac("first-key", 1), None).await.unwrap();
    let again = store.principals.update_token(row.clone(), mac("first-key", 1), None).await;

    let (found, _) = store.principals.find_token(&row.hash).await.unwrap().unwrap();
    assert_eq!((found.last_used_at, found.revoked_at, found.mac), (Some(70), Some(80), row.mac));
    assert!(matches!(again, Err(PrincipalWriteError::Conflict)), "{again:?}");
}

async fn rows_of_a_key_are_found_up_to_the_limit_and_counted(store: Store) {
    let (one, two) = (principal("one"), principal("two"));
    for row in [&one, &two] {
        store.principals.insert_principal(row.clone(), audit()).await.unwrap();
    }
    for number in 1..=3 {
        store.principals.insert_token(token(&one, number), audit()).await.unwrap();
    }
    create(&store, "shop").await;

    let (principals, tokens) = store.principals.signed_with(&KeyId::new("first-key"), 4).await.unwrap();
    let (no_principals, no_tokens) = store.principals.signed_with(&KeyId::new("First-Key"), 4).await.unwrap();
    let usage = store.keys.key_usage().await.unwrap();

    assert_eq!((principals.len(), tokens.len()), (2, 2));
    assert_eq!((no_principals.len(), no_tokens.len()), (0, 0));
    assert_eq!(usage.len(), 1);
    assert_eq!((usage[0].key_id.clone(), usage[0].secrets, usage[0].rows), (KeyId::new("first-key"), 0, 6));
}

async fn a_role_that_does_not_exist_spoils_no_list_and_its_row_has_no_valid_mac(store: Store) {
    for name in ["changed", "good"] {
        store.principals.insert_principal(principal(name), audit()).await.unwrap();
    }

    store.change_behind_our_back("UPDATE principals SET role = 'x' WHERE name = 'changed'");
    let rows = store.principals.principals().await.unwrap();

    assert_eq!((rows[0].principal.role, rows[0].mac.tag.len()), (Role::None, 0));
    assert_eq!((rows[1].principal.role, rows[1].mac.tag.len()), (Role::Worker, 32));
}

on_every_engine! {
    users_and_bots_read_back_in_the_order_of_their_names,
    every_role_reads_back,
    a_name_belongs_to_one_user_or_bot_and_names_that_look_alike_stay_apart,
    a_principal_is_replaced_only_while_its_mac_is_the_expected_one,
    a_row_that_is_replaced_by_itself_is_no_conflict,
    a_principal_that_does_not_exist_is_not_replaced,
    a_token_is_found_by_its_hash_with_its_owner,
    a_token_of_nobody_or_of_a_known_hash_is_a_conflict,
    the_last_use_only_goes_forward_and_a_replacement_leaves_it_alone,
    rows_of_a_key_are_found_up_to_the_limit_and_counted,
    a_role_that_does_not_exist_spoils_no_list_and_its_row_has_no_valid_mac,
}
