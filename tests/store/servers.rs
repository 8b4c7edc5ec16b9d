//! The servers that the suite runs on do start.

use crate::support::{mariadb, postgresql};

#[test]
fn postgresql_gives_each_test_an_empty_database_of_its_own() {
    let (one, other) = (postgresql::fresh_database(), postgresql::fresh_database());

    postgresql::query(&one, "CREATE TABLE services (id integer)");
    let answer = postgresql::query(&other, "SELECT 1, to_regclass('services') IS NULL");

    assert_eq!(answer.trim(), "1|t");
}

#[test]
fn postgresql_sorts_text_otherwise_than_by_bytes_unless_told_to() {
    let address = postgresql::fresh_database();

    let answer = postgresql::query(&address, "SELECT 'a' < 'Z', 'a' < 'Z' COLLATE \"C\"");

    assert_eq!(answer.trim(), "t|f");
}

#[test]
fn mariadb_gives_each_test_an_empty_database_of_its_own() {
    let (one, other) = (mariadb::fresh_database(), mariadb::fresh_database());

    mariadb::query(&one, "CREATE TABLE services (id integer)");
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = database()";
    let answer = mariadb::query(&other, &format!("SELECT 1, ({tables})"));

    assert_eq!(answer.trim(), "1\t0");
}
