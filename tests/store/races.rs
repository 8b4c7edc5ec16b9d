//! Of writes that exclude each other and come at the same moment, also from two processes, one wins; the others are told
//! why they did not, never that the database is at fault.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use strongroom_domain::{
    AuditAction, CiphertextRow, NameChanges, PrincipalWriteError, ServiceRow, ServiceWrite, ServiceWriteError,
};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::rows::{
    audit, audit_count, claiming, create, creation, entry, find, mac, name, next, principal, row, sealed, token, typing,
};
use crate::support::stores::Store;

/// How often two writes meet. A race that an engine loses is lost in a few of these.
const ROUNDS: usize = 20;

type Attempt = Pin<Box<dyn Future<Output = Result<(), ServiceWriteError>> + Send>>;

/// The outcomes of futures that begin together, in the order they were given.
pub(super) async fn together<T, F>(futures: Vec<F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(futures.len()));
    let mut running = JoinSet::new();
    for (index, future) in futures.into_iter().enumerate() {
        let barrier = barrier.clone();
        running.spawn(async move {
            barrier.wait().await;
            (index, future.await)
        });
    }
    let mut outcomes = running.join_all().await;
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// What becomes of two writes that begin together, one of them by another process.
async fn both(stores: &[Store; 2], writes: [ServiceWrite; 2]) -> Vec<Result<(), ServiceWriteError>> {
    let futures = stores.iter().zip(writes).map(|(store, write)| {
        let services = store.services.clone();
        async move { services.write(write).await }
    });
    together(futures.collect()).await
}

/// Fails unless one succeeded and all others failed as they should; gives the place of the winner.
#[track_caller]
pub(super) fn only_winner<E: Debug>(outcomes: &[Result<(), E>], is_expected: impl Fn(&E) -> bool) -> usize {
    let lost_as_expected = outcomes.iter().filter(|outcome| outcome.as_ref().is_err_and(&is_expected)).count();
    assert_eq!(lost_as_expected, outcomes.len() - 1, "{outcomes:?}");
    outcomes.iter().position(Result::is_ok).unwrap_or_else(|| panic!("nobody won: {outcomes:?}"))
}

pub(super) async fn in_two_processes(store: Store) -> [Store; 2] {
    let other = store.open_again().await;
    [store, other]
}

async fn of_two_writes_of_one_revision_one_wins_and_the_other_is_a_conflict(store: Store) {
    let stores = in_two_processes(store).await;
    let mut current = create(&stores[0], "shop").await;
    let mut kept = Vec::new();
    for _ in 0..ROUNDS {
        let writes = ["first", "second"].map(|document| {
            let secret = sealed(current.id, "/password", &current.revision.to_string(), document.as_bytes());
            let row = ServiceRow { document: document.to_owned(), ..current.clone() };
            ServiceWrite { sealed: vec![secret], superseded: kept.clone(), ..next(&row) }
        });
        let audited = audit_count(&stores[0]).await;

        let outcomes = both(&stores, writes).await;

        let winner = only_winner(&outcomes, |error| matches!(error, ServiceWriteError::Conflict));
        let read = find(&stores[0], "shop").await.unwrap();
        assert_eq!(
            (read.row.document.as_str(), read.row.revision),
            (["first", "second"][winner], current.revision + 1)
        );
        assert_eq!(read.ciphertexts.len(), 1);
        assert_eq!(read.ciphertexts[0].ciphertext, read.row.document.as_bytes());
        assert_eq!(audit_count(&stores[0]).await, audited + 1);
        kept = read.ciphertexts.into_iter().map(|row| row.secret).collect();
        current = read.row;
    }
}

async fn of_many_writes_of_one_revision_one_wins(store: Store) {
    let first = create(&store, "shop").await;
    let writes = (0..32).map(|number: usize| {
        let services = store.services.clone();
        let update = next(&ServiceRow { document: number.to_string(), ..first.clone() });
        async move { services.write(update).await }
    });

    let outcomes = together(writes.collect()).await;

    let winner = only_winner(&outcomes, |error| matches!(error, ServiceWriteError::Conflict));
    let read = find(&store, "shop").await.unwrap().row;
    assert_eq!((read.revision, read.document), (2, winner.to_string()));
    assert_eq!(audit_count(&store).await, 2);
}

async fn of_a_write_and_an_erasure_of_one_revision_one_wins(store: Store) {
    let stores = in_two_processes(store).await;
    for round in 0..ROUNDS {
        let service = create(&stores[0], &round.to_string()).await;
        let (secret, name) = (sealed(service.id, "/password", "1", b"x"), format!("/{round}"));
        let update = ServiceWrite { sealed: vec![secret.clone()], names: claiming(&[&name]), ..next(&service) };
        let (writer, eraser) = (stores[0].services.clone(), stores[1].services.clone());
        let erasure = entry(AuditAction::HardDelete, service.id, &service.fqn);
        let write: Attempt = Box::pin(async move { writer.write(update).await });
        let erase: Attempt = Box::pin(async move { eraser.erase(service.id, 1, vec![], erasure).await });

        let outcomes = together(vec![write, erase]).await;

        let is_there = only_winner(&outcomes, |error| matches!(error, ServiceWriteError::Conflict)) == 0;
        let ciphertexts = stores[0].ciphertexts.load(&[secret.secret]).await.unwrap();
        let holders = stores[0].services.holders(&[name]).await.unwrap();
        assert_eq!(find(&stores[0], &service.fqn).await.is_some(), is_there);
        assert_eq!((ciphertexts[0].is_some(), holders.len()), (is_there, usize::from(is_there)));
    }
}

async fn of_creations_of_one_name_one_wins_and_the_others_find_that_it_exists(store: Store) {
    let stores = in_two_processes(store).await;
    for round in 0..ROUNDS {
        let fqn = format!("shop {round}");
        let writes = (0..8).map(|number: usize| {
            let services = stores[number % 2].services.clone();
            let row = ServiceRow { document: number.to_string(), ..row(&fqn) };
            let sealed = vec![sealed(row.id, "/password", "1", b"x")];
            let write = ServiceWrite { sealed, ..creation(row) };
            async move { services.write(write).await }
        });

        let outcomes = together(writes.collect()).await;

        let winner = only_winner(&outcomes, |error| matches!(error, ServiceWriteError::AlreadyExists));
        assert_eq!(find(&stores[0], &fqn).await.unwrap().row.document, winner.to_string());
    }
    assert_eq!(audit_count(&stores[0]).await, ROUNDS);
}

/// Lets two new services have these names at the same moment; exactly one may, and the other is told of `taken`.
async fn meet(stores: &[Store; 2], round: usize, names: [NameChanges; 2], taken: &[String]) {
    let fqns = ["first", "second"].map(|fqn| format!("{fqn} {round}"));
    let [first, second] = names;
    let writes = [
        ServiceWrite { names: first, ..creation(row(&fqns[0])) },
        ServiceWrite { names: second, ..creation(row(&fqns[1])) },
    ];

    let outcomes = both(stores, writes).await;

    let is_taken =
        |error: &ServiceWriteError| matches!(error, ServiceWriteError::NameTaken(name) if taken.contains(name));
    let winner = only_winner(&outcomes, is_taken);
    assert!(find(&stores[0], &fqns[1 - winner]).await.is_none());
    let service = find(&stores[0], &fqns[winner]).await.unwrap().row.id;
    let holders = stores[0].services.holders(taken).await.unwrap();
    assert!(holders.len() == taken.len() && holders.iter().all(|held| held.service_id == service), "{holders:?}");
}

async fn of_two_claims_of_one_name_one_wins_and_for_the_other_it_is_taken(store: Store) {
    let stores = in_two_processes(store).await;
    for round in 0..ROUNDS {
        let name = format!("/{round}");

        meet(&stores, round, [claiming(&[&name]), claiming(&[&name])], std::slice::from_ref(&name)).await;
    }
}

/// A database that locks names in the order they come in would lock each writer out of the other's.
async fn of_two_claims_of_the_same_names_in_another_order_one_wins(store: Store) {
    let stores = in_two_processes(store).await;
    for round in 0..ROUNDS {
        let names: Vec<String> = (0..10).map(|number| format!("/{round}/{number}")).collect();
        let forwards: Vec<&str> = names.iter().map(String::as_str).collect();
        let backwards: Vec<&str> = forwards.iter().copied().rev().collect();

        meet(&stores, round, [claiming(&forwards), claiming(&backwards)], &names).await;
    }
}

/// Neither sees the other's row before both commit, unless something else keeps them apart.
async fn of_a_claim_and_a_typed_reference_of_one_name_one_wins(store: Store) {
    let stores = in_two_processes(store).await;
    for round in 0..ROUNDS {
        let name = format!("/{round}");

        meet(&stores, round, [claiming(&[&name]), typing(&[&name])], std::slice::from_ref(&name)).await;
    }
}

async fn typed_references_to_one_name_do_not_exclude_each_other(store: Store) {
    let writes = (0..16).map(|number: usize| {
        let services = store.services.clone();
        let write = ServiceWrite { names: typing(&["/a", "/b"]), ..creation(row(&number.to_string())) };
        async move { services.write(write).await }
    });

    let outcomes = together(writes.collect()).await;

    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert!(!store.services.holders(&["/a".to_owned()]).await.unwrap().is_empty());
}

async fn writes_that_do_not_touch_each_other_all_succeed(store: Store) {
    let stores = in_two_processes(store).await;
    let writes = (0..100).map(|number: usize| {
        let services = stores[number % 2].services.clone();
        let (kept, typed) = (format!("/kept/{number}"), format!("/typed/{number}"));
        let names = NameChanges { typed: Some(vec![name(&typed)]), ..claiming(&[&kept]) };
        let row = row(&number.to_string());
        let secrets = ["/a", "/b", "/c"].map(|path| sealed(row.id, path, "1", b"x"));
        let write = ServiceWrite { names, sealed: secrets.into(), ..creation(row.clone()) };
        async move {
            services.write(write).await?;
            services.write(ServiceWrite { names: typing(&[]), ..next(&row) }).await?;
            services.erase(row.id, 2, vec![], entry(AuditAction::HardDelete, row.id, &row.fqn)).await
        }
    });

    let outcomes = together(writes.collect()).await;

    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert!(stores[0].services.is_empty().await.unwrap());
    assert_eq!(audit_count(&stores[0]).await, 300);
}

async fn of_two_principals_of_one_name_one_wins_and_for_the_other_it_is_taken(store: Store) {
    let stores = in_two_processes(store).await;
    for round in 0..ROUNDS {
        let inserts = stores.iter().map(|store| {
            let (principals, row) = (store.principals.clone(), principal(&round.to_string()));
            async move { principals.insert_principal(row, audit()).await }
        });

        let outcomes = together(inserts.collect()).await;

        only_winner(&outcomes, |error| matches!(error, PrincipalWriteError::NameTaken));
    }
    assert_eq!(audit_count(&stores[0]).await, ROUNDS);
}

async fn of_two_changes_of_one_principal_one_wins_and_the_other_is_a_conflict(store: Store) {
    let stores = in_two_processes(store).await;
    let mut row = principal("ci");
    stores[0].principals.insert_principal(row.clone(), audit()).await.unwrap();
    for tag in 2..12 {
        let before = std::mem::replace(&mut row.mac, mac("first-key", tag));
        let updates = stores.iter().map(|store| {
            let (principals, row, before) = (store.principals.clone(), row.clone(), before.clone());
            async move { principals.update_principal(row, before, Some(audit())).await }
        });

        let outcomes = together(updates.collect()).await;

        only_winner(&outcomes, |error| matches!(error, PrincipalWriteError::Conflict));
    }
}

async fn of_two_tokens_of_one_hash_one_wins_and_the_other_is_a_conflict(store: Store) {
    let stores = in_two_processes(store).await;
    let owner = principal("ci");
    stores[0].principals.insert_principal(owner.clone(), audit()).await.unwrap();
    for number in 1..=10 {
        let inserts = stores.iter().map(|store| {
            let (principals, row) = (store.principals.clone(), token(&owner, number));
            async move { principals.insert_token(row, audit()).await }
        });

        let outcomes = together(inserts.collect()).await;

        only_winner(&outcomes, |error| matches!(error, PrincipalWriteError::Conflict));
    }
}

async fn an_envelope_is_replaced_once_however_many_replace_it(store: Store) {
    let stores = in_two_processes(store).await;
    let owner = Uuid::new_v4();
    let secrets: Vec<_> = (0..20).map(|number| sealed(owner, &format!("/{number}"), "1", b"old")).collect();
    for secret in &secrets {
        stores[0].ciphertexts.insert(secret.clone()).await.unwrap();
    }
    let rotations = (0..2).map(|number| {
        let ciphertexts = stores[number].ciphertexts.clone();
        let mut replacements: Vec<_> = secrets
            .iter()
            .map(|secret| {
                let old = CiphertextRow { secret: secret.secret.clone(), ciphertext: secret.ciphertext.clone() };
                (old, sealed(owner, &secret.secret.id.path, "1", &[u8::try_from(number).unwrap()]))
            })
            .collect();
        if number == 1 {
            replacements.reverse();
        }
        async move { ciphertexts.reencrypt(replacements).await.unwrap() }
    });

    let replaced = together(rotations.collect()).await;

    assert_eq!(replaced.iter().sum::<usize>(), secrets.len(), "{replaced:?}");
}

on_every_engine! {
    of_two_writes_of_one_revision_one_wins_and_the_other_is_a_conflict,
    of_many_writes_of_one_revision_one_wins,
    of_a_write_and_an_erasure_of_one_revision_one_wins,
    of_creations_of_one_name_one_wins_and_the_others_find_that_it_exists,
    of_two_claims_of_one_name_one_wins_and_for_the_other_it_is_taken,
    of_two_claims_of_the_same_names_in_another_order_one_wins,
    of_a_claim_and_a_typed_reference_of_one_name_one_wins,
    typed_references_to_one_name_do_not_exclude_each_other,
    writes_that_do_not_touch_each_other_all_succeed,
    of_two_principals_of_one_name_one_wins_and_for_the_other_it_is_taken,
    of_two_changes_of_one_principal_one_wins_and_the_other_is_a_conflict,
    of_two_tokens_of_one_hash_one_wins_and_the_other_is_a_conflict,
    an_envelope_is_replaced_once_however_many_replace_it,
}
