//! The example and the documentation say of every key what the table says.

use super::*;
use crate::config::keys::{NAMED_PARAMETERS, PARAMETERS};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/strongroom.example.yaml");
const DOCUMENTATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");

/// The example with the settings that it comments out taken in: those have no space after their `#`.
fn example_in_full() -> String {
    let example = std::fs::read_to_string(EXAMPLE).unwrap();
    let lines = example.lines().map(|line| {
        let commented = line.trim_start().strip_prefix('#').filter(|rest| rest.starts_with(char::is_alphabetic));
        commented.map_or_else(|| line.to_owned(), |_| line.replacen('#', "", 1))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The example for a database server, without the second places of a password and of the key ring.
fn with_a_database_server(example: &str) -> String {
    let lines =
        example.lines().filter(|line| !["passwordFile:", "keys:"].iter().any(|key| line.trim_start().starts_with(key)));
    let lines: Vec<_> = lines.collect();
    lines.join("\n").replace("url: sqlite:<dataDir>/strongroom.db", "url: postgres://db.example.com/strongroom")
}

#[test]
fn the_example_equals_the_defaults() {
    let example = from_yaml(&std::fs::read_to_string(EXAMPLE).unwrap()).unwrap();

    assert_eq!(shown(&example), shown(&from_environment(&[]).unwrap()));
}

#[test]
fn the_example_has_every_key_with_its_environment_variable() {
    let example = example_in_full();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(example.as_bytes()).unwrap();

    let content = file::read(file.path(), &BTreeMap::new());

    let has = |path: &str| content.settings.iter().any(|(set, _)| set == path);
    assert_eq!(content.faults, []);
    from_yaml(&with_a_database_server(&example)).unwrap();
    for key in KEYS {
        assert!(has(key.path), "{}", key.path);
        assert!(key.variable.is_none_or(|variable| example.contains(variable)), "{}", key.path);
        assert!(key.flag.is_none_or(|flag| example.contains(flag)), "{}", key.path);
    }
    for parameter in NAMED_PARAMETERS {
        assert!(has(&format!("{PARAMETERS}.{}", parameter.name)), "{}", parameter.name);
        assert!(example.contains(parameter.variable), "{}", parameter.name);
    }
}

#[test]
fn the_documentation_has_every_key_as_the_table_has_it() {
    let documentation = std::fs::read_to_string(DOCUMENTATION).unwrap();
    let code = |text: &str| if text.is_empty() { "–".to_owned() } else { format!("`{text}`") };
    let row = |path: &str, variable: Option<&str>, default: &str, meaning: &str| {
        format!("| `{path}` | {} | {} | {meaning} |\n", code(variable.unwrap_or_default()), code(default))
    };
    let keys = KEYS.iter().map(|key| row(key.path, key.variable, key.default, key.meaning));
    let parameters = NAMED_PARAMETERS.iter().map(|parameter| {
        let path = format!("{PARAMETERS}.{}", parameter.name);
        row(&path, Some(parameter.variable), "", parameter.meaning)
    });

    let missing: String = keys.chain(parameters).filter(|row| !documentation.contains(row)).collect();

    assert_eq!(missing, "", "docs/configuration.md lacks these rows");
}
