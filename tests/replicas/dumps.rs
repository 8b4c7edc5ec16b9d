//! Dumps of earlier versions, restored into a new database: every later version starts on them and finds everything.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{SERVICES, Shared, password_at, service};
use crate::support::{mariadb, postgresql};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// A database that was restored, with the key ring that goes with it.
fn restored(mut shared: Shared, fixture: &Path) -> (Shared, String) {
    let ring = TempDir::new().unwrap();
    let data = ring.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::copy(fixture.join("keys"), data.join("keys")).unwrap();
    std::fs::set_permissions(data.join("keys"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    shared.ring = ring;
    (shared, std::fs::read_to_string(fixture.join("admin-token")).unwrap().trim().to_owned())
}

fn is_served_and_written((shared, admin): (Shared, String)) {
    let replicas = [shared.replica(), shared.replica()];

    let dashboard = replicas[1].get("/services/dashboardServices/name/Z%C3%BCrich%20%E2%98%95", &admin).expect(200);
    let deleted = replicas[0].get("/services/messagingServices?include=deleted", &admin).expect(200);
    let shop = replicas[0].get(&format!("{SERVICES}/name/shop"), &admin).expect(200);
    let versions = replicas[1].get(&format!("{SERVICES}/{}/versions", shop["id"].as_str().unwrap()), &admin);

    assert_eq!(shop["connection"]["config"]["authType"]["password"], "second-password");
    assert_eq!(dashboard["connection"]["config"]["connection"]["password"], "dashboard-password");
    assert_eq!((&deleted["data"][0]["name"], &deleted["paging"]["total"]), (&"gone".into(), &1.into()));
    assert_eq!(versions.expect(200)["versions"].as_array().unwrap().len(), 2);
    replicas[0].put(SERVICES, &admin, &service("new", "new-password")).expect(201);
    assert_eq!(password_at(&replicas[1], "new", &admin), "new-password");
}

#[test]
fn a_dump_of_postgresql_with_schema_5_is_served_and_written() {
    let (address, fixture) = (postgresql::fresh_database(), fixture("postgres-schema-5"));
    postgresql::load(&address, &fixture.join("dump.sql"));

    is_served_and_written(restored(Shared::on("postgres", &address), &fixture));
}

#[test]
fn a_dump_of_mariadb_with_schema_5_is_served_and_written() {
    let (address, fixture) = (mariadb::fresh_database(), fixture("mysql-schema-5"));
    mariadb::load(&address, &fixture.join("dump.sql"));

    is_served_and_written(restored(Shared::on("mysql", &address), &fixture));
}
