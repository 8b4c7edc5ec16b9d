//! The layers of `docs/architecture.md`: no crate depends on another unless the arrow is drawn there.

use std::process::Command;

use serde_json::Value;

/// Each crate of ours, the crates of ours that it may know, and the libraries that would put it in the wrong layer.
const LAYERS: &[Layer] = &[
    Layer {
        name: "strongroom-domain",
        may_know: &[],
        must_not_know: &[
            "axum",
            "http",
            "hyper",
            "hyper-util",
            "tower",
            "tokio",
            "sqlx",
            "rusqlite",
            "reqwest",
            "clap",
        ],
    },
    Layer {
        name: "strongroom-secrets-managers",
        may_know: &["strongroom-domain"],
        must_not_know: &["axum", "hyper", "tower", "sqlx", "rusqlite", "clap"],
    },
    Layer {
        name: "strongroom-database",
        may_know: &["strongroom-domain"],
        must_not_know: &["axum", "http", "hyper", "tower", "aes-gcm", "hkdf", "secrecy", "clap"],
    },
    Layer {
        name: "strongroom-http-api",
        may_know: &["strongroom-domain"],
        must_not_know: &["sqlx", "rusqlite", "aes-gcm", "hkdf", "serde-saphyr", "clap"],
    },
    Layer {
        name: "strongroom-server",
        may_know: &["strongroom-domain", "strongroom-http-api", "strongroom-database", "strongroom-secrets-managers"],
        must_not_know: &["sqlx", "rusqlite", "aes-gcm", "hkdf"],
    },
    Layer {
        name: "strongroom-worker",
        may_know: &["strongroom-domain", "strongroom-secrets-managers"],
        must_not_know: &["axum", "sqlx", "rusqlite"],
    },
];

/// Drives all crates together, and is part of no program.
const TESTS: &str = "strongroom-tests";

struct Layer {
    name: &'static str,
    may_know: &'static [&'static str],
    must_not_know: &'static [&'static str],
}

/// The packages of the workspace, as cargo sees them.
fn packages() -> Vec<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--manifest-path", manifest])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap()
}

fn dependencies(package: &Value) -> Vec<&str> {
    package["dependencies"].as_array().unwrap().iter().map(name).collect()
}

/// What one crate depends on and must not.
fn forbidden_arrows(package: &Value, layer: &Layer) -> Vec<String> {
    let is_forbidden = |dependency: &&str| {
        let is_ours = dependency.starts_with("strongroom-");
        layer.must_not_know.contains(dependency) || is_ours && !layer.may_know.contains(dependency)
    };
    dependencies(package)
        .into_iter()
        .filter(is_forbidden)
        .map(|dependency| format!("{} -> {dependency}", layer.name))
        .collect()
}

#[test]
fn no_crate_depends_on_another_unless_the_arrow_is_drawn() {
    let packages = packages();

    let mut forbidden = Vec::new();
    for package in packages.iter().filter(|package| name(package) != TESTS) {
        let layer = LAYERS.iter().find(|layer| layer.name == name(package));
        let layer = layer.unwrap_or_else(|| panic!("{} has no layer: draw its arrows first", name(package)));
        forbidden.extend(forbidden_arrows(package, layer));
    }

    assert!(forbidden.is_empty(), "arrows that are not drawn: {forbidden:?}");
}

#[test]
fn no_crate_is_a_drawer_for_what_has_no_place() {
    for package in packages() {
        let last = name(&package).rsplit('-').next().unwrap();

        assert!(
            !["utils", "util", "common", "types", "errors", "core", "shared"].contains(&last),
            "{}",
            name(&package)
        );
    }
}

#[test]
fn an_arrow_against_the_direction_is_found() {
    let domain = serde_json::json!({
        "name": "strongroom-domain",
        "dependencies": [{"name": "serde_json"}, {"name": "tokio"}, {"name": "strongroom-database"}],
    });

    let found = forbidden_arrows(&domain, &LAYERS[0]);

    assert_eq!(found, ["strongroom-domain -> tokio", "strongroom-domain -> strongroom-database"]);
}
