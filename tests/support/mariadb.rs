//! A real MariaDB server, one for all tests of this process.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use super::database_server::{DatabaseAddress, DatabaseServer, find_program, run};

const PACKAGE: &str = "mariadb-server";

const START: &str = r#"
    cat >users.sql <<'END'
CREATE USER strongroom@'127.0.0.1' IDENTIFIED BY 'strongroom''s password';
GRANT ALL ON `test\_%`.* TO strongroom@'127.0.0.1';
END
    "$INSTALL" --no-defaults --datadir="$PWD/data" --skip-test-db --auth-root-authentication-method=normal \
        --skip-name-resolve &&
    exec "$MARIADBD" --no-defaults --datadir="$PWD/data" --port="$PORT" --bind-address=127.0.0.1 --socket=socket \
        --pid-file=pid --skip-networking=0 --skip-name-resolve --init-file="$PWD/users.sql" --max-connections=300 \
"#;

/// Nothing has to outlive the machine; and how many rows of each table were read is counted.
const FAST: &str = "--innodb-flush-log-at-trx-commit=0 --innodb-fast-shutdown=2 --userstat=1";

static SERVER: OnceLock<DatabaseServer> = OnceLock::new();

/// A new and empty database, which an ordinary user may fill. It has the server's default character set, which is not
/// UTF-8 everywhere.
pub(crate) fn fresh_database() -> DatabaseAddress {
    new_database(SERVER.get_or_init(|| start(FAST)))
}

/// A new and empty database on this server.
pub(crate) fn new_database(server: &DatabaseServer) -> DatabaseAddress {
    let address = DatabaseAddress::of_new_database(server);
    query(&DatabaseAddress::of(server, ""), &format!("CREATE DATABASE {}", address.name));
    address
}

/// What the command line client prints for this SQL: a line for each row, values between tabs.
#[track_caller]
pub(crate) fn query(address: &DatabaseAddress, sql: &str) -> String {
    let mut mariadb = Command::new(find_program("mariadb", PACKAGE));
    mariadb.env("MYSQL_PWD", &address.password);
    mariadb.args(["--no-defaults", "--protocol=TCP", "--default-character-set=utf8mb4", "--batch"]);
    mariadb.args(["--skip-column-names", "--host", &address.host, "--port", &address.port.to_string()]);
    run(mariadb.args(["--user", &address.user, "--execute", sql, &address.name]))
}

/// Restores a dump into an empty database.
#[track_caller]
pub(crate) fn load(address: &DatabaseAddress, dump: &Path) {
    query(address, &format!("source {}", dump.display()));
}

/// Starts a server of its own with further options.
pub(crate) fn start(options: &str) -> DatabaseServer {
    let programs =
        [("INSTALL", find_program("mariadb-install-db", PACKAGE)), ("MARIADBD", find_program("mariadbd", PACKAGE))];
    DatabaseServer::start(&format!("{START}{options}"), &programs, "ready for connections")
}
