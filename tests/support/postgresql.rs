//! A real PostgreSQL server, one for all tests of this process.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use super::database_server::{DatabaseAddress, DatabaseServer, find_program, run};

const PACKAGE: &str = "postgresql";

const START: &str = r#"
    printf %s superuser >password
    "$INITDB" --pgdata data --username postgres --pwfile password --auth scram-sha-256 --encoding UTF8 --locale C \
        --no-sync &&
    exec "$POSTGRES" -D data -p "$PORT" -h 127.0.0.1 -c unix_socket_directories= -c max_connections=300 \
"#;

/// Nothing has to outlive the machine.
const FAST: &str = "-c fsync=off";

static SERVER: OnceLock<DatabaseServer> = OnceLock::new();

/// A new and empty database, which belongs to an ordinary user. It sorts text as people do, not by bytes, as databases
/// in the wild do.
pub(crate) fn fresh_database() -> DatabaseAddress {
    new_database(SERVER.get_or_init(|| start(FAST)))
}

/// A new and empty database on this server.
pub(crate) fn new_database(server: &DatabaseServer) -> DatabaseAddress {
    let address = DatabaseAddress::of_new_database(server);
    let locale = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'";
    let any = DatabaseAddress::of(server, "postgres");
    query(&any, &format!("CREATE DATABASE {} {locale}", address.name));
    address
}

/// What the command line client prints for this SQL: a line for each row, values between bars.
#[track_caller]
pub(crate) fn query(address: &DatabaseAddress, sql: &str) -> String {
    run(psql(address).args(["--command", sql]))
}

/// Restores a dump into an empty database.
#[track_caller]
pub(crate) fn load(address: &DatabaseAddress, dump: &Path) {
    run(psql(address).arg("--file").arg(dump));
}

fn psql(address: &DatabaseAddress) -> Command {
    let mut psql = Command::new(find_program("psql", PACKAGE));
    psql.env("PGPASSWORD", &address.password).env("PGCLIENTENCODING", "UTF8");
    psql.args(["--no-psqlrc", "--no-password", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]);
    psql.args(["--host", &address.host, "--port", &address.port.to_string(), "--username", &address.user]);
    psql.args(["--dbname", &address.name]);
    psql
}

/// Starts a server of its own with further options.
pub(crate) fn start(options: &str) -> DatabaseServer {
    let programs = [("INITDB", find_program("initdb", PACKAGE)), ("POSTGRES", find_program("postgres", PACKAGE))];
    let server = DatabaseServer::start(
        &format!("{START}{options}"),
        &programs,
        "database system is ready to accept connections",
    );
    let user = DatabaseAddress::of(&server, "postgres");
    let superuser = DatabaseAddress { user: "postgres".to_owned(), password: "superuser".to_owned(), ..user.clone() };
    let password = user.password.replace('\'', "''");
    query(&superuser, &format!("CREATE ROLE {} LOGIN CREATEDB PASSWORD '{password}'", user.user));
    server
}
