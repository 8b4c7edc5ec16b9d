//! What lies in the file: nothing that was erased, and maybe what others wrote there.

use strongroom_domain::{AuditAction, Family, Include, ListQuery, PageCursor, ServiceStore, ServiceWrite};

use super::{Scratch, creation, entry, row, sealed, write};

#[tokio::test]
async fn what_was_erased_is_not_in_the_file_any_more() {
    let scratch = Scratch::new();
    let first = row("shop");
    let canary = b"canary-4711-".repeat(700);
    let secret = sealed(first.id, "/password", "1", &canary);
    write(&scratch.database, ServiceWrite { sealed: vec![secret], ..creation(first.clone()) }).await.unwrap();

    scratch.database.erase(first.id, 1, vec![], entry(AuditAction::HardDelete, first.id, "shop")).await.unwrap();

    // The last connection to close empties the log into the file.
    let Scratch { database, path, folder: _folder } = scratch;
    drop(database);
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(11).any(|window| window == b"canary-4711"));
}

#[tokio::test]
async fn a_row_whose_text_was_broken_behind_our_back_spoils_no_list() {
    let scratch = Scratch::new();
    scratch.create("a").await;
    scratch.create("b").await;
    scratch
        .other_connection()
        .execute("UPDATE services SET document = CAST(x'ff7b' AS TEXT), version = -1 WHERE fqn = 'a'", [])
        .unwrap();

    let query = ListQuery { family: Family::Database, include: Include::All, cursor: PageCursor::Start, limit: 10 };
    let page = scratch.database.list(query).await.unwrap();

    assert_eq!(page.services.len(), 2);
    assert_eq!(page.services[0].row.document, "\u{fffd}{");
}
