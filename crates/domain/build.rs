//! Lists the files under `config/connection-types`, so that the crate can include them all.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = Path::new("../../config/connection-types").canonicalize()?;
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    for folder in fs::read_dir(&root)? {
        let folder = folder?.path();
        if folder.is_dir() {
            files
                .extend(fs::read_dir(&folder)?.map(|entry| entry.map(|it| it.path())).collect::<io::Result<Vec<_>>>()?);
        }
    }
    files.sort();
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?);
    fs::write(out.join("connection_type_files.rs"), listing(&root, &files))
}

fn listing(root: &Path, files: &[PathBuf]) -> String {
    let mut listing = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(file).display();
        let _ = writeln!(listing, "    ({:?}, include_str!({:?})),", name.to_string(), file.display().to_string());
    }
    listing.push(']');
    listing
}
