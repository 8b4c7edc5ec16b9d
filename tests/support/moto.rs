//! One moto for all tests of this process: AWS as a program of this machine.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::database_server::DatabaseServer;

/// Where another installation of moto is used.
const PROGRAM: &str = "STRONGROOM_MOTO_SERVER";

const START: &str = r#"exec "$MOTO" -H 127.0.0.1 -p "$PORT""#;

static SERVER: OnceLock<DatabaseServer> = OnceLock::new();

/// The address of moto, which lets pass much that AWS refuses: tests go through the proxy in front of it.
pub(crate) fn url() -> String {
    let server = SERVER.get_or_init(|| DatabaseServer::start_as_self(START, &[("MOTO", program())], "Running on"));
    format!("http://127.0.0.1:{}", server.port)
}

fn program() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/moto-venv/bin/moto_server");
    let program = std::env::var_os(PROGRAM).map_or(installed, PathBuf::from);
    assert!(program.is_file(), "{} is missing: `make test-databases` installs it", program.display());
    program
}
