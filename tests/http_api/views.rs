//! Who sees what.

use crate::support::server::{DATABASES, Server, mysql};

#[test]
fn an_admin_gets_plaintext_and_it_is_audited_first() {
    let server = Server::start();
    server.put(DATABASES, &server.admin(), &mysql("shop", "canary")).expect(201);

    let answer = server.get(&format!("{DATABASES}/name/shop"), &server.admin());

    assert_eq!(answer.expect(200)["connection"]["config"]["authType"]["password"], "canary");
    assert_eq!(answer.header("strongroom-view"), "plaintext");
    assert_eq!(answer.header("cache-control"), "no-store");
    let audit = server.get("/audit?service=shop", &server.admin()).expect(200);
    assert_eq!(audit["data"][0]["action"], "read");
    assert_eq!(audit["data"][0]["requestId"], answer.header("x-request-id"));
}

#[test]
fn a_user_and_a_bot_without_a_role_see_no_connection_parameters_anywhere() {
    let server = Server::start();
    let service = server.put(DATABASES, &server.admin(), &mysql("shop", "canary")).expect(201);
    let id = service["id"].as_str().unwrap();
    for token in [server.user("ada"), server.bot("profiler", "none")] {
        let paths = ["", "/name/shop", &format!("/{id}"), &format!("/{id}/versions"), &format!("/{id}/versions/0.1")];
        for path in paths {
            let answer = server.get(&format!("{DATABASES}{path}"), &token);

            answer.expect(200);
            assert!(!answer.text.contains("connection") && !answer.text.contains("reader"), "{path}: {}", answer.text);
            assert_eq!(answer.header("strongroom-view"), "hidden");
        }
    }
}
