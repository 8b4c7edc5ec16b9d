//! The commands, beside a running server: what they print, and how soon it counts there.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{refusal, within};
use crate::support::server::{DATABASES, Server, binary};

/// What a change by a command may take until the running server knows of it.
const IN_FORCE: Duration = Duration::from_secs(1);

fn json(server: &Server, arguments: &[&str]) -> Value {
    let text = server.run(&[arguments, &["--output", "json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?} ({error}): {text}"))
}

fn token_id(server: &Server, owner: &str) -> String {
    let tokens = json(server, &["token", "list"]);
    let of_owner = tokens.as_array().unwrap().iter().find(|token| token["owner"] == owner);
    of_owner.unwrap()["id"].as_str().unwrap().to_owned()
}

#[test]
fn users_and_bots_are_created_and_listed_beside_a_running_server() {
    let server = Server::start();

    assert_eq!(server.run(&["user", "create", "ada", "--email", "a@example.com"]), "user ada with the role none\n");
    let made = json(&server, &["user", "create", "grace", "--email", "g@example.com", "--admin"]);
    assert_eq!((&made["name"], &made["role"]), (&"grace".into(), &"admin".into()));
    assert_eq!(server.run(&["bot", "create", "ingestion", "--role", "worker"]), "bot ingestion with the role worker\n");
    assert_eq!(json(&server, &["bot", "create", "profiler"])["role"], "none");

    let users = json(&server, &["user", "list"]);
    let names: Vec<_> = users.as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["ada", "admin", "grace"]);
    assert_eq!(users[0]["email"], "a@example.com");
    assert_eq!(users[2]["id"], made["id"]);
    let bots = server.run(&["bot", "list"]);
    let columns: Vec<_> = bots.lines().map(|line| line.split_whitespace().take(4).collect::<Vec<_>>()).collect();
    assert_eq!(columns[0], ["NAME", "EMAIL", "ROLE", "STATE"]);
    assert_eq!(columns[1], ["ingestion", "-", "worker", "active"]);
}

#[test]
fn a_name_is_given_once_over_users_and_bots_and_only_to_what_is_a_name() {
    let server = Server::start();
    server.run(&["bot", "create", "ci"]);

    for arguments in [
        ["bot", "create", "ci", "--role", "admin"],
        ["user", "create", "ci", "--email", "x@example.com"],
        ["user", "create", "", "--email", "x@example.com"],
        ["user", "create", " ci", "--email", "x@example.com"],
        ["user", "create", "c\ni", "--email", "x@example.com"],
    ] {
        let line = refusal(&server.command(&arguments));
        assert_eq!(line.lines().count(), 1, "{line}");
    }
    assert_eq!(json(&server, &["bot", "list"])[0]["role"], "none");
    assert!(refusal(&server.command(&["token", "create", "nobody"])).contains("no such user or bot"));
    assert!(refusal(&server.command(&["user", "disable", "nobody"])).contains("no such user or bot"));
}

#[test]
fn a_token_stands_alone_on_standard_output_so_that_a_shell_can_take_it() {
    let server = Server::start();
    server.run(&["bot", "create", "ci", "--role", "worker"]);
    let script = format!("T=$(\"{}\" token create ci --expires 1h) && printf '<%s>' \"$T\"", binary().display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).env("STRONGROOM_DATA_DIR", server.data()).env("LOG_LEVEL", "trace");

    let output = String::from_utf8(shell.output().unwrap().stdout).unwrap();

    let token = output.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap();
    assert!(token.starts_with("strongroom_") && token.len() == "strongroom_".len() + 44, "{output}");
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    server.get(DATABASES, token).expect(200);
}

#[test]
fn tokens_are_listed_without_what_they_are_and_with_how_they_stand() {
    let server = Server::start();
    server.run(&["bot", "create", "ci"]);
    let made = json(&server, &["token", "create", "ci", "--expires", "30d"]);
    let token = made["token"].as_str().unwrap();
    server.get(DATABASES, token).expect(200);

    let text = server.run(&["token", "list"]);
    let listed = json(&server, &["token", "list"]);

    assert!(!text.contains(token) && !listed.to_string().contains(token));
    let of_ci = listed.as_array().unwrap().iter().find(|it| it["id"] == made["id"]).unwrap();
    assert_eq!((&of_ci["owner"], &of_ci["state"]), (&"ci".into(), &"active".into()));
    assert_eq!(of_ci["expires"], made["expires"]);
    assert!(of_ci["used"].is_string(), "{of_ci}");
    assert!(text.starts_with("ID "), "{text}");
}

#[test]
fn a_token_revoked_on_the_command_line_stops_within_a_second() {
    let server = Server::start();
    let token = server.bot("ci", "worker");
    let id = token_id(&server, "ci");
    for _ in 0..3 {
        server.get(DATABASES, &token).expect(200);
    }

    server.run(&["token", "revoke", &id]);

    within(IN_FORCE, "it is refused", || server.get(DATABASES, &token).status == 401);
    server.run(&["token", "revoke", &id]);
    let tokens = json(&server, &["token", "list"]);
    assert!(tokens.as_array().unwrap().iter().any(|it| it["id"] == id.as_str() && it["state"] == "revoked"));
    server.get(DATABASES, &server.admin()).expect(200);
}

#[test]
fn a_user_disabled_on_the_command_line_loses_all_tokens_within_a_second() {
    let server = Server::start();
    let first = server.user("ada");
    let second = server.run(&["token", "create", "ada"]).trim().to_owned();
    for token in [&first, &second] {
        server.get(DATABASES, token).expect(200);
    }

    server.run(&["user", "disable", "ada"]);

    for token in [&first, &second] {
        within(IN_FORCE, "it is refused", || server.get(DATABASES, token).status == 401);
    }
    let later = server.command(&["token", "create", "ada"]);
    if later.status.success() {
        let token = String::from_utf8(later.stdout).unwrap();
        assert_eq!(server.get(DATABASES, token.trim()).status, 401, "a new token does not bring her back");
    }
    let users = json(&server, &["user", "list"]);
    assert!(users.as_array().unwrap().iter().any(|user| user["name"] == "ada" && user["state"] == "disabled"));
}

#[test]
fn a_token_made_on_the_command_line_works_at_once_and_ends_when_it_expires() {
    let server = Server::start();
    server.run(&["bot", "create", "ci"]);
    let token = server.run(&["token", "create", "ci", "--expires", "2s"]).trim().to_owned();

    server.get(DATABASES, &token).expect(200);

    within(Duration::from_secs(3), "it is refused", || server.get(DATABASES, &token).status == 401);
    assert!(json(&server, &["token", "list"]).to_string().contains("\"expired\""));
}

#[test]
fn what_is_not_there_cannot_be_revoked_and_the_line_says_so() {
    let server = Server::start();

    let unknown = refusal(&server.command(&["token", "revoke", "0198c0de-7e57-7abc-8def-0123456789ab"]));
    let no_id = refusal(&server.command(&["token", "revoke", "the-first-one"]));

    assert!(unknown.contains("no such token"), "{unknown}");
    assert!(no_id.contains("UUID") && no_id.contains("token list"), "{no_id}");
}

#[test]
fn what_is_not_understood_ends_with_two_and_teaches() {
    let server = Server::start();
    for (arguments, lesson) in [
        (&["token", "create", "ci", "--expires", "30"][..], "such as 30d"),
        (&["bot", "create", "ci", "--role", "root"], "worker"),
        (&["user", "create", "ada"], "--email"),
        (&["tokn", "list"], "'token'"),
    ] {
        let output = server.command(arguments);

        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(lesson), "{text}");
    }
    for arguments in [&["--help"][..], &["token", "--help"], &["keys", "rotate", "--help"]] {
        assert!(server.run(arguments).contains("Usage:"));
    }
}

#[test]
fn the_configuration_is_shown_with_origins_and_without_secrets() {
    let server = Server::start_with(&[("OM_SM_ACCESS_KEY", "canary-of-the-cloud"), ("SECRET_MANAGER_PREFIX", "acme")]);

    let text = server.run(&["config", "show"]);
    let shown = json(&server, &["config", "show"]);

    assert!(text.contains("acme") && text.contains("SECRET_MANAGER_PREFIX"), "{text}");
    assert!(text.contains("secretAccessKey"), "{text}");
    assert!(!text.contains("canary-of-the-cloud") && !shown.to_string().contains("canary-of-the-cloud"));
    assert!(shown.to_string().contains("OM_SM_ACCESS_KEY"), "{shown}");
}

#[test]
fn commands_are_audited_as_typed_on_the_command_line() {
    let server = Server::start();
    server.bot("ci", "worker");
    server.run(&["token", "revoke", &token_id(&server, "ci")]);

    let audit = server.get("/audit?actor=command%20line", &server.admin()).expect(200);

    let actions: Vec<_> = audit["data"].as_array().unwrap().iter().map(|it| it["action"].as_str().unwrap()).collect();
    assert_eq!(actions.len(), 3, "{audit}");
    assert!(audit["data"].as_array().unwrap().iter().all(|it| it["subject"] == "ci"), "{audit}");
}
