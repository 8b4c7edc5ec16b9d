//! Data directories of earlier versions: every later one starts on them and finds everything.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::support::server::Server;

/// A copy of a data directory that is kept with the tests.
fn copy_of(fixture: &str) -> TempDir {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(fixture);
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    for file in ["strongroom.db", "keys", "admin-token"] {
        std::fs::copy(from.join(file), data.join(file)).unwrap();
        let only_ours = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(data.join(file), only_ours).unwrap();
    }
    std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    folder
}

#[test]
fn a_database_of_the_first_schema_is_served_and_written() {
    let server = Server::start_in(copy_of("sqlite-schema-4"), &[]);
    let admin = server.admin();

    let shop = server.get("/services/databaseServices/name/shop", &admin).expect(200);
    let dashboard = server.get("/services/dashboardServices/name/Z%C3%BCrich%20%E2%98%95", &admin).expect(200);
    let deleted = server.get("/services/messagingServices?include=deleted", &admin).expect(200);
    let versions = server.get(&format!("/services/databaseServices/{}/versions", shop["id"].as_str().unwrap()), &admin);

    assert_eq!(shop["connection"]["config"]["authType"]["password"], "second-password");
    assert_eq!(dashboard["connection"]["config"]["connection"]["password"], "dashboard-password");
    assert_eq!(deleted["data"][0]["name"], "gone");
    assert_eq!(versions.expect(200)["versions"].as_array().unwrap().len(), 2);
    let change = json!([{"op": "replace", "path": "/connection/config/hostPort", "value": "db2:3306"}]);
    server.patch("/services/databaseServices/name/shop", &admin, &change).expect(200);
    let shop = server.get("/services/databaseServices/name/shop", &admin).expect(200);
    assert_eq!(shop["connection"]["config"]["authType"]["password"], "second-password");
}
