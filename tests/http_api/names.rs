//! Names of services: what they may be, and how they are asked for.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::faulty_paths;
use crate::support::server::{DATABASES, Server, encoded, mysql};

/// Names that are easily mixed up or lost on the way.
fn odd_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "a",
        "A",
        "a.b",
        "a_b",
        "a-b",
        "a b",
        " a",
        "a ",
        "a/b",
        "a//b",
        "/a",
        "a/",
        "a\\b",
        "a\"b",
        "\"a\"",
        "\"a.b\"",
        "\"",
        "'a'",
        "a%2Fb",
        "a%b",
        "%",
        "a+b",
        "a?b",
        "a#b",
        "a&b",
        "a&include=all",
        "a;b",
        "a:b",
        "a@b",
        "..",
        ".",
        "a..b",
        "./a",
        "../a",
        "name",
        "async",
        "versions",
        "restore",
        "bulk",
        "caf\u{e9}",
        "cafe\u{301}",
        "CAF\u{c9}",
        "\u{65e5}\u{672c}",
        "\u{4e2d}\u{56fd}",
        "\u{1f600}",
        "\u{200d}a",
        "null",
        "0",
        "a|b",
        "<a>",
        "{a}",
        "[a]",
        "*",
        "$(a)",
        "secret:/a",
        "*********",
        "a~b",
        "a~1b",
        "xyz",
    ]
    .map(str::to_owned)
    .into();
    names.extend(["x".repeat(256), "\u{1f600}".repeat(256), "\u{e9}.\"".repeat(85)]);
    names
}

/// The fully qualified name: quoted where it holds a dot or a quote.
fn quoted(name: &str) -> String {
    if name.contains(['.', '"']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.to_owned() }
}

#[test]
fn every_name_is_found_again_by_its_raw_and_its_quoted_form_and_keeps_its_own_secret() {
    let server = Server::start();
    let admin = server.admin();
    let names = odd_names();
    for name in &names {
        let service = server.post(DATABASES, &admin, &mysql(name, &format!("canary of {name}")));
        assert_eq!(service.expect(201)["fullyQualifiedName"], quoted(name), "{name}");
    }
    for name in &names {
        // A raw name that reads like the quoted form of another is that other's: an exact one wins.
        let is_another = names.iter().any(|other| other != name && quoted(other) == *name);
        let forms = if is_another { vec![quoted(name)] } else { vec![name.clone(), quoted(name)] };
        for form in forms {
            let service = server.get(&format!("{DATABASES}/name/{}", encoded(&form)), &admin).expect(200);
            assert_eq!(service["name"], *name, "asked for as {form}");
            let password = &service["connection"]["config"]["authType"]["password"];
            assert_eq!(*password, format!("canary of {name}"));
        }
    }
}

#[test]
fn no_two_services_share_a_reference_however_alike_their_names_are() {
    let server = Server::start();
    let admin = server.admin();
    let names = odd_names();
    let mut references = BTreeSet::new();
    for name in &names {
        let id = server.post(DATABASES, &admin, &mysql(name, "canary")).expect(201)["id"].clone();
        let path = format!("{DATABASES}/{}?view=references", id.as_str().unwrap());
        let service = server.get(&path, &admin).expect(200);
        let reference = service["connection"]["config"]["authType"]["password"].as_str().unwrap().to_owned();
        let plain =
            |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || "/_-".contains(character);
        let id = reference.strip_prefix("secret:").unwrap();
        assert!(id.starts_with("/openmetadata/database/") && id.chars().all(plain) && id.len() <= 512, "{id}");
        references.insert(reference);
    }
    assert_eq!(references.len(), names.len());
}

#[test]
fn names_differ_by_their_bytes_alone() {
    let server = Server::start();
    let admin = server.admin();
    for name in ["caf\u{e9}", "Shop", "a/b"] {
        server.post(DATABASES, &admin, &mysql(name, "canary")).expect(201);
    }
    for name in ["cafe\u{301}", "Caf\u{e9}", "shop", "SHOP", "a%2Fb", "Shop ", "Sho", "Shop%"] {
        server.get(&format!("{DATABASES}/name/{}", encoded(name)), &admin).expect(404);
    }
}

#[test]
fn a_slash_may_stand_in_the_path_as_it_is() {
    let server = Server::start();
    server.post(DATABASES, &server.admin(), &mysql("a/b c", "canary")).expect(201);
    for form in ["a/b%20c", "a%2Fb%20c", "a%2fb%20c"] {
        server.get(&format!("{DATABASES}/name/{form}"), &server.admin()).expect(200);
    }
}

#[test]
fn an_exact_fully_qualified_name_wins_over_a_raw_one() {
    let server = Server::start();
    let admin = server.admin();
    server.post(DATABASES, &admin, &mysql("prod.x", "canary")).expect(201);
    server.post(DATABASES, &admin, &mysql("\"prod.x\"", "canary")).expect(201);
    let name_of = |asked: &str| {
        let answer = server.get(&format!("{DATABASES}/name/{}", encoded(asked)), &admin);
        answer.expect(200)["name"].as_str().unwrap().to_owned()
    };

    assert_eq!(name_of("\"prod.x\""), "prod.x");
    assert_eq!(name_of("prod.x"), "prod.x");
    assert_eq!(name_of("\"\"\"prod.x\"\"\""), "\"prod.x\"");
    server.delete(&format!("{DATABASES}/name/prod.x?hardDelete=true"), &admin).expect(200);
    assert_eq!(name_of("\"prod.x\""), "\"prod.x\"");
}

#[test]
fn patch_and_delete_find_a_service_by_the_same_forms() {
    let server = Server::start();
    let admin = server.admin();
    let change = json!([{"op": "add", "path": "/description", "value": "x"}]);
    for name in ["prod.x", "a/b", "a\"b"] {
        for form in [name.to_owned(), quoted(name)] {
            server.post(DATABASES, &admin, &mysql(name, "canary")).expect(201);
            let path = format!("{DATABASES}/name/{}", encoded(&form));

            assert_eq!(server.patch(&path, &admin, &change).expect(200)["name"], name);
            server.delete(&path, &admin).expect(200);
            server.delete(&format!("{path}?hardDelete=true"), &admin).expect(200);
        }
    }
}

#[test]
fn include_behind_an_ampersand_counts_as_if_it_followed_a_question_mark() {
    let server = Server::start();
    let admin = server.admin();
    for name in ["shop", "a.b"] {
        server.post(DATABASES, &admin, &mysql(name, "canary")).expect(201);
        server.delete(&format!("{DATABASES}/name/{name}"), &admin).expect(200);

        server.get(&format!("{DATABASES}/name/{name}&include=all"), &admin).expect(200);
        server.get(&format!("{DATABASES}/name/{name}&include=deleted"), &admin).expect(200);
        server.get(&format!("{DATABASES}/name/{name}&include=non-deleted"), &admin).expect(404);
        server.get(&format!("{DATABASES}/name/{name}&include=some"), &admin).expect(400);
    }
}

#[test]
fn a_name_that_breaks_the_rules_is_refused_with_the_rule() {
    let server = Server::start();
    let refused = |name: Value| {
        let answer = server.post(DATABASES, &server.admin(), &json!({"name": name, "serviceType": "Mysql"}));
        assert_eq!(faulty_paths(&answer), ["name"], "{name}");
        answer.json()["message"].as_str().unwrap().to_owned()
    };

    assert!(refused("x".repeat(257).into()).contains("256"));
    assert!(refused("\u{1f600}".repeat(257).into()).contains("256"));
    assert!(refused("".into()).contains("1 to 256"));
    assert!(refused("  ".into()).contains("1 to 256"));
    assert!(refused("a::b".into()).contains("::"));
    for name in ["a\nb", "a\rb", "a\tb", "\u{7f}", "a\u{85}b"] {
        assert!(refused(name.into()).contains("control"), "{name:?}");
    }
    for name in [json!(1), json!(true), json!(["a"]), json!({"a": "b"}), Value::Null] {
        refused(name);
    }
}

#[test]
fn a_path_that_is_no_utf8_is_a_bad_request() {
    let server = Server::start();

    server.get(&format!("{DATABASES}/name/%FF%FE"), &server.admin()).expect(400);
    server.get(&format!("{DATABASES}/name/%"), &server.admin()).expect(404);
    server.get(&format!("{DATABASES}/name/%00"), &server.admin()).expect(404);
}
