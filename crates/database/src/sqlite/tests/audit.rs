//! The audit: newest first, filtered, paged.

use strongroom_domain::{AuditAction, AuditEntry, AuditLog, AuditPage, AuditQuery, Family};
use uuid::Uuid;

use super::{Scratch, entry};

async fn page(scratch: &Scratch, query: AuditQuery) -> AuditPage {
    AuditLog::page(&scratch.database, query).await.unwrap()
}

fn all() -> AuditQuery {
    AuditQuery { limit: 1_000, ..AuditQuery::default() }
}

fn times(page: &AuditPage) -> Vec<i64> {
    page.entries.iter().map(|entry| entry.at).collect()
}

#[tokio::test]
async fn an_entry_reads_back_as_it_was() {
    let scratch = Scratch::new();
    let full = AuditEntry {
        actor: "Änna \u{1F600}".to_owned(),
        secret_paths: ["/a~1b/\"\\".to_owned(), "/é".to_owned()].into(),
        address: "2001:db8::1".to_owned(),
        ..entry(AuditAction::RotateKeys, Uuid::new_v4(), "shop.x")
    };
    let bare = AuditEntry { family: None, subject_id: None, secret_paths: [].into(), ..full.clone() };
    scratch.database.record(full.clone()).await.unwrap();
    scratch.database.record(bare.clone()).await.unwrap();

    let read = page(&scratch, all()).await;

    let expected = [AuditEntry { sequence: 2, ..bare }, AuditEntry { sequence: 1, ..full }];
    assert_eq!(format!("{:?}", read.entries), format!("{expected:?}"));
    assert_eq!(read.next, None);
}

#[tokio::test]
async fn filters_by_actor_service_and_time_work_alone_and_together() {
    let scratch = Scratch::new();
    let shop = Uuid::new_v4();
    let rows = [
        (1, "admin", Some(shop), "shop", Some(Family::Database)),
        (3, "worker", Some(shop), "shop", Some(Family::Database)),
        (2, "admin", Some(Uuid::new_v4()), "other", Some(Family::Search)),
        (4, "admin", Some(Uuid::new_v4()), "shop", None),
    ];
    for (at, actor, subject_id, subject, family) in rows {
        let entry =
            AuditEntry { at, actor: actor.to_owned(), subject_id, family, ..entry(AuditAction::Read, shop, subject) };
        scratch.database.record(entry).await.unwrap();
    }
    let service = |service: &str| AuditQuery { service: Some(service.to_owned()), ..all() };

    assert_eq!(times(&page(&scratch, all()).await), [4, 2, 3, 1]);
    assert_eq!(times(&page(&scratch, AuditQuery { actor: Some("worker".to_owned()), ..all() }).await), [3]);
    assert_eq!(times(&page(&scratch, service("shop")).await), [3, 1], "a bot of that name is no service");
    assert_eq!(times(&page(&scratch, service(&shop.to_string())).await), [3, 1]);
    assert_eq!(times(&page(&scratch, AuditQuery { since: Some(2), until: Some(4), ..all() }).await), [2, 3]);
    let both = AuditQuery { actor: Some("admin".to_owned()), since: Some(1), until: Some(2), ..service("shop") };
    assert_eq!(times(&page(&scratch, both).await), [1]);
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repetition() {
    let scratch = Scratch::new();
    for at in 0..25 {
        scratch.database.record(AuditEntry { at, ..entry(AuditAction::Read, Uuid::new_v4(), "x") }).await.unwrap();
    }

    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = page(&scratch, AuditQuery { limit: 10, before_sequence: cursor, ..all() }).await;
        seen.push(times(&page));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }

    assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);
    assert_eq!(seen.concat(), (0..25).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_rare_entry_is_found_far_back() {
    let scratch = Scratch::new();
    scratch
        .database
        .record(AuditEntry { actor: "rare".to_owned(), ..entry(AuditAction::Read, Uuid::new_v4(), "x") })
        .await
        .unwrap();
    scratch
        .other_connection()
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000)
             INSERT INTO audit_entries (at, actor, action, subject, secret_paths, address, request_id)
             SELECT 0, 'admin', 'read', 'x', '[]', '', '' FROM n",
        )
        .unwrap();

    let mut query = AuditQuery { actor: Some("rare".to_owned()), limit: 1, ..AuditQuery::default() };
    let mut found = page(&scratch, query.clone()).await;
    while found.entries.is_empty() && found.next.is_some() {
        query.before_sequence = found.next;
        found = page(&scratch, query.clone()).await;
    }

    assert_eq!(found.entries.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn an_empty_audit_has_an_empty_page() {
    let scratch = Scratch::new();

    let page = page(&scratch, all()).await;

    assert!(page.entries.is_empty());
    assert_eq!(page.next, None);
}
