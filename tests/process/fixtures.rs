//! Data directories of earlier versions: every later one starts on them and finds everything.

use serde_json::json;

use crate::support::fixtures::{data_directory, everything_is_there, fixture};
use crate::support::server::{DATABASES, Server};

#[test]
fn a_database_of_the_first_schema_is_served_and_written() {
    let files = ["strongroom.db", "keys", "admin-token"];
    let server = Server::start_in(data_directory(&fixture("sqlite-schema-4"), &files), &[]);
    let admin = server.admin();

    everything_is_there(&server, &admin);

    let change = json!([{"op": "replace", "path": "/connection/config/hostPort", "value": "db2:3306"}]);
    server.patch(&format!("{DATABASES}/name/shop"), &admin, &change).expect(200);
    let shop = server.get(&format!("{DATABASES}/name/shop"), &admin).expect(200);
    assert_eq!(shop["connection"]["config"]["hostPort"], "db2:3306");
    assert_eq!(shop["connection"]["config"]["authType"]["password"], "second-password");
}
