//! What earlier versions left, kept with the tests: the same services in each, on every engine.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::server::{DATABASES, Server};

/// The folder of a fixture.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// A new folder with a data directory that holds these files of a fixture.
pub(crate) fn data_directory(fixture: &Path, files: &[&str]) -> TempDir {
    let only_ours = |mode| PermissionsExt::from_mode(mode);
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    for file in files {
        std::fs::copy(fixture.join(file), data.join(file)).unwrap();
        std::fs::set_permissions(data.join(file), only_ours(0o600)).unwrap();
    }
    std::fs::set_permissions(&data, only_ours(0o700)).unwrap();
    folder
}

/// Everything that was stored is there, with secrets, history and what was deleted.
#[track_caller]
pub(crate) fn everything_is_there(server: &Server, admin: &str) {
    let shop = server.get(&format!("{DATABASES}/name/shop"), admin).expect(200);
    let dashboard = server.get("/services/dashboardServices/name/Z%C3%BCrich%20%E2%98%95", admin).expect(200);
    let deleted = server.get("/services/messagingServices?include=deleted", admin).expect(200);
    let versions = server.get(&format!("{DATABASES}/{}/versions", shop["id"].as_str().unwrap()), admin).expect(200);

    assert_eq!(shop["connection"]["config"]["authType"]["password"], "second-password");
    assert_eq!(dashboard["connection"]["config"]["connection"]["password"], "dashboard-password");
    assert_eq!((&deleted["data"][0]["name"], &deleted["paging"]["total"]), (&"gone".into(), &1.into()));
    assert_eq!(versions["versions"].as_array().unwrap().len(), 2);
}
