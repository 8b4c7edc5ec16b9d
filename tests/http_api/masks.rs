//! Masks: they keep what is stored, and are never stored themselves.

use serde_json::{Value, json};

use super::{database_bytes, faulty_paths, holds};
use crate::support::server::{DATABASES, Server, mysql};

const NINE: &str = "*********";
const TEN: &str = "**********";
const MCP: &str = "/services/mcpServices";

fn put(server: &Server, config: &Value) -> crate::support::server::Answer {
    let body = json!({"name": "shop", "serviceType": "Mysql", "connection": {"config": config}});
    server.put(DATABASES, &server.admin(), &body)
}

fn config(server: &Server, route: &str, view: &str) -> Value {
    let answer = server.get(&format!("{route}/name/shop?view={view}"), &server.admin());
    answer.expect(200)["connection"]["config"].clone()
}

/// A MySQL connection with secrets at several depths, in free maps, lists, a URL and as numbers.
fn deep() -> Value {
    json!({
        "username": "reader",
        "hostPort": "mysql://reader:pw-in-url@db:3306/shop",
        "authType": {"awsConfig": {"awsRegion": "eu-west-1", "awsSecretAccessKey": "k1", "awsSessionToken": "t1"}},
        "sslConfig": {"sslKey": "key-1"},
        "connectionOptions": {"password": "option-1", "charset": "utf8"},
        "connectionArguments": {
            "apiToken": 12_345, "pin": 0.5, "port": 3306, "flag": true, "nothing": null, "big": 9_007_199_254_740_991_i64,
            "deep": {"er": [{"secretKey": "d1", "name": "a"}, {"name": "b", "credentials": {"user": "u", "list": ["x", 2]}}]},
        },
    })
}

#[test]
fn a_masked_connection_sent_back_keeps_every_secret_with_nine_stars_and_with_ten() {
    let server = Server::start();
    put(&server, &deep()).expect(201);
    let plain = config(&server, DATABASES, "plaintext");
    let masked = config(&server, DATABASES, "masked");
    for stars in [NINE, TEN] {
        let sent: Value = serde_json::from_str(&masked.to_string().replace(NINE, stars)).unwrap();
        let replace = json!([{"op": "replace", "path": "/connection", "value": {"config": sent}}]);

        let by_put = put(&server, &sent);
        let by_patch = server.patch(&format!("{DATABASES}/name/shop"), &server.admin(), &replace);

        assert_eq!(by_put.header("x-openmetadata-change"), "entityNoChange", "{}", by_put.text);
        assert_eq!(by_patch.header("x-openmetadata-change"), "entityNoChange", "{}", by_patch.text);
        assert_eq!(config(&server, DATABASES, "plaintext"), plain);
    }
}

#[test]
fn a_masked_view_shows_no_secret_at_any_depth() {
    let server = Server::start();
    put(&server, &deep()).expect(201);

    let masked = config(&server, DATABASES, "masked");

    assert_eq!(masked["hostPort"], "mysql://*********:*********@db:3306/shop");
    assert_eq!(masked["authType"]["awsConfig"]["awsSessionToken"], NINE);
    assert_eq!(masked["connectionOptions"], json!({"password": NINE, "charset": "utf8"}));
    let arguments = json!({
        "apiToken": NINE, "pin": NINE, "port": 3306, "flag": true, "nothing": null, "big": 9_007_199_254_740_991_i64,
        "deep": {"er": [{"secretKey": NINE, "name": "a"}, {"name": "b", "credentials": {"user": NINE, "list": [NINE, NINE]}}]},
    });
    assert_eq!(masked["connectionArguments"], arguments);
    for secret in ["pw-in-url", "k1\"", "t1\"", "key-1", "option-1", "12345"] {
        assert!(!holds(&database_bytes(&server), secret), "{secret}");
    }
}

#[test]
fn a_number_in_a_free_map_comes_back_a_number() {
    let server = Server::start();
    put(&server, &deep()).expect(201);

    let arguments = config(&server, DATABASES, "plaintext")["connectionArguments"].clone();

    assert_eq!(arguments, deep()["connectionArguments"]);
    assert_eq!(arguments["apiToken"].to_string(), "12345");
}

#[test]
fn a_mask_keeps_a_secret_while_its_neighbours_change() {
    let server = Server::start();
    put(&server, &deep()).expect(201);
    let mut sent = config(&server, DATABASES, "masked");
    sent["username"] = "writer".into();
    sent["connectionArguments"]["deep"]["new"] = json!({"password": "new-1"});
    sent["authType"]["awsConfig"]["awsSecretAccessKey"] = "k2".into();

    put(&server, &sent).expect(200);

    let plain = config(&server, DATABASES, "plaintext");
    let aws = &plain["authType"]["awsConfig"];
    assert_eq!((&plain["username"], &aws["awsSecretAccessKey"]), (&"writer".into(), &"k2".into()));
    assert_eq!((&aws["awsSessionToken"], &plain["hostPort"]), (&"t1".into(), &deep()["hostPort"]));
    let arguments = &plain["connectionArguments"]["deep"];
    assert_eq!(
        (&arguments["new"]["password"], &arguments["er"]),
        (&"new-1".into(), &deep()["connectionArguments"]["deep"]["er"])
    );
}

#[test]
fn a_mask_with_nothing_behind_it_is_refused_by_its_path() {
    let server = Server::start();
    let admin = server.admin();
    let with = |path: &str, stars: &str| {
        let mut config = json!({"username": "reader", "hostPort": "db:1"});
        let (last, parents) = path.split('/').collect::<Vec<_>>().split_last().map(|(l, p)| (*l, p.to_vec())).unwrap();
        let mut at = &mut config;
        for parent in parents {
            at = at.as_object_mut().unwrap().entry(parent).or_insert_with(|| json!({}));
        }
        at[last] = stars.into();
        json!({"name": "shop", "serviceType": "Mysql", "connection": {"config": config}})
    };
    let paths = [
        "username",
        "hostPort",
        "scheme",
        "authType/password",
        "sslConfig/sslKey",
        "connectionOptions/a",
        "connectionArguments/password",
        "connectionArguments/a/b",
        "sampleDataStorageConfig/config/bucketName",
    ];
    for path in paths {
        for stars in [NINE, TEN] {
            for method in ["POST", "PUT"] {
                let answer = server.call(method, DATABASES, &admin, Some(&with(path, stars)));

                let named = faulty_paths(&answer);
                let expected = format!("connection.config.{}", path.replace('/', "."));
                assert!(named.contains(&expected), "{method} {path}: {named:?}");
            }
        }
    }
    let of_url = with("hostPort", "mysql://*********:*********@db/shop");
    assert_eq!(faulty_paths(&server.put(DATABASES, &admin, &of_url)), ["connection.config.hostPort"]);
    assert_eq!(server.get(DATABASES, &admin).expect(200)["paging"]["total"], 0);
}

#[test]
fn a_patch_with_a_mask_where_nothing_is_stored_is_refused() {
    let server = Server::start();
    put(&server, &json!({"username": "reader", "hostPort": "db:1"})).expect(201);
    let path = format!("{DATABASES}/name/shop");
    let add =
        |at: &str, value: Value| json!([{"op": "add", "path": format!("/connection/config/{at}"), "value": value}]);

    for stars in [NINE, TEN] {
        for operations in [add("authType", json!({"password": stars})), add("hostPort", stars.into())] {
            faulty_paths(&server.patch(&path, &server.admin(), &operations));
        }
    }
    assert_eq!(config(&server, DATABASES, "plaintext")["hostPort"], "db:1");
}

#[test]
fn masked_credentials_in_a_url_are_kept_only_for_the_same_address() {
    let server = Server::start();
    put(&server, &deep()).expect(201);
    let with_host = |host: &str| {
        let mut sent = config(&server, DATABASES, "masked");
        sent["hostPort"] = host.into();
        put(&server, &sent)
    };

    for host in [
        "mysql://*********:*********@evil:3306/shop",
        "mysql://*********:*********@db:3306/shop?x=1",
        "mysql://writer:*********@db:3306/shop",
        "mysql://*********:another@db:3306/shop",
        "mysql://**********@db:3306/shop",
    ] {
        let named = faulty_paths(&with_host(host));
        assert_eq!(named, ["connection.config.hostPort"], "{host}");
    }
    with_host("mysql://**********:**********@db:3306/shop").expect(200);
    assert_eq!(config(&server, DATABASES, "plaintext")["hostPort"], deep()["hostPort"]);
    with_host("mysql://writer:pw2@evil:3306/shop").expect(200);
    assert_eq!(config(&server, DATABASES, "plaintext")["hostPort"], "mysql://writer:pw2@evil:3306/shop");
    with_host("db:3306").expect(200);
    assert_eq!(config(&server, DATABASES, "masked")["hostPort"], "db:3306");
}

/// An MCP service with these servers.
fn put_servers(server: &Server, servers: &Value) -> crate::support::server::Answer {
    let config = json!({"discoveryMethod": "DirectConnection", "servers": servers});
    server.put(MCP, &server.admin(), &json!({"name": "shop", "serviceType": "Mcp", "connection": {"config": config}}))
}

fn three() -> Value {
    let one = |name: &str| json!({"name": name, "apiKey": format!("key of {name}"), "env": {"TOKEN": format!("token of {name}")}});
    json!([one("a"), one("b"), one("c")])
}

/// The servers of the masked view.
fn masked_servers(server: &Server) -> Vec<Value> {
    config(server, MCP, "masked")["servers"].as_array().unwrap().clone()
}

/// The name of each server with its key and token.
fn keys(server: &Server) -> Vec<(String, String, String)> {
    let servers = config(server, MCP, "plaintext")["servers"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    servers.iter().map(|it| (text(&it["name"]), text(&it["apiKey"]), text(&it["env"]["TOKEN"]))).collect()
}

fn own(names: &[&str]) -> Vec<(String, String, String)> {
    names.iter().map(|name| ((*name).to_owned(), format!("key of {name}"), format!("token of {name}"))).collect()
}

#[test]
fn entries_of_a_list_keep_their_own_secrets_when_they_are_reordered_or_removed() {
    let server = Server::start();
    put_servers(&server, &three()).expect(201);
    let masked = masked_servers(&server);
    let pick = |numbers: &[usize]| numbers.iter().map(|number| masked[*number].clone()).collect::<Value>();

    put_servers(&server, &pick(&[2, 0, 1])).expect(200);
    assert_eq!(keys(&server), own(&["c", "a", "b"]));
    put_servers(&server, &pick(&[0, 2])).expect(200);
    assert_eq!(keys(&server), own(&["a", "c"]));
    let mut with_new = pick(&[2, 0]);
    with_new
        .as_array_mut()
        .unwrap()
        .insert(1, json!({"name": "d", "apiKey": "key of d", "env": {"TOKEN": "token of d"}}));
    put_servers(&server, &with_new).expect(200);
    assert_eq!(keys(&server), own(&["c", "d", "a"]));
    put_servers(&server, &json!([])).expect(200);
    assert_eq!(keys(&server), []);
}

#[test]
fn one_edited_entry_in_its_place_keeps_its_secrets() {
    let server = Server::start();
    put_servers(&server, &three()).expect(201);
    let mut edited = masked_servers(&server);
    edited[1]["url"] = "http://moved".into();
    edited[1]["apiKey"] = "new key".into();

    put_servers(&server, &edited.into()).expect(200);

    let keys = keys(&server);
    assert_eq!((&keys[1].1, &keys[1].2), (&"new key".to_owned(), &"token of b".to_owned()));
    assert_eq!((&keys[0], &keys[2]), (&own(&["a"])[0], &own(&["c"])[0]));
}

#[test]
fn entries_that_cannot_be_told_apart_are_refused_by_their_paths() {
    let server = Server::start();
    put_servers(&server, &three()).expect(201);
    let masked = masked_servers(&server);
    let mut two_edited = masked.clone();
    two_edited[0]["url"] = "http://moved".into();
    two_edited[1]["url"] = "http://moved".into();
    let mut moved_and_edited = vec![masked[1].clone(), masked[0].clone(), masked[2].clone()];
    moved_and_edited[0]["url"] = "http://moved".into();
    let copied = vec![masked[0].clone(), masked[0].clone(), masked[2].clone()];
    let mut appended = masked.clone();
    appended.push(json!({"name": "d", "apiKey": NINE}));
    for (what, servers) in
        [("two edited", two_edited), ("moved and edited", moved_and_edited), ("copied", copied), ("new", appended)]
    {
        let answer = put_servers(&server, &servers.into());

        let named = faulty_paths(&answer);
        assert!(named.iter().all(|path| path.starts_with("connection.config.servers[")), "{what}: {named:?}");
        assert_eq!(keys(&server), own(&["a", "b", "c"]), "{what}");
    }
}

#[test]
fn twins_in_a_list_keep_their_places_or_are_refused() {
    let server = Server::start();
    let twins = json!([{"name": "a", "apiKey": "k1"}, {"name": "a", "apiKey": "k2"}, {"name": "b", "apiKey": "k3"}]);
    put_servers(&server, &twins).expect(201);
    let masked = masked_servers(&server);
    let all_keys = || keys(&server).into_iter().map(|(_, key, _)| key).collect::<Vec<_>>();

    put_servers(&server, &masked.clone().into()).expect(200);
    assert_eq!(all_keys(), ["k1", "k2", "k3"]);
    let without_one = json!([masked[0], masked[2]]);
    faulty_paths(&put_servers(&server, &without_one));
    let moved = json!([masked[2], masked[0], masked[1]]);
    faulty_paths(&put_servers(&server, &moved));
    assert_eq!(all_keys(), ["k1", "k2", "k3"]);
}

#[test]
fn patches_of_list_entries_keep_the_others() {
    let server = Server::start();
    put_servers(&server, &three()).expect(201);
    let patch = |operations: Value| server.patch(&format!("{MCP}/name/shop"), &server.admin(), &operations);

    patch(json!([{"op": "remove", "path": "/connection/config/servers/0"}])).expect(200);
    assert_eq!(keys(&server), own(&["b", "c"]));
    let new = json!({"name": "d", "apiKey": "key of d", "env": {"TOKEN": "token of d"}});
    patch(json!([{"op": "add", "path": "/connection/config/servers/0", "value": new}])).expect(200);
    assert_eq!(keys(&server), own(&["d", "b", "c"]));
    patch(json!([{"op": "replace", "path": "/connection/config/servers/1/apiKey", "value": TEN}])).expect(200);
    patch(json!([{"op": "replace", "path": "/connection/config/servers/1/apiKey", "value": "new"}])).expect(200);
    assert_eq!(keys(&server)[1].1, "new");
}

#[test]
fn a_mask_of_a_worker_is_refused_where_it_creates() {
    let server = Server::start();
    let worker = server.bot("ingestion", "worker");

    assert_eq!(
        faulty_paths(&server.put(DATABASES, &worker, &mysql("shop", NINE))),
        ["connection.config.authType.password"]
    );
}

#[test]
fn stars_that_are_no_mask_are_a_value() {
    let server = Server::start();
    for stars in ["********", "***********", "********* "] {
        server.put(DATABASES, &server.admin(), &mysql("shop", stars));
        assert_eq!(config(&server, DATABASES, "plaintext")["authType"]["password"], stars);
    }
}
