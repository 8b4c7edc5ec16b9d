//! The audit: newest first, filtered, paged.

use strongroom_domain::{AuditAction, AuditEntry, AuditPage, AuditQuery, Family};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::rows::entry;
use crate::support::stores::Store;

async fn page(store: &Store, query: AuditQuery) -> AuditPage {
    store.audit.page(query).await.unwrap()
}

fn all() -> AuditQuery {
    AuditQuery { limit: 1_000, ..AuditQuery::default() }
}

fn times(page: &AuditPage) -> Vec<i64> {
    page.entries.iter().map(|entry| entry.at).collect()
}

fn with_actor(actor: &str) -> AuditQuery {
    AuditQuery { actor: Some(actor.to_owned()), ..all() }
}

fn with_service(service: &str) -> AuditQuery {
    AuditQuery { service: Some(service.to_owned()), ..all() }
}

async fn an_entry_reads_back_as_it_was(store: Store) {
    let full = AuditEntry {
        at: i64::MAX,
        actor: " Änna e\u{301} \u{1F600} ".to_owned(),
        secret_paths: ["/a~1b/\"\\\u{1}'%".to_owned(), "/é".to_owned(), String::new()].into(),
        address: "2001:db8::1".to_owned(),
        request_id: "Request \u{1F600} ".into(),
        ..entry(AuditAction::RotateKeys, Uuid::new_v4(), "\"häuser.\u{1F600}\" ")
    };
    let bare = AuditEntry {
        at: 0,
        family: None,
        subject_id: None,
        secret_paths: [].into(),
        address: String::new(),
        request_id: "".into(),
        ..full.clone()
    };
    store.audit.record(full.clone()).await.unwrap();
    store.audit.record(bare.clone()).await.unwrap();

    let read = page(&store, all()).await;

    let sequences: Vec<i64> = read.entries.iter().map(|entry| entry.sequence).collect();
    let expected = [AuditEntry { sequence: sequences[0], ..bare }, AuditEntry { sequence: sequences[1], ..full }];
    assert_eq!(format!("{:?}", read.entries), format!("{expected:?}"));
    assert!(sequences[0] > sequences[1] && sequences[1] > 0, "{sequences:?}");
    assert_eq!(read.next, None);
}

async fn every_action_and_family_reads_back(store: Store) {
    let actions = [
        AuditAction::Read,
        AuditAction::Create,
        AuditAction::Update,
        AuditAction::SoftDelete,
        AuditAction::HardDelete,
        AuditAction::Restore,
        AuditAction::TestResult,
        AuditAction::CreatePrincipal,
        AuditAction::DisablePrincipal,
        AuditAction::CreateToken,
        AuditAction::RevokeToken,
        AuditAction::RotateKeys,
    ];
    let written: Vec<_> = actions.into_iter().cycle().zip(Family::ALL).collect();
    for (action, family) in &written {
        let entry = AuditEntry { family: Some(*family), ..entry(*action, Uuid::new_v4(), "x") };
        store.audit.record(entry).await.unwrap();
    }

    let read = page(&store, all()).await;

    let read: Vec<_> = read.entries.iter().rev().map(|entry| (entry.action, entry.family.unwrap())).collect();
    assert!(written.len() >= actions.len());
    assert_eq!(read, written);
}

async fn filters_by_actor_service_and_time_work_alone_and_together(store: Store) {
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
        store.audit.record(entry).await.unwrap();
    }
    let between = |since, until| AuditQuery { since: Some(since), until: Some(until), ..all() };
    let together = AuditQuery { actor: Some("admin".to_owned()), service: Some("shop".to_owned()), ..between(1, 2) };

    assert_eq!(times(&page(&store, all()).await), [4, 2, 3, 1]);
    assert_eq!(times(&page(&store, with_actor("worker")).await), [3]);
    assert_eq!(times(&page(&store, with_service("shop")).await), [3, 1], "a bot of that name is no service");
    assert_eq!(times(&page(&store, with_service(&shop.to_string())).await), [3, 1]);
    assert_eq!(times(&page(&store, between(2, 4)).await), [2, 3]);
    assert_eq!(times(&page(&store, together).await), [1]);
}

async fn a_filter_takes_no_name_for_another_that_looks_alike(store: Store) {
    let names = ["shop", "Shop", "shop ", "sh\u{f6}p", "sho\u{308}p", "shop%", "sh_p", "sh\u{1F600}p", "sh\u{1F601}p"];
    for (at, name) in (0..).zip(names) {
        let entry = AuditEntry { at, actor: name.to_owned(), ..entry(AuditAction::Read, Uuid::new_v4(), name) };
        store.audit.record(entry).await.unwrap();
    }

    for (at, name) in (0..).zip(names) {
        let of_actor = page(&store, with_actor(name)).await;
        let of_service = page(&store, with_service(name)).await;

        assert_eq!((times(&of_actor), times(&of_service)), (vec![at], vec![at]), "{name:?}");
    }
}

async fn a_filter_by_what_no_row_can_hold_finds_nothing(store: Store) {
    store.audit.record(entry(AuditAction::Read, Uuid::new_v4(), "shop")).await.unwrap();

    for text in ["admin\0", "\0", "\u{fffd}", ""] {
        let of_actor = page(&store, with_actor(text)).await;
        let of_service = page(&store, with_service(text)).await;

        assert_eq!((of_actor.entries.len(), of_service.entries.len()), (0, 0), "{text:?}");
    }
}

async fn pages_follow_each_other_without_gap_or_repetition(store: Store) {
    for at in 0..25 {
        store.audit.record(AuditEntry { at, ..entry(AuditAction::Read, Uuid::new_v4(), "x") }).await.unwrap();
    }

    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = page(&store, AuditQuery { limit: 10, before_sequence: cursor, ..all() }).await;
        seen.push(times(&page));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }

    assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);
    assert_eq!(seen.concat(), (0..25).rev().collect::<Vec<_>>());
}

async fn pages_of_a_filter_follow_each_other_too(store: Store) {
    for at in 0..30 {
        let actor = if at % 3 == 0 { "rare" } else { "admin" };
        let entry = entry(AuditAction::Read, Uuid::new_v4(), "x");
        store.audit.record(AuditEntry { at, actor: actor.to_owned(), ..entry }).await.unwrap();
    }

    let mut seen = Vec::new();
    let mut query = AuditQuery { limit: 4, ..with_actor("rare") };
    loop {
        let page = page(&store, query.clone()).await;
        seen.extend(times(&page));
        query.before_sequence = page.next;
        if page.next.is_none() {
            break;
        }
    }

    assert_eq!(seen, [27, 24, 21, 18, 15, 12, 9, 6, 3, 0]);
}

async fn entries_recorded_at_once_are_all_there_with_a_number_of_their_own(store: Store) {
    let mut records = JoinSet::new();
    for at in 0..200 {
        let audit = store.audit.clone();
        let entry = AuditEntry { at, ..entry(AuditAction::Read, Uuid::new_v4(), "x") };
        records.spawn(async move { audit.record(entry).await.unwrap() });
    }
    records.join_all().await;

    let read = page(&store, all()).await;

    assert!(read.entries.is_sorted_by(|one, other| one.sequence > other.sequence));
    let mut times = times(&read);
    times.sort_unstable();
    assert_eq!(times, (0..200).collect::<Vec<_>>());
}

async fn an_empty_audit_has_an_empty_page(store: Store) {
    let page = page(&store, all()).await;

    assert!(page.entries.is_empty());
    assert_eq!(page.next, None);
}

on_every_engine! {
    an_entry_reads_back_as_it_was,
    every_action_and_family_reads_back,
    filters_by_actor_service_and_time_work_alone_and_together,
    a_filter_takes_no_name_for_another_that_looks_alike,
    a_filter_by_what_no_row_can_hold_finds_nothing,
    pages_follow_each_other_without_gap_or_repetition,
    pages_of_a_filter_follow_each_other_too,
    entries_recorded_at_once_are_all_there_with_a_number_of_their_own,
    an_empty_audit_has_an_empty_page,
}
