//! Dumps of earlier versions, restored into a new database: every later version starts on them and finds everything.

use super::{SERVICES, Shared, password_at, service};
use crate::support::fixtures::{data_directory, everything_is_there, fixture};
use crate::support::{mariadb, postgresql};

fn is_served_and_written(mut shared: Shared, name: &str) {
    shared.ring = data_directory(&fixture(name), &["keys"]);
    let admin = std::fs::read_to_string(fixture(name).join("admin-token")).unwrap().trim().to_owned();
    let replicas = [shared.replica(), shared.replica()];

    for replica in &replicas {
        everything_is_there(replica, &admin);
    }

    replicas[0].put(SERVICES, &admin, &service("new", "new-password")).expect(201);
    assert_eq!(password_at(&replicas[1], "new", &admin), "new-password");
}

fn a_dump_of_postgresql(name: &str) {
    let address = postgresql::fresh_database();
    postgresql::load(&address, &fixture(name).join("dump.sql"));
    is_served_and_written(Shared::on("postgres", &address), name);
}

fn a_dump_of_mariadb(name: &str) {
    let address = mariadb::fresh_database();
    mariadb::load(&address, &fixture(name).join("dump.sql"));
    is_served_and_written(Shared::on("mysql", &address), name);
}

#[test]
fn a_dump_of_postgresql_with_schema_5_is_served_and_written() {
    a_dump_of_postgresql("postgres-schema-5");
}

#[test]
fn a_dump_of_postgresql_with_schema_6_is_served_and_written() {
    a_dump_of_postgresql("postgres-schema-6");
}

#[test]
fn a_dump_of_mariadb_with_schema_5_is_served_and_written() {
    a_dump_of_mariadb("mysql-schema-5");
}

#[test]
fn a_dump_of_mariadb_with_schema_6_is_served_and_written() {
    a_dump_of_mariadb("mysql-schema-6");
}
