//! References: those that a user types are the user's, those that Strongroom issues stay where they are.

use serde_json::{Value, json};

use super::server_with_references;
use super::{faulty_paths, one_of_each_family};
use crate::support::server::{Answer, DATABASES, Server, mysql};

/// The reference that Strongroom issues for the password of `shop`.
const ISSUED: &str = "secret:/openmetadata/database/shop/authtype/password";

fn service(name: &str, config: &Value) -> Value {
    json!({"name": name, "serviceType": "Mysql", "connection": {"config": config}})
}

/// The least that a MySQL connection needs, with more members.
fn with(members: Value) -> Value {
    let mut config = json!({"username": "reader", "hostPort": "db:3306"});
    let Value::Object(members) = members else { panic!("members are an object") };
    config.as_object_mut().unwrap().extend(members);
    config
}

fn config(server: &Server, name: &str, view: &str) -> Value {
    let answer = server.get(&format!("{DATABASES}/name/{name}?view={view}"), &server.admin());
    answer.expect(200)["connection"]["config"].clone()
}

fn put(server: &Server, name: &str, members: Value) -> Answer {
    server.put(DATABASES, &server.admin(), &service(name, &with(members)))
}

#[test]
fn a_reference_that_an_admin_typed_is_stored_as_it_is_and_never_resolved() {
    let server = server_with_references();
    let members = json!({
        "authType": {"password": "secret:/team/mysql/password"},
        "databaseName": "secret:team.mysql@prod",
        "connectionOptions": {"plain": "secret:/team/option"},
        "connectionArguments": {"deep": [{"er": "secret:/team/deep"}]},
    });
    put(&server, "shop", members.clone()).expect(201);

    for view in ["plaintext", "references"] {
        let config = config(&server, "shop", view);
        for key in members.as_object().unwrap().keys() {
            assert_eq!(config[key], members[key], "{view}");
        }
    }
    let masked = config(&server, "shop", "masked");
    assert_eq!(masked["databaseName"], "*********");
    assert_eq!(masked["connectionArguments"]["deep"][0]["er"], "*********");
    let again = put(&server, "shop", masked.clone());
    assert_eq!(again.header("x-openmetadata-change"), "entityNoChange");
    assert_eq!(config(&server, "shop", "references")["databaseName"], "secret:team.mysql@prod");
}

#[test]
fn a_reference_that_an_admin_typed_outlives_the_service() {
    let server = server_with_references();
    put(&server, "shop", json!({"authType": {"password": "secret:/team/mysql"}})).expect(201);
    server.delete(&format!("{DATABASES}/name/shop?hardDelete=true"), &server.admin()).expect(200);

    put(&server, "other", json!({"authType": {"password": "secret:/team/mysql"}})).expect(201);
    put(&server, "third", json!({"authType": {"password": "secret:/team/mysql"}})).expect(201);
}

#[test]
fn only_an_admin_types_references() {
    let server = server_with_references();
    let worker = server.bot("ingestion", "worker");
    let places = [
        json!({"authType": {"password": "secret:/team/mysql"}}),
        json!({"databaseName": "secret:/team/mysql"}),
        json!({"connectionOptions": {"a": "secret:/team/mysql"}}),
        json!({"connectionArguments": {"a": [[{"b": "secret:/team/mysql"}]]}}),
    ];
    for members in places {
        for method in ["POST", "PUT"] {
            let answer = server.call(method, DATABASES, &worker, Some(&service("shop", &with(members.clone()))));
            assert_eq!(answer.status, 403, "{members}: {}", answer.text);
        }
    }
    server.get(&format!("{DATABASES}/name/shop"), &server.admin()).expect(404);
}

#[test]
fn a_reference_to_a_secret_kept_for_another_service_is_refused_in_every_spelling_and_place() {
    let server = server_with_references();
    server.put(DATABASES, &server.admin(), &mysql("shop", "canary")).expect(201);
    let plain = "openmetadata/database/shop/authtype/password";
    let spellings = [
        format!("secret:/{plain}"),
        format!("secret:{plain}"),
        format!("secret:/{}", plain.to_uppercase()),
        format!("secret:{}", plain.replace("shop", "Shop")),
        format!("secret:/{plain}/"),
        format!("secret://{plain}"),
        format!("secret:/./{plain}"),
        format!("secret:/x/../{plain}"),
        format!("secret:/{}", plain.replace('/', "//")),
        format!("secret: /{plain}"),
        format!("secret:/{plain} "),
        format!("secret:/{plain}\n"),
        format!("secret:/{plain}:1"),
        format!("secret:secret:/{plain}"),
    ];
    for reference in &spellings {
        let places = [
            json!({"authType": {"password": reference}}),
            json!({"databaseName": reference}),
            json!({"connectionOptions": {"anything": reference}}),
            json!({"connectionArguments": {"deep": [{"er": reference}]}}),
            json!({"schemaFilterPattern": {"includes": [reference]}}),
            json!({"hostPort": reference}),
        ];
        for members in places {
            let answer = put(&server, "thief", members.clone());
            assert_eq!(answer.status, 400, "{members}: {}", answer.text);
            assert!(faulty_paths(&answer).iter().all(|path| path.starts_with("connection.config.")));
        }
    }
    server.get(&format!("{DATABASES}/name/thief"), &server.admin()).expect(404);
}

#[test]
fn punctuation_that_a_store_may_not_tell_apart_does_not_get_around_the_refusal() {
    let server = server_with_references();
    let admin = server.admin();
    server.put(DATABASES, &admin, &mysql("my.shop", "canary")).expect(201);
    server.put(DATABASES, &admin, &mysql("my-shop", "canary")).expect(201);

    for name in ["my.shop", "my_shop", "my@shop", "my+shop", "MY=shop", "my-shop"] {
        let reference = format!("secret:/openmetadata/database/{name}/authtype/password");
        let answer = put(&server, "thief", json!({"authType": {"password": reference}}));
        assert_eq!(faulty_paths(&answer), ["connection.config.authType.password"], "{name}");
    }
}

#[test]
fn the_refusal_holds_across_families_for_deleted_services_and_for_patches() {
    let server = server_with_references();
    let admin = server.admin();
    server.put(DATABASES, &admin, &mysql("shop", "canary")).expect(201);
    put(&server, "thief", json!({})).expect(201);
    let steal = json!([{"op": "add", "path": "/connection/config/databaseName", "value": ISSUED}]);
    let patch = || server.patch(&format!("{DATABASES}/name/thief"), &admin, &steal);

    assert_eq!(faulty_paths(&patch()), ["connection.config.databaseName"]);
    server.delete(&format!("{DATABASES}/name/shop"), &admin).expect(200);
    assert_eq!(faulty_paths(&patch()), ["connection.config.databaseName"]);
    let config = json!({"bootstrapServers": "b:1", "saslPassword": ISSUED});
    let kafka = json!({"name": "thief", "serviceType": "Kafka", "connection": {"config": config}});
    let answer = server.put("/services/messagingServices", &admin, &kafka);
    assert_eq!(faulty_paths(&answer), ["connection.config.saslPassword"]);
}

#[test]
fn a_reference_that_strongroom_issued_means_keep_at_its_own_place() {
    let server = server_with_references();
    server.put(DATABASES, &server.admin(), &mysql("shop", "canary")).expect(201);

    let answer = server.put(DATABASES, &server.admin(), &mysql("shop", ISSUED));

    assert_eq!(answer.header("x-openmetadata-change"), "entityNoChange");
    assert_eq!(config(&server, "shop", "plaintext")["authType"]["password"], "canary");
}

#[test]
fn a_reference_that_strongroom_issued_is_refused_at_another_place_of_the_same_service() {
    let server = server_with_references();
    server.put(DATABASES, &server.admin(), &mysql("shop", "canary")).expect(201);
    let kept = json!({"password": "*********"});
    let places = [
        json!({"authType": kept, "databaseName": ISSUED}),
        json!({"authType": kept, "connectionOptions": {"password": ISSUED}}),
        json!({"authType": kept, "connectionArguments": {"a": {"b": ISSUED.to_uppercase().replace("SECRET:", "secret:")}}}),
        json!({"sslConfig": {"sslKey": ISSUED}}),
        json!({"authType": {"password": ISSUED.replace("shop", "Shop")}}),
    ];
    for members in places {
        let answer = put(&server, "shop", members.clone());
        assert_eq!(answer.status, 400, "{members}: {}", answer.text);
    }
    assert_eq!(config(&server, "shop", "plaintext")["authType"]["password"], "canary");
}

#[test]
fn the_references_view_sent_back_changes_nothing_in_any_family() {
    let server = server_with_references();
    let admin = server.admin();
    for (route, body) in one_of_each_family(&server, "shop") {
        server.post(&route, &admin, &body).expect(201);
        let read = server.get(&format!("{route}/name/shop?view=references"), &admin).expect(200);
        let mut sent = body.clone();
        sent["connection"] = read["connection"].clone();

        let answer = server.put(&route, &admin, &sent);

        assert_eq!(answer.header("x-openmetadata-change"), "entityNoChange", "{route}: {}", answer.text);
    }
}

#[test]
fn a_name_that_a_typed_reference_holds_is_never_given_to_a_secret() {
    let server = server_with_references();
    put(&server, "early", json!({"authType": {"password": ISSUED}})).expect(201);

    server.put(DATABASES, &server.admin(), &mysql("shop", "canary")).expect(201);

    let reference = config(&server, "shop", "references")["authType"]["password"].clone();
    let reference = reference.as_str().unwrap();
    let suffix = reference.strip_prefix(&format!("{ISSUED}-")).unwrap_or_else(|| panic!("{reference}"));
    assert!(suffix.len() == 8 && suffix.bytes().all(|byte| byte.is_ascii_hexdigit()), "{reference}");
    assert_eq!(config(&server, "early", "plaintext")["authType"]["password"], ISSUED);
    assert_eq!(config(&server, "shop", "plaintext")["authType"]["password"], "canary");
}

#[test]
fn a_name_typed_in_the_same_connection_is_not_given_to_a_secret_either() {
    let server = server_with_references();
    let members = json!({"authType": {"password": "canary"}, "connectionOptions": {"a": ISSUED}});
    put(&server, "shop", members).expect(201);

    let references = config(&server, "shop", "references");

    assert_eq!(references["connectionOptions"]["a"], ISSUED);
    assert_ne!(references["authType"]["password"], ISSUED);
    let again = put(&server, "shop", references);
    assert_eq!(again.header("x-openmetadata-change"), "entityNoChange", "{}", again.text);
    assert_eq!(config(&server, "shop", "plaintext")["authType"]["password"], "canary");
}

#[test]
fn a_value_may_take_the_place_of_a_reference_and_the_other_way_round() {
    let server = server_with_references();
    put(&server, "shop", json!({"authType": {"password": "secret:/team/mysql"}})).expect(201);

    put(&server, "shop", json!({"authType": {"password": "canary"}})).expect(200);
    assert_eq!(config(&server, "shop", "plaintext")["authType"]["password"], "canary");
    assert_eq!(config(&server, "shop", "references")["authType"]["password"], ISSUED);
    put(&server, "shop", json!({"authType": {"password": "secret:/team/mysql"}})).expect(200);
    assert_eq!(config(&server, "shop", "plaintext")["authType"]["password"], "secret:/team/mysql");
    let typed = put(&server, "other", json!({"authType": {"password": ISSUED}}));
    assert_eq!(typed.status, 201, "the name is free again: {}", typed.text);
}

#[test]
fn only_plain_names_may_be_typed() {
    let server = server_with_references();
    let refused = [
        "",
        "/",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop-AbCdEf",
        "/team/mysql:3",
        "/team/mysql?versionId=1",
        "projects/p/secrets/s/versions/latest#",
        "/aws/reference/secretsmanager/shop",
        "aws/reference/secretsmanager/shop",
        "/AWS/service/x",
        "/team//mysql",
        "/team/mysql/",
        "/team/../mysql",
        "./mysql",
        "/team/my sql",
        "/team/mysql\n",
        "/team/m\u{fc}sql",
        "{{resolve:ssm:x}}",
        "https://vault/x",
        "*********",
    ];
    for name in refused {
        let answer = put(&server, "shop", json!({"authType": {"password": format!("secret:{name}")}}));
        assert_eq!(faulty_paths(&answer), ["connection.config.authType.password"], "{name}");
        assert!(name.len() < 4 || !answer.text.contains(name), "{}", answer.text);
    }
    let long = format!("secret:/{}", "x".repeat(511));
    put(&server, "long", json!({"authType": {"password": long}})).expect(201);
    faulty_paths(&put(&server, "shop", json!({"authType": {"password": format!("{long}x")}})));
}

#[test]
fn a_hard_delete_frees_the_names_and_a_new_service_gets_a_new_secret() {
    let server = server_with_references();
    let admin = server.admin();
    server.put(DATABASES, &admin, &mysql("shop", "canary-1")).expect(201);
    server.delete(&format!("{DATABASES}/name/shop?hardDelete=true"), &admin).expect(200);

    let typed = put(&server, "other", json!({"authType": {"password": ISSUED}}));
    assert_eq!(typed.status, 201, "{}", typed.text);
    server.delete(&format!("{DATABASES}/name/other?hardDelete=true"), &admin).expect(200);
    server.put(DATABASES, &admin, &mysql("shop", "canary-2")).expect(201);

    assert_eq!(config(&server, "shop", "references")["authType"]["password"], ISSUED);
    assert_eq!(config(&server, "shop", "plaintext")["authType"]["password"], "canary-2");
}

#[test]
fn many_admins_who_race_for_one_name_end_with_one_holder() {
    let server = server_with_references();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let typed = (0..6).map(|number| {
            let server = &server;
            scope
                .spawn(move || put(server, &format!("typed{number}"), json!({"authType": {"password": ISSUED}})).status)
        });
        let kept = scope.spawn(|| server.put(DATABASES, &server.admin(), &mysql("shop", "canary")).status);
        let mut statuses: Vec<_> = typed.collect::<Vec<_>>().into_iter().map(|it| it.join().unwrap()).collect();
        statuses.push(kept.join().unwrap());
        statuses
    });

    assert_eq!(statuses[6], 201, "{statuses:?}");
    let is_taken = config(&server, "shop", "references")["authType"]["password"] == ISSUED;
    let allowed: &[u16] = if is_taken { &[400] } else { &[201, 400] };
    assert!(statuses[..6].iter().all(|status| allowed.contains(status)), "a name has two holders: {statuses:?}");
}
