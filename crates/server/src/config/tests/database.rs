//! The keys below `database`, each alone and beside the others.

use std::path::PathBuf;

use super::*;
use crate::config::database::{DatabaseEngine, ServerDatabase, ServerKind, TlsMode};

const URL: &str = "STRONGROOM_DATABASE_URL";
const USER: &str = "STRONGROOM_DATABASE_USER";
const PASSWORD: &str = "STRONGROOM_DATABASE_PASSWORD";
const PASSWORD_FILE: &str = "STRONGROOM_DATABASE_PASSWORD_FILE";
const TLS_MODE: &str = "STRONGROOM_DATABASE_TLS_MODE";
const CA_FILE: &str = "STRONGROOM_DATABASE_TLS_CA_FILE";
const MAX_CONNECTIONS: &str = "STRONGROOM_DATABASE_POOL_MAX_CONNECTIONS";

fn server(pairs: &[(&str, &str)]) -> ServerDatabase {
    match from_environment(pairs).unwrap().database.engine {
        DatabaseEngine::Server(server) => server,
        DatabaseEngine::Sqlite { path } => panic!("{}", path.display()),
    }
}

fn at(url: &str) -> ServerDatabase {
    server(&[(URL, url)])
}

fn fault(url: &str) -> String {
    from_environment(&[(URL, url)]).unwrap_err()
}

fn password(server: &ServerDatabase) -> Option<&str> {
    server.password.as_ref().map(strongroom_domain::SecretValue::reveal)
}

#[test]
fn the_database_lies_in_the_data_directory_unless_a_path_is_given() {
    let path = |pairs| from_environment(pairs).unwrap().database.sqlite_path().map(Path::to_owned).unwrap();

    assert_eq!(path(&[("STRONGROOM_DATA_DIR", "/srv")]), Path::new("/srv/strongroom.db"));
    assert_eq!(path(&[(URL, "sqlite:///var/x.db")]), Path::new("/var/x.db"));
    assert_eq!(path(&[(URL, "sqlite:x.db")]), Path::new("x.db"));
    for url in ["sqlite:", "sqlite::memory:", "sqlite:x.db?mode=ro", "x.db", "sqlite:dir/"] {
        assert!(from_environment(&[(URL, url)]).is_err(), "{url}");
    }
}

#[test]
fn the_url_of_a_server_is_taken_apart() {
    let server = at("postgres://ada:canary-1@db.example.com:6432/strongroom?sslmode=require");

    assert_eq!((server.kind, server.host.as_str(), server.port), (ServerKind::Postgres, "db.example.com", 6432));
    assert_eq!((server.name.as_str(), server.user.as_str()), ("strongroom", "ada"));
    assert_eq!((password(&server), server.tls), (Some("canary-1"), TlsMode::Require));
    assert_eq!((server.password_file, server.ca_file), (None, None));
}

#[test]
fn every_server_has_its_schemes_and_its_port() {
    for (scheme, kind, port) in [
        ("postgres", ServerKind::Postgres, 5432),
        ("postgresql", ServerKind::Postgres, 5432),
        ("mysql", ServerKind::MySql, 3306),
        ("MariaDB", ServerKind::MySql, 3306),
    ] {
        let server = at(&format!("{scheme}://u@db/x"));
        assert_eq!((server.kind, server.port), (kind, port), "{scheme}");
    }
}

#[test]
fn an_ipv6_host_stands_in_brackets() {
    let server = at("mysql://u@[fd00::7]:3307/x");

    assert_eq!((server.host.as_str(), server.port), ("fd00::7", 3307));
    assert_eq!(server.to_string(), "mysql://[fd00::7]:3307/x");
}

#[test]
fn user_password_and_name_may_be_percent_encoded() {
    let server = at("postgres://a%40b:p%2Fw%25%3A%23%C3%A9@db/strong%20room%2F1");

    assert_eq!((server.user.as_str(), password(&server)), ("a@b", Some("p/w%:#é")));
    assert_eq!(server.name, "strong room/1");
}

#[test]
fn user_password_and_tls_may_stand_beside_the_url() {
    let pairs = [(URL, "mysql://db/x"), (USER, "ada"), (PASSWORD, " canary-1"), (TLS_MODE, "verify-ca")];
    let with_password = server(&[&pairs[..], &[(CA_FILE, "/etc/ca.pem"), (MAX_CONNECTIONS, "40")]].concat());
    let with_file = server(&[(URL, "mysql://u@db/x"), (PASSWORD_FILE, "/run/secrets/db")]);

    assert_eq!((with_password.user.as_str(), password(&with_password)), ("ada", Some(" canary-1")));
    assert_eq!((with_password.tls, with_password.ca_file), (TlsMode::VerifyCa, Some(PathBuf::from("/etc/ca.pem"))));
    assert_eq!((password(&with_file), with_file.password_file.as_deref()), (None, Some(Path::new("/run/secrets/db"))));
}

#[test]
fn a_server_elsewhere_must_prove_who_it_is_unless_told_otherwise() {
    for host in ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"] {
        assert_eq!(at(&format!("postgres://u@{host}/x")).tls, TlsMode::Prefer, "{host}");
    }
    for host in ["db", "10.0.0.1", "[fd00::1]", "localhost.example.com", "127.0.0.1.example.com"] {
        assert_eq!(at(&format!("postgres://u@{host}/x")).tls, TlsMode::VerifyFull, "{host}");
    }
    assert_eq!(at("mysql://u@db/x?ssl-mode=DISABLE").tls, TlsMode::Disable);
}

#[test]
fn the_pool_has_sixteen_connections_and_at_least_two() {
    let pool = |count| from_environment(&[(URL, "mysql://u@db/x"), (MAX_CONNECTIONS, count)]);

    assert_eq!(pool("").unwrap().database.max_connections, 16);
    assert_eq!(pool("2").unwrap().database.max_connections, 2);
    insta::assert_snapshot!(pool("1").unwrap_err(), @"STRONGROOM_DATABASE_POOL_MAX_CONNECTIONS: must be an integer from 2 to 1000, got one outside this range");
}

#[test]
fn the_flag_overrides_the_environment() {
    let config = from_yaml_and("", &[(URL, "mysql://u@db/x")], &[("--database-url", "postgres://u@db/y")]).unwrap();

    assert_eq!(config.database.engine.to_string(), "postgres://db:5432/y");
}

#[test]
fn a_url_that_names_no_database_is_refused_with_what_is_allowed() {
    insta::assert_snapshot!(fault("oracle://u@db/x"), @"STRONGROOM_DATABASE_URL: must be `sqlite:<path>`, `postgres://user@host:port/name` or `mysql://user@host:port/name`");
    insta::assert_snapshot!(fault("postgres:///x"), @"STRONGROOM_DATABASE_URL: has no host; write `postgres://user@host:port/name` or `mysql://user@host:port/name`");
    insta::assert_snapshot!(fault("postgres://u@db"), @"STRONGROOM_DATABASE_URL: has no name of a database; write it after the host, as in `postgres://user@host:port/name`");
    insta::assert_snapshot!(fault("postgres://db/x"), @"STRONGROOM_DATABASE_URL: has no user; write it before the host, as in `user@host`, or set database.user");
    insta::assert_snapshot!(fault("postgres://u@db/x/y"), @"STRONGROOM_DATABASE_URL: must have one name after the host; write a `/` in it as %2F");
    insta::assert_snapshot!(fault("postgres://u@a,b/x"), @"STRONGROOM_DATABASE_URL: must have one host: a name, an IPv4 address, or an IPv6 address in brackets");
    insta::assert_snapshot!(fault("mysql://u@db/x?ssl-mode=on"), @"STRONGROOM_DATABASE_URL: has a TLS mode other than `disable`, `prefer`, `require`, `verify-ca`, `verify-full`");
    insta::assert_snapshot!(fault("mysql://u@db/x?connect_timeout=3"), @"STRONGROOM_DATABASE_URL: has a parameter that is not known, `connect_timeout`; only `sslmode` (or `ssl-mode`) may stand there");
    for url in ["postgres:u@db/x", "postgres://u@db/", "postgres://u@/x", "postgres://u@:1/x", "postgres://u@%2Frun/x"]
    {
        assert!(fault(url).starts_with(URL), "{url}");
    }
}

#[test]
fn no_fault_of_a_url_repeats_any_part_of_a_password() {
    for url in [
        "mssql://u:canary@db/x",
        "postgres://u:canary@db",
        "postgres://u:canary@/x",
        "postgres://u:canary@db:port/x",
        "postgres://u:canary@db:0/x",
        "postgres://u:canary@[::g]/x",
        "postgres://u:canary@db/x?canary",
        "postgres://u:canary@db/x?sslmode=canary",
        "postgres://u:canary@db/x?sslmode=prefer&sslmode=canary",
        "postgres://u:canary@db/x#canary",
        "postgres://u:canary%@db/x",
        "postgres://u:canary%00@db/x",
        "postgres://u:canary%FF@db/x",
        "postgres://u:canary/@db/x",
        "postgres://u:1/canary@db/x",
        "postgres://u:1/x?canary=1@db/x",
        "postgres://u:1#canary@db/x",
        "postgres:u:canary@db/x",
        "canary",
    ] {
        let fault = fault(url);
        assert!(fault.starts_with(URL) && !fault.contains("canary") && !fault.contains('\n'), "{url}: {fault}");
    }
}

#[test]
fn what_is_said_twice_is_refused_by_both_places() {
    let beside = |url, name, value| from_environment(&[(URL, url), (name, value)]).unwrap_err();

    insta::assert_snapshot!(beside("mysql://u:canary@db/x", PASSWORD, "canary"), @"STRONGROOM_DATABASE_PASSWORD: must not be given beside the password in STRONGROOM_DATABASE_URL; leave one of them");
    insta::assert_snapshot!(beside("mysql://u:canary@db/x", PASSWORD_FILE, "/run/p"), @"STRONGROOM_DATABASE_PASSWORD_FILE: must not be given beside the password in STRONGROOM_DATABASE_URL; leave one of them");
    insta::assert_snapshot!(beside("mysql://u@db/x", USER, "u"), @"STRONGROOM_DATABASE_USER: must not be given beside the user in STRONGROOM_DATABASE_URL; leave one of them");
    insta::assert_snapshot!(beside("mysql://u@db/x?sslmode=prefer", TLS_MODE, "prefer"), @"STRONGROOM_DATABASE_TLS_MODE: must not be given beside the TLS mode in STRONGROOM_DATABASE_URL; leave one of them");

    let yaml = "database: {url: 'mysql://u@db/x', password: canary, passwordFile: /run/p}";
    insta::assert_snapshot!(faults(yaml), @"database.passwordFile: must not be given beside database.password; leave one of them");
}

#[test]
fn keys_of_a_server_are_refused_beside_sqlite() {
    let yaml = "
database:
  user: ada
  password: canary
  passwordFile: /run/p
  tls: {mode: require, caFile: /etc/ca.pem}
  pool: {maxConnections: 16}
";
    insta::assert_snapshot!(faults(yaml), @r"
    database.user: has no effect: the database is SQLite; leave this out, or name a database server in database.url
    database.password: has no effect: the database is SQLite; leave this out, or name a database server in database.url
    database.passwordFile: has no effect: the database is SQLite; leave this out, or name a database server in database.url
    database.tls.mode: has no effect: the database is SQLite; leave this out, or name a database server in database.url
    database.tls.caFile: has no effect: the database is SQLite; leave this out, or name a database server in database.url
    database.pool.maxConnections: has no effect: the database is SQLite; leave this out, or name a database server in database.url
    ");
}

#[test]
fn certificates_that_nothing_would_check_are_refused() {
    let fault = |url| from_environment(&[(URL, url), (CA_FILE, "/etc/ca.pem")]).map(|_| ());

    assert_eq!(fault("mysql://u@db/x"), Ok(()));
    insta::assert_snapshot!(fault("mysql://u@localhost/x").unwrap_err(), @"STRONGROOM_DATABASE_TLS_CA_FILE: has no effect, since this TLS mode does not check certificates; set database.tls.mode to `verify-full` or `verify-ca`, or leave this out");
    assert!(fault("mysql://u@db/x?sslmode=require").is_err());
}

#[test]
fn a_wrong_url_is_not_told_twice() {
    let yaml = "database: {url: '${MISSING}', user: ada, password: canary}";

    insta::assert_snapshot!(faults(yaml), @"database.url: the environment variable MISSING is not set or empty; write ${MISSING:-default} if it may be missing");
}

#[test]
fn a_password_is_never_shown() {
    for pairs in [
        &[(URL, "postgres://ada:canary%2F1@db:6432/x?sslmode=require")][..],
        &[(URL, "postgres://ada@db:6432/x?sslmode=require"), (PASSWORD, "canary/1")],
    ] {
        let config = from_environment(pairs).unwrap();
        let shown = config.provenance();
        let text = as_text(&shown) + &serde_json::to_string(&shown).unwrap() + &format!("{config:?}");
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn what_stands_in_the_url_is_shown_as_coming_from_it() {
    let config = from_environment(&[(URL, "mariadb://ada:canary@db/x?sslmode=require")]).unwrap();

    let shown: Vec<_> = config.provenance().into_iter().filter(|shown| shown.key.starts_with("database.")).collect();
    insta::assert_snapshot!(as_text(&shown), @r"
    database.url = mariadb://ada:*********@db/x?sslmode=require  environment STRONGROOM_DATABASE_URL
    database.user = ada                                          environment STRONGROOM_DATABASE_URL
    database.password = (set)                                    environment STRONGROOM_DATABASE_URL
    database.passwordFile = (not set)                            default
    database.tls.mode = require                                  environment STRONGROOM_DATABASE_URL
    database.tls.caFile = (not set)                              default
    database.pool.maxConnections = 16                            default
    ");
}

#[test]
fn a_safer_audit_than_a_server_gives_is_not_promised() {
    let warnings = |pairs: &[(&str, &str)]| from_environment(pairs).unwrap().warnings;
    let always = ("STRONGROOM_AUDIT_SYNC", "always");

    let on_a_server = warnings(&[(URL, "postgres://ada@db/x"), always]);

    assert!(on_a_server[0].starts_with("STRONGROOM_AUDIT_SYNC has no effect"), "{on_a_server:?}");
    assert_eq!(warnings(&[always]), Vec::<String>::new());
}
