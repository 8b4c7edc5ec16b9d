//! Pages and totals.

use strongroom_domain::{AuditAction, Family, Include, ListQuery, PageCursor, ServicePage, ServiceRow, ServiceWrite};
use tokio::task::JoinSet;

use super::rows::{create, creation, entry, next, row, sealed};
use crate::support::stores::Store;

async fn list(store: &Store, include: Include, cursor: PageCursor, limit: usize) -> ServicePage {
    store.services.list(ListQuery { family: Family::Database, include, cursor, limit }).await.unwrap()
}

fn fqns(page: &ServicePage) -> Vec<&str> {
    page.services.iter().map(|service| service.row.fqn.as_str()).collect()
}

/// 1,000 services, each third of them deleted; and one of another family.
async fn a_thousand_services(store: &Store) -> Vec<(String, bool)> {
    let mut writes = JoinSet::new();
    let mut expected = Vec::new();
    for number in 0..1_000 {
        // Scattered, and with case pairs, so that the order of bytes shows.
        let fqn = format!("{}{:03}", if number % 2 == 0 { "s" } else { "S" }, number * 7 % 1_000);
        let service = ServiceRow { deleted: number % 3 == 0, ..row(&fqn) };
        expected.push((fqn, service.deleted));
        let sealed = vec![sealed(service.id, "/password", "1", service.fqn.as_bytes())];
        let services = store.services.clone();
        writes.spawn(async move { services.write(ServiceWrite { sealed, ..creation(service) }).await.unwrap() });
    }
    writes.join_all().await;
    store.services.write(creation(ServiceRow { family: Family::Search, ..row("s500") })).await.unwrap();
    expected.sort();
    expected
}

async fn pages_forwards_and_backwards_hold_every_service_once_in_order(store: Store) {
    let services = a_thousand_services(&store).await;
    for include in [Include::All, Include::NonDeleted, Include::Deleted] {
        let expected: Vec<String> =
            services.iter().filter(|service| include.admits(service.1)).map(|service| service.0.clone()).collect();

        let forwards = walk(&store, include, true).await;
        let mut backwards = walk(&store, include, false).await;

        backwards.reverse();
        assert_eq!(forwards.concat(), expected);
        assert_eq!(backwards.concat(), expected);
    }
}

/// Reads all pages of 97 in one direction; each in ascending order.
async fn walk(store: &Store, include: Include, forwards: bool) -> Vec<Vec<String>> {
    let mut cursor = if forwards { PageCursor::Start } else { PageCursor::Before("z".to_owned()) };
    let mut pages: Vec<Vec<String>> = Vec::new();
    loop {
        let page = list(store, include, cursor, 97).await;
        let (ahead, behind) =
            if forwards { (page.has_after, page.has_before) } else { (page.has_before, page.has_after) };
        assert_eq!(behind, !pages.is_empty());
        for service in &page.services {
            assert_eq!(service.ciphertexts.len(), 1);
            assert_eq!(service.ciphertexts[0].ciphertext, service.row.fqn.as_bytes());
        }
        pages.push(fqns(&page).into_iter().map(str::to_owned).collect());
        if !ahead {
            return pages;
        }
        let edge = if forwards { page.services.last() } else { page.services.first() }.unwrap().row.fqn.clone();
        cursor = if forwards { PageCursor::After(edge) } else { PageCursor::Before(edge) };
    }
}

async fn a_page_between_others_says_so_also_when_it_is_empty(store: Store) {
    for fqn in ["b", "d"] {
        create(&store, fqn).await;
    }

    let behind_all = list(&store, Include::All, PageCursor::After("d".to_owned()), 5).await;
    let before_all = list(&store, Include::All, PageCursor::Before("b".to_owned()), 5).await;
    let between = list(&store, Include::All, PageCursor::After("b".to_owned()), 5).await;
    let exactly_all = list(&store, Include::All, PageCursor::Start, 2).await;

    assert_eq!((behind_all.services.len(), behind_all.has_before, behind_all.has_after), (0, true, false));
    assert_eq!((before_all.services.len(), before_all.has_before, before_all.has_after), (0, false, true));
    assert_eq!((fqns(&between), between.has_before, between.has_after), (vec!["d"], true, false));
    assert_eq!((exactly_all.has_before, exactly_all.has_after), (false, false));
}

async fn a_limit_of_zero_gives_the_total_only(store: Store) {
    create(&store, "a").await;

    let page = list(&store, Include::NonDeleted, PageCursor::Start, 0).await;

    assert_eq!((page.services.len(), page.total), (0, 1));
}

/// How many services are not deleted, deleted, and there at all.
async fn totals(store: &Store) -> [u64; 3] {
    let mut totals = [0; 3];
    for (total, include) in totals.iter_mut().zip([Include::NonDeleted, Include::Deleted, Include::All]) {
        *total = list(store, include, PageCursor::Start, 0).await.total;
    }
    totals
}

async fn totals_are_right_after_creating_soft_deleting_restoring_and_erasing(store: Store) {
    assert_eq!(totals(&store).await, [0, 0, 0]);
    let service = create(&store, "a").await;
    create(&store, "b").await;
    assert_eq!(totals(&store).await, [2, 0, 2]);

    let deletion = next(&ServiceRow { deleted: true, ..service });
    let deleted = deletion.row.clone();
    store.services.write(deletion).await.unwrap();
    assert_eq!(totals(&store).await, [1, 1, 2]);

    let restoration = next(&ServiceRow { deleted: false, ..deleted });
    let restored = restoration.row.clone();
    store.services.write(restoration).await.unwrap();
    assert_eq!(totals(&store).await, [2, 0, 2]);

    let audit = entry(AuditAction::HardDelete, restored.id, "a");
    store.services.erase(restored.id, restored.revision, vec![], audit).await.unwrap();
    assert_eq!(totals(&store).await, [1, 0, 1]);
}

async fn what_another_process_writes_and_erases_is_counted_and_listed_at_once(store: Store) {
    let other = store.open_again().await;
    create(&store, "ours").await;
    assert_eq!(totals(&store).await, [1, 0, 1]);

    let theirs = create(&other, "theirs").await;
    let after_writing = list(&store, Include::All, PageCursor::Start, 10).await;
    let audit = entry(AuditAction::HardDelete, theirs.id, "theirs");
    other.services.erase(theirs.id, 1, vec![], audit).await.unwrap();
    let after_erasing = list(&store, Include::All, PageCursor::Start, 10).await;

    assert_eq!((fqns(&after_writing), after_writing.total), (vec!["ours", "theirs"], 2));
    assert_eq!((fqns(&after_erasing), after_erasing.total), (vec!["ours"], 1));
}

async fn rows_that_are_gone_behind_our_back_are_not_counted(store: Store) {
    create(&store, "a").await;
    assert_eq!(totals(&store).await, [1, 0, 1]);

    store.change_behind_our_back("DELETE FROM services");

    assert_eq!(totals(&store).await, [0, 0, 0]);
}

on_every_engine! {
    pages_forwards_and_backwards_hold_every_service_once_in_order,
    a_page_between_others_says_so_also_when_it_is_empty,
    a_limit_of_zero_gives_the_total_only,
    totals_are_right_after_creating_soft_deleting_restoring_and_erasing,
    what_another_process_writes_and_erases_is_counted_and_listed_at_once,
    rows_that_are_gone_behind_our_back_are_not_counted,
}
