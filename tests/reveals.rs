//! A secret leaves its wrapper in one way, and each use of it says why.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// How far above the call the comment may begin.
const LINES_ABOVE: usize = 3;
/// The one file that may unwrap what `secrecy` wraps.
const HOME: &str = "domain/src/secret.rs";

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").canonicalize().unwrap()
}

/// Every file of the program, tests left out, with its text.
fn program() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(crates()).unwrap() {
        collect(&entry.unwrap().path().join("src"), &mut files);
    }
    let tests: HashSet<PathBuf> = files.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let is_test = |path: &Path| path.ancestors().any(|above| tests.contains(above));
    files.retain(|(path, _)| !is_test(path));
    files.into_iter().map(|(path, text)| (path, without_tests(&text))).collect()
}

fn collect(directory: &Path, files: &mut Vec<(PathBuf, String)>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            files.push((path, text));
        }
    }
}

/// The files and folders of modules that a file declares below `#[cfg(test)]`.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let beside = path.parent().unwrap();
    let stem = path.file_stem().unwrap().to_str().unwrap();
    let below = if ["mod", "lib", "main"].contains(&stem) { beside.to_owned() } else { beside.join(stem) };
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while lines.any(|line| line == "#[cfg(test)]") {
        for line in lines.by_ref() {
            if let Some(file) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
                found.push(beside.join(file));
            } else if let Some(module) = line.strip_suffix(';').and_then(|line| line.rsplit_once("mod ")) {
                found.extend([below.join(format!("{}.rs", module.1)), below.join(module.1)]);
            }
            if !line.starts_with('#') {
                break;
            }
        }
    }
    found
}

/// A text in which items below `#[cfg(test)]` are blank lines, so that line numbers stay.
fn without_tests(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        let closing = line.replace("#[cfg(test)]", "}");
        let mut is_open = false;
        kept.push('\n');
        for line in lines.by_ref() {
            kept.push('\n');
            is_open |= line.ends_with('{');
            if line == closing || !is_open && line.ends_with([';', '}']) {
                break;
            }
        }
    }
    kept
}

/// The numbers of lines that take a secret out without saying why.
fn unexplained_reveals(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let reveals = |line: &str| line.contains(".reveal()") || line.contains("SecretValue::reveal");
    let is_code = |line: &str| !line.trim_start().starts_with("//");
    let explains = |line: &&str| line.split_once("// REVEAL: ").is_some_and(|(_, why)| !why.trim().is_empty());
    (0..lines.len())
        .filter(|&index| is_code(lines[index]) && reveals(lines[index]))
        .filter(|&index| !lines[index.saturating_sub(LINES_ABOVE)..=index].iter().any(explains))
        .map(|index| index + 1)
        .collect()
}

/// What would show a secret that is derived or written for the wrapper.
fn leaks_of_the_wrapper(text: &str) -> Vec<String> {
    let mut leaks = Vec::new();
    let (mut derived, mut collecting) = (String::new(), false);
    for line in text.lines().map(str::trim) {
        collecting |= line.starts_with("#[derive(");
        if collecting {
            derived.push_str(line);
            collecting = !line.ends_with(']');
        } else if line.contains("struct SecretValue") {
            let forbidden = ["Debug", "Serialize", "Display", "PartialEq", "Hash"];
            leaks.extend(forbidden.iter().filter(|name| derived.contains(*name)).map(|name| format!("derive({name})")));
        } else if !line.starts_with('#') && !line.starts_with("//") {
            derived.clear();
        }
        let shows = ["Serialize", "Display", "PartialEq", "Deref", "AsRef<str>"];
        leaks.extend(
            shows
                .iter()
                .filter(|name| line.contains(&format!("{name} for SecretValue")))
                .map(|name| format!("impl {name}")),
        );
    }
    leaks
}

#[test]
fn every_reveal_says_why() {
    let mut unexplained = Vec::new();
    for (path, text) in program() {
        unexplained.extend(unexplained_reveals(&text).iter().map(|line| format!("{}:{line}", path.display())));
    }

    assert!(unexplained.is_empty(), "add `// REVEAL: why` right above: {unexplained:#?}");
}

#[test]
fn secrets_are_unwrapped_in_one_file_only() {
    for (path, text) in program() {
        assert!(path.ends_with(HOME) || !text.contains("expose_secret"), "{} goes round reveal()", path.display());
    }
}

#[test]
fn nothing_derived_shows_a_secret() {
    for (path, text) in program() {
        let leaks = leaks_of_the_wrapper(&text);

        assert!(leaks.is_empty(), "{}: {leaks:?} on SecretValue", path.display());
    }
}

#[test]
fn the_scan_sees_the_program_and_leaves_its_tests_out() {
    let files = program();

    assert!(files.iter().any(|(path, _)| path.ends_with(HOME)));
    assert!(!files.iter().any(|(path, _)| path.ends_with("encrypted_database/cipher_tests.rs")));
    assert!(!files.iter().any(|(path, _)| path.ends_with("encrypted_database/tests.rs")));
    assert!(!files.iter().any(|(_, text)| text.contains("#[test]")));
}

#[test]
fn a_reveal_without_a_reason_is_found_and_one_with_it_is_not() {
    assert_eq!(unexplained_reveals("let a = 1;\nsend(value.reveal());"), [2]);
    assert_eq!(unexplained_reveals("values.map(SecretValue::reveal)"), [1]);
    assert_eq!(unexplained_reveals("// REVEAL: \nsend(value.reveal());"), [2]);
    assert_eq!(unexplained_reveals("// REVEAL: why\n\n\n\nsend(value.reveal());"), [5]);
    assert!(unexplained_reveals("// REVEAL: the SDK takes text\nsend(value.reveal());").is_empty());
    assert!(unexplained_reveals("send(value.reveal()); // REVEAL: the SDK takes text").is_empty());
    assert!(unexplained_reveals("/// See [`SecretValue::reveal`].").is_empty());
}

#[test]
fn code_after_a_test_module_is_scanned_too() {
    let text = "#[cfg(test)]\nmod tests {\n    fn x() { v.reveal(); }\n}\n\nfn y() { v.reveal(); }\n";
    let declared = "#[cfg(test)]\nmod tests;\nfn y() { v.reveal(); }\n";

    assert_eq!(unexplained_reveals(&without_tests(text)), [6]);
    assert_eq!(unexplained_reveals(&without_tests(declared)), [3]);
}

#[test]
fn a_wrapper_that_shows_its_value_is_found() {
    assert_eq!(leaks_of_the_wrapper("#[derive(Clone, Debug)]\npub struct SecretValue(String);"), ["derive(Debug)"]);
    assert_eq!(
        leaks_of_the_wrapper("#[derive(\nClone,\nSerialize,\n)]\npub struct SecretValue;"),
        ["derive(Serialize)"]
    );
    assert_eq!(leaks_of_the_wrapper("impl fmt::Display for SecretValue {"), ["impl Display"]);
    assert!(leaks_of_the_wrapper("#[derive(Debug)]\nstruct A;\n#[derive(Clone)]\npub struct SecretValue;").is_empty());
}
