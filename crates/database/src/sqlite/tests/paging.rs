//! Pages and totals.

use strongroom_domain::{
    AuditAction, Family, Include, ListQuery, PageCursor, ServicePage, ServiceRow, ServiceStore, ServiceWrite,
};

use super::super::services::{EXISTS_SQL, ROWS_SQL};
use super::{Scratch, creation, entry, next, row, sealed, write};

fn query(include: Include, cursor: PageCursor, limit: usize) -> ListQuery {
    ListQuery { family: Family::Database, include, cursor, limit }
}

fn fqns(page: &ServicePage) -> Vec<String> {
    page.services.iter().map(|service| service.row.fqn.clone()).collect()
}

async fn list(scratch: &Scratch, include: Include, cursor: PageCursor, limit: usize) -> ServicePage {
    scratch.database.list(query(include, cursor, limit)).await.unwrap()
}

/// 1,000 services, each third of them deleted; and one of another family.
async fn a_thousand_services(scratch: &Scratch) -> Vec<(String, bool)> {
    let mut tasks = Vec::new();
    let mut expected = Vec::new();
    for number in 0..1_000 {
        // Scattered, and with case pairs, so that the order of bytes shows.
        let fqn = format!("{}{:03}", if number % 2 == 0 { "s" } else { "S" }, number * 7 % 1_000);
        let service = ServiceRow { deleted: number % 3 == 0, ..row(&fqn) };
        expected.push((fqn, service.deleted));
        let sealed = vec![sealed(service.id, "/password", "1", service.fqn.as_bytes())];
        let database = scratch.database.clone();
        tasks.push(tokio::spawn(async move { write(&database, ServiceWrite { sealed, ..creation(service) }).await }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    write(&scratch.database, creation(ServiceRow { family: Family::Search, ..row("s500") })).await.unwrap();
    expected.sort();
    expected
}

#[tokio::test]
async fn pages_forwards_and_backwards_hold_every_service_once_in_order() {
    let scratch = Scratch::new();
    let services = a_thousand_services(&scratch).await;
    for include in [Include::All, Include::NonDeleted, Include::Deleted] {
        let expected: Vec<String> =
            services.iter().filter(|service| include.admits(service.1)).map(|service| service.0.clone()).collect();

        let forwards = walk(&scratch, include, true).await;
        let mut backwards = walk(&scratch, include, false).await;
        backwards.reverse();

        assert_eq!(forwards.concat(), expected);
        assert_eq!(backwards.concat(), expected);
    }
}

/// Reads all pages of 97 in one direction; each in ascending order.
async fn walk(scratch: &Scratch, include: Include, forwards: bool) -> Vec<Vec<String>> {
    let mut cursor = if forwards { PageCursor::Start } else { PageCursor::Before("z".to_owned()) };
    let mut pages: Vec<Vec<String>> = Vec::new();
    loop {
        let page = list(scratch, include, cursor, 97).await;
        let (ahead, behind) =
            if forwards { (page.has_after, page.has_before) } else { (page.has_before, page.has_after) };
        assert_eq!(behind, !pages.is_empty());
        for service in &page.services {
            assert_eq!(service.ciphertexts.len(), 1);
            assert_eq!(service.ciphertexts[0].ciphertext, service.row.fqn.as_bytes());
        }
        pages.push(fqns(&page));
        if !ahead {
            return pages;
        }
        let edge = if forwards { page.services.last() } else { page.services.first() }.unwrap().row.fqn.clone();
        cursor = if forwards { PageCursor::After(edge) } else { PageCursor::Before(edge) };
    }
}

#[tokio::test]
async fn a_page_between_others_says_so_also_when_it_is_empty() {
    let scratch = Scratch::new();
    for fqn in ["b", "d"] {
        scratch.create(fqn).await;
    }

    let behind_all = list(&scratch, Include::All, PageCursor::After("d".to_owned()), 5).await;
    let before_all = list(&scratch, Include::All, PageCursor::Before("b".to_owned()), 5).await;
    let between = list(&scratch, Include::All, PageCursor::After("b".to_owned()), 5).await;
    let exactly_all = list(&scratch, Include::All, PageCursor::Start, 2).await;

    assert_eq!((behind_all.services.len(), behind_all.has_before, behind_all.has_after), (0, true, false));
    assert_eq!((before_all.services.len(), before_all.has_before, before_all.has_after), (0, false, true));
    assert_eq!((fqns(&between), between.has_before, between.has_after), (vec!["d".to_owned()], true, false));
    assert_eq!((exactly_all.has_before, exactly_all.has_after), (false, false));
}

#[tokio::test]
async fn a_limit_of_zero_gives_the_total_only() {
    let scratch = Scratch::new();
    scratch.create("a").await;

    let page = list(&scratch, Include::NonDeleted, PageCursor::Start, 0).await;

    assert_eq!((page.services.len(), page.total), (0, 1));
}

#[tokio::test]
async fn totals_are_right_after_creating_soft_deleting_restoring_and_erasing() {
    let scratch = Scratch::new();
    let totals = async || {
        let mut totals = [0; 3];
        for (total, include) in totals.iter_mut().zip([Include::NonDeleted, Include::Deleted, Include::All]) {
            *total = list(&scratch, include, PageCursor::Start, 0).await.total;
        }
        totals
    };
    assert_eq!(totals().await, [0, 0, 0]);
    let service = scratch.create("a").await;
    scratch.create("b").await;
    assert_eq!(totals().await, [2, 0, 2]);

    let deletion = next(&ServiceRow { deleted: true, ..service });
    let deleted = deletion.row.clone();
    write(&scratch.database, deletion).await.unwrap();
    assert_eq!(totals().await, [1, 1, 2]);

    let restoration = next(&ServiceRow { deleted: false, ..deleted });
    let restored = restoration.row.clone();
    write(&scratch.database, restoration).await.unwrap();
    assert_eq!(totals().await, [2, 0, 2]);

    let audit = entry(AuditAction::HardDelete, restored.id, "a");
    scratch.database.erase(restored.id, restored.revision, audit).await.unwrap();
    assert_eq!(totals().await, [1, 0, 1]);

    scratch.other_connection().execute("DELETE FROM services", []).unwrap();
    assert_eq!(totals().await, [0, 0, 0]);
}

#[tokio::test]
async fn no_page_needs_a_full_scan_or_a_sort() {
    let scratch = Scratch::new();
    let connection = scratch.other_connection();
    for (_, _, sql) in ROWS_SQL.iter().chain(&EXISTS_SQL) {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let values = vec![rusqlite::types::Value::Null; statement.parameter_count()];
        let steps: Vec<String> = statement
            .query_map(rusqlite::params_from_iter(values), |row| row.get(3))
            .unwrap()
            .map(Result::unwrap)
            .collect();

        let plan = steps.join("; ");
        assert_eq!(steps.len(), 1, "{plan}");
        assert!(plan.starts_with("SEARCH services USING"), "{plan}");
        assert!(plan.contains("fqn"), "{plan}");
    }
}
