//! Services are listed by the bytes of their names, whatever the language of the server; cursors agree with that.

use strongroom_domain::{Family, Include, ListQuery, PageCursor, ServicePage};

use super::rows::create;
use crate::support::stores::Store;

/// In the order of their bytes, in which no dictionary has them, nor UTF-16.
const SORTED: [&str; 25] = [
    " ",
    "!",
    "\"quoted.name\"",
    "-",
    "10",
    "9",
    "A",
    "B",
    "Z",
    "Zebra",
    "_",
    "a",
    "a ",
    "a-b",
    "aB",
    "ab",
    "b",
    "e\u{301}",
    "z",
    "\u{e4}",
    "\u{e9}",
    "\u{3a9}",
    "\u{4e2d}",
    "\u{ffee}",
    "\u{1F600}",
];

async fn fill(store: &Store) {
    // Neither in the order of the names nor against it.
    for number in 0..SORTED.len() {
        create(store, SORTED[number * 7 % SORTED.len()]).await;
    }
}

async fn list(store: &Store, cursor: PageCursor, limit: usize) -> ServicePage {
    let query = ListQuery { family: Family::Database, include: Include::All, cursor, limit };
    store.services.list(query).await.unwrap()
}

fn fqns(page: &ServicePage) -> Vec<&str> {
    page.services.iter().map(|service| service.row.fqn.as_str()).collect()
}

async fn the_order_is_that_of_bytes(store: Store) {
    fill(&store).await;

    let page = list(&store, PageCursor::Start, 100).await;

    assert!(SORTED.is_sorted_by(|one, other| one.as_bytes() < other.as_bytes()));
    assert_eq!(fqns(&page), SORTED);
    assert_eq!((page.total, page.has_before, page.has_after), (SORTED.len() as u64, false, false));
}

async fn pages_behind_each_name_begin_with_the_next_one(store: Store) {
    fill(&store).await;

    for (index, name) in SORTED.iter().enumerate() {
        let page = list(&store, PageCursor::After((*name).to_owned()), 3).await;

        let behind = &SORTED[index + 1..];
        assert_eq!(fqns(&page), behind[..behind.len().min(3)], "behind {name:?}");
        assert_eq!((page.has_before, page.has_after), (true, behind.len() > 3), "behind {name:?}");
    }
}

async fn pages_before_each_name_end_with_the_one_before(store: Store) {
    fill(&store).await;

    for (index, name) in SORTED.iter().enumerate() {
        let page = list(&store, PageCursor::Before((*name).to_owned()), 3).await;

        assert_eq!(fqns(&page), SORTED[index.saturating_sub(3)..index], "before {name:?}");
        assert_eq!((page.has_before, page.has_after), (index > 3, true), "before {name:?}");
    }
}

async fn a_cursor_whose_service_is_gone_still_stands_between_the_others(store: Store) {
    fill(&store).await;

    let behind = list(&store, PageCursor::After("Zeta".to_owned()), 1).await;
    let before = list(&store, PageCursor::Before("Zeta".to_owned()), 1).await;

    assert_eq!((fqns(&before), fqns(&behind)), (vec!["Zebra"], vec!["_"]));
}

on_every_engine! {
    the_order_is_that_of_bytes,
    pages_behind_each_name_begin_with_the_next_one,
    pages_before_each_name_end_with_the_one_before,
    a_cursor_whose_service_is_gone_still_stands_between_the_others,
}
