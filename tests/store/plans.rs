//! What a page costs is what it shows, however many services there are: how many rows the server has read says which
//! plan it chose. (SQLite's plans are looked at in its crate.)

use std::time::{Duration, Instant};

use strongroom_domain::{Family, Include, ListQuery, PageCursor};

use crate::support::stores::{Engine, Store};

/// How many services there are, each with one secret.
const SERVICES: u64 = 20_000;

/// How many rows the pages show.
const LIMIT: u64 = 100;

/// How many pages are read.
const PAGES: u64 = 20;

/// A page reads its services, their secrets, one service more to know whether there is another page, and one on the
/// other side.
const ROWS_A_PAGE: u64 = 2 * (LIMIT + 1) + 1;

async fn a_page_reads_no_more_rows_than_it_shows(store: Store, fill: &str, rows_read: &str) {
    store.change_behind_our_back(fill);

    // The first page of a process counts the services once.
    let counting = rows_read_by(&store, rows_read, 1).await;
    let in_all = rows_read_by(&store, rows_read, 1 + PAGES).await;

    let a_page = (in_all - counting) / PAGES;
    assert!((LIMIT..=ROWS_A_PAGE + ROWS_A_PAGE / 4).contains(&a_page), "{a_page} rows");
}

/// How many rows of services and secrets the server reads for a process that asks for so many pages.
async fn rows_read_by(store: &Store, rows_read: &str, pages: u64) -> u64 {
    let count = || store.query(rows_read).trim().parse::<u64>().unwrap();
    let before = count();
    let process = store.open_again().await;
    for number in 0..pages {
        let (include, cursor) = page(number);
        process.database.changes.changes().await.unwrap();
        let query = ListQuery { family: Family::Database, include, cursor, limit: usize::try_from(LIMIT).unwrap() };
        assert_eq!(process.services.list(query).await.unwrap().services.len() as u64, LIMIT);
    }
    drop(process);
    // PostgreSQL tells what a session read soon after its end.
    let deadline = Instant::now() + Duration::from_secs(10);
    while count() < before + pages * LIMIT {
        assert!(Instant::now() < deadline, "the server does not say what it has read");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    count() - before
}

/// Pages from all places, both ways, of all and of those that are not deleted.
fn page(number: u64) -> (Include, PageCursor) {
    let name = format!("service-{:06}", SERVICES / 4 + number * 100);
    let include = if number % 4 < 2 { Include::NonDeleted } else { Include::All };
    (include, if number.is_multiple_of(2) { PageCursor::After(name) } else { PageCursor::Before(name) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_a_page_reads_no_more_rows_than_it_shows() {
    let fill = format!(
        "INSERT INTO services SELECT gen_random_uuid(), 'database', 'service-' || lpad(n::text, 6, '0'), 0, 1, 1, '{{}}', \
         '[]', 'k', '\\x00' FROM generate_series(1, {SERVICES}) n;
         INSERT INTO ciphertexts SELECT 'service', id, '/a', 'v', 'k', '\\x00' FROM services;
         ANALYZE"
    );
    let rows_read = "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables
                     WHERE relname IN ('services', 'ciphertexts')";

    a_page_reads_no_more_rows_than_it_shows(Store::open(Engine::PostgreSql).await, &fill, rows_read).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_a_page_reads_no_more_rows_than_it_shows() {
    let fill = format!(
        "INSERT INTO services SELECT unhex(md5(seq)), 'database', concat('service-', lpad(seq, 6, '0')), 0, 1, 1, '{{}}', \
         '[]', 'k', 'm' FROM seq_1_to_{SERVICES};
         INSERT INTO ciphertexts SELECT 'service', id, '/a', 'v', 'k', 'c' FROM services;
         ANALYZE TABLE services, ciphertexts"
    );
    let rows_read = "SELECT sum(rows_read) FROM information_schema.table_statistics
                     WHERE table_schema = database() AND table_name IN ('services', 'ciphertexts')";

    a_page_reads_no_more_rows_than_it_shows(Store::open(Engine::MariaDb).await, &fill, rows_read).await;
}
