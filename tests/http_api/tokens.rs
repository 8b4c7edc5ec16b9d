//! Tokens over the API.

use serde_json::Value;

use crate::support::server::Server;

/// The entry of a list of tokens that belongs to this owner.
fn token_of(server: &Server, owner: &str) -> Value {
    let tokens = server.get("/tokens", &server.admin()).expect(200);
    tokens["data"].as_array().unwrap().iter().find(|token| token["owner"] == owner).unwrap().clone()
}

#[test]
fn a_revoked_token_is_refused_from_the_next_request_on() {
    let server = Server::start();
    let token = server.bot("ingestion", "worker");
    server.get("/system/version", &token).expect(200);
    let id = token_of(&server, "ingestion")["id"].as_str().unwrap().to_owned();

    let answer = server.delete(&format!("/tokens/{id}"), &server.admin());

    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    server.get("/system/version", &token).expect(401);
    assert!(token_of(&server, "ingestion")["revokedAt"].is_i64());
}

#[test]
fn an_admin_can_revoke_the_token_in_hand() {
    let server = Server::start();
    let second = server.bot("second", "admin");
    let id = token_of(&server, "second")["id"].as_str().unwrap().to_owned();

    assert_eq!(server.delete(&format!("/tokens/{id}"), &second).status, 204);

    server.delete(&format!("/tokens/{id}"), &second).expect(401);
    assert_eq!(server.delete(&format!("/tokens/{id}"), &server.admin()).status, 204);
}

#[test]
fn a_revocation_spares_the_other_tokens_of_the_same_owner() {
    let server = Server::start();
    let first = server.bot("ingestion", "worker");
    let id = token_of(&server, "ingestion")["id"].as_str().unwrap().to_owned();
    let second = server.run(&["token", "create", "ingestion"]).trim().to_owned();

    server.delete(&format!("/tokens/{id}"), &server.admin());

    server.get("/system/version", &first).expect(401);
    server.get("/system/version", &second).expect(200);
}

#[test]
fn the_list_of_tokens_says_whose_they_are_and_never_what_they_are() {
    let server = Server::start();
    let worker = server.bot("ingestion", "worker");
    server.get("/system/version", &worker).expect(200);

    let answer = server.get("/tokens", &server.admin());

    let token = token_of(&server, "ingestion");
    assert_eq!((&token["kind"], &token["role"]), (&"bot".into(), &"worker".into()));
    assert!(token["lastUsedAt"].is_i64() && token["createdAt"].is_i64(), "{token}");
    for secret in [worker, server.admin()] {
        assert!(!answer.text.contains(&secret) && !answer.text.contains(&secret[11..51]));
    }
}

#[test]
fn revoking_is_audited() {
    let server = Server::start();
    server.bot("ingestion", "worker");
    let id = token_of(&server, "ingestion")["id"].clone();

    server.delete(&format!("/tokens/{}", id.as_str().unwrap()), &server.admin());

    let audit = server.get("/audit", &server.admin()).expect(200);
    let entry = audit["data"].as_array().unwrap().iter().find(|entry| entry["action"] == "revokeToken").unwrap();
    assert_eq!(entry["subjectId"], id);
    assert_eq!(entry["actor"], "admin");
}

#[test]
fn an_id_that_is_no_uuid_or_unknown_is_said_so() {
    let server = Server::start();

    server.delete("/tokens/nonsense", &server.admin()).expect(400);
    server.delete("/tokens/00000000-0000-4000-8000-000000000000", &server.admin()).expect(404);
}
