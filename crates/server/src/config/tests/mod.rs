//! The configuration as an operator meets it: sources in, values or faults out.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use super::keys::{KEYS, OPENMETADATA_FERNET_KEY};
use super::*;
use secrecy::ExposeSecret;

mod database;
mod documents;

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn from_environment(pairs: &[(&str, &str)]) -> Result<Config, String> {
    let sources = Sources { environment: environment(pairs), ..Sources::default() };
    Config::load(&sources).map_err(|faults| faults.to_string())
}

fn from_yaml(yaml: &str) -> Result<Config, String> {
    from_yaml_and(yaml, &[], &[])
}

fn from_yaml_and(yaml: &str, pairs: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Config, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(yaml.as_bytes()).unwrap();
    let flags = flags.iter().map(|(flag, value)| (*flag, (*value).to_owned())).collect();
    let sources = Sources { file: Some(file.path().to_owned()), environment: environment(pairs), flags };
    // The file's name differs from run to run.
    let name = file.path().display().to_string();
    Config::load(&sources).map_err(|faults| faults.to_string().replace(&name, "FILE"))
}

fn faults(yaml: &str) -> String {
    from_yaml(yaml).unwrap_err()
}

fn shown(config: &Config) -> Vec<(String, Option<String>)> {
    config.provenance().into_iter().map(|shown| (shown.key, shown.value)).collect()
}

#[test]
fn without_any_source_every_key_has_its_default() {
    let config = from_environment(&[]).unwrap();

    insta::assert_snapshot!(as_text(&config.provenance()), @r"
    clusterName = openmetadata                       default
    dataDir = ./data                                 default
    keyRing.file = ./data/keys                       default
    keyRing.keys = (not set)                         default
    catalogVersion = 2.0.6                           default
    connectionTypesDir = (not set)                   default
    secretFieldNames = []                            default
    server.host = 127.0.0.1                          default
    server.port = 8585                               default
    server.adminPort = (not set)                     default
    server.insecureHttp = false                      default
    server.publicUrl = (not set)                     default
    server.trustedProxies = []                       default
    server.maxConnections = 1024                     default
    server.headerTimeoutSeconds = 10                 default
    server.requestTimeoutSeconds = 30                default
    server.maxBodyBytes = 1048576                    default
    server.drainSeconds = 10                         default
    database.url = sqlite:./data/strongroom.db       default
    database.user = (not set)                        default
    database.password = (not set)                    default
    database.passwordFile = (not set)                default
    database.tls.mode = (not set)                    default
    database.tls.caFile = (not set)                  default
    database.pool.maxConnections = 16                default
    secretsManagerConfiguration.secretsManager = db  default
    secretsManagerConfiguration.prefix = (not set)   default
    secretsManagerConfiguration.tags = []            default
    secretsManagerConfiguration.cacheSeconds = 0     default
    secretsManagerConfiguration.staleSeconds = 0     default
    references.allowedPrefixes = []                  default
    audit.sync = normal                              default
    log.level = info                                 default
    log.format = text                                default
    cache.maxMegabytes = 64                          default
    ");
    assert_eq!(config.database.sqlite_path(), Some(Path::new("./data/strongroom.db")));
    assert!(config.warnings.is_empty());
}

#[test]
fn a_later_source_overrides_an_earlier_one() {
    let yaml = "server: {port: 1, maxConnections: 7}\nclusterName: ${NAME}\n";

    let config = from_yaml_and(yaml, &[("SERVER_PORT", "2"), ("NAME", "shop")], &[("--port", "3")]).unwrap();

    assert_eq!((config.server.port, config.server.max_connections), (3, 7));
    let sources: Vec<String> =
        config.provenance().iter().map(|shown| format!("{} {}", shown.key, shown.source)).collect();
    assert!(sources.contains(&"server.port command line --port".to_owned()));
    assert!(
        sources
            .iter()
            .any(|line| line.starts_with("server.maxConnections file /") && line.ends_with(":server.maxConnections"))
    );
    assert!(sources.contains(&"server.host default".to_owned()));
}

#[test]
fn the_environment_overrides_the_file() {
    let config = from_yaml_and("server: {port: 1}", &[("SERVER_PORT", "2")], &[]).unwrap();

    assert_eq!(config.server.port, 2);
    let port = config.provenance().into_iter().find(|shown| shown.key == "server.port").unwrap();
    assert_eq!(port.source, Source::Environment("SERVER_PORT"));
}

#[test]
fn the_file_may_be_named_in_the_environment() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"clusterName: shop").unwrap();

    let config = from_environment(&[("STRONGROOM_CONFIG", file.path().to_str().unwrap())]).unwrap();

    assert_eq!(config.cluster_name, "shop");
}

#[test]
fn a_file_that_does_not_exist_is_a_fault() {
    let faults = from_environment(&[("STRONGROOM_CONFIG", "/no/such/file.yaml")]).unwrap_err();

    insta::assert_snapshot!(faults, @"/no/such/file.yaml: cannot be read: No such file or directory (os error 2)");
}

#[test]
fn all_faults_of_all_sources_are_reported_at_once_by_their_place() {
    let yaml = r#"
clusterName: a b
sever:
  port: 1
server:
  prot: 1
  port: http
  port: 2
  maxConnections: 0
  publicUrl: ${PUBLIC_URL}
  trustedProxies: [10.0.0.1, "${PROXY}"]
  drainSeconds: 1.5
port: 1
cluster_name: x
log: debug
elasticsearch: {}
"#;
    let pairs = [("LOG_LEVEL", "verbos"), ("SERVER_ADMIN_PORT", "x"), ("STRONGROOM_AUDIT_SYNC", "alway")];

    let faults = from_yaml_and(yaml, &pairs, &[("--host", "example.com")]).unwrap_err();

    insta::assert_snapshot!(faults, @r"
    sever: is not a known key; did you mean `server`?
    server.prot: is not a known key; did you mean `port`?
    server.port: is given twice; leave one
    server.publicUrl: the environment variable PUBLIC_URL is not set or empty; write ${PUBLIC_URL:-default} if it may be missing
    server.trustedProxies[1]: the environment variable PROXY is not set or empty; write ${PROXY:-default} if it may be missing
    port: is not a known key; did you mean `server.port`?
    cluster_name: is not a known key; did you mean `clusterName`?
    log: must be a mapping of keys, got text
    elasticsearch: is not a known key; known here: `clusterName`, `dataDir`, `keyRing`, `catalogVersion`, `connectionTypesDir`, `secretFieldNames`, `server`, `database`, `secretsManagerConfiguration`, `references`, `audit`, `log`, `cache`
    clusterName: must be 1 to 64 letters, digits, `_` or `-`
    server.port: must be an integer from 0 to 65535, got text
    server.maxConnections: must be an integer from 1 to 65536, got one outside this range
    server.drainSeconds: must be an integer from 0 to 10, got a number with a fraction
    SERVER_ADMIN_PORT: must be an integer from 0 to 65535, got text
    STRONGROOM_AUDIT_SYNC: must be one of `normal`, `always`; did you mean `always`?
    LOG_LEVEL: must be one of `error`, `warn`, `info`, `debug`, `trace`
    --host: must be an IP address, such as 127.0.0.1 or ::1, or `localhost`
    ");
}

/// A document that sets only the key at `path`.
fn nested(path: &str, value: &str) -> String {
    let around = |value: String, name: &str| format!("{{{name}: {value}}}");
    path.rsplit('.').fold(value.to_owned(), around)
}

#[test]
fn no_fault_quotes_a_value() {
    let canary = "hunter2canary";
    for key in KEYS {
        for value in [format!("\"{canary}:\\n\""), format!("{{{canary}: {canary}}}"), format!("[[{canary}]]")] {
            let faults = faults(&nested(key.path, &value));
            assert!(faults.starts_with(key.path), "{faults}");
            assert!(!faults.contains(canary), "{faults}");
        }
        if let Some(variable) = key.variable {
            let faults = from_environment(&[(variable, &format!("{canary}\u{7}"))]).unwrap_err();
            assert!(faults.starts_with(variable) && !faults.contains(canary), "{faults}");
        }
    }
}

#[test]
fn text_that_is_not_yaml_is_reported_by_line_without_being_quoted() {
    insta::assert_snapshot!(faults("clusterName: shop\nserver: [hunter2\n"), @"FILE: is not valid YAML at line 2, column 9: look at the indentation, quotes and tabs there");
    insta::assert_snapshot!(faults("a: b\n---\na: c\n"), @"FILE: must be one YAML document, not several");
    insta::assert_snapshot!(faults("- a\n"), @"FILE: must be a mapping of keys at its top level");
    insta::assert_snapshot!(faults("just text"), @"FILE: must be a mapping of keys at its top level");
}

#[test]
fn an_empty_file_and_empty_sections_set_nothing() {
    for yaml in
        ["", "# nothing\n", "---\n", "server:\nlog:\n  level:\n", "clusterName: ${MISSING:-}\nserver: {port: ''}"]
    {
        let config = from_yaml(yaml).unwrap();
        assert_eq!(shown(&config), shown(&from_environment(&[]).unwrap()), "{yaml}");
    }
}

#[test]
fn an_interpolated_text_is_parsed_to_what_the_key_wants() {
    let yaml = "server:\n  port: ${PORT:-9000}\n  insecureHttp: ${INSECURE}\n  trustedProxies: ${PROXIES}\n";

    let config = from_yaml_and(yaml, &[("INSECURE", "TRUE"), ("PROXIES", "10.0.0.9/8, ::1")], &[]).unwrap();

    assert_eq!(config.server.port, 9000);
    assert!(config.server.insecure_http);
    assert_eq!(config.server.trusted_proxies, ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
}

#[test]
fn a_variable_cannot_change_the_structure_of_the_file() {
    let sly = "x\nserver: {insecureHttp: true}";

    let faults = from_yaml_and("clusterName: ${SLY}", &[("SLY", sly)], &[]).unwrap_err();

    assert_eq!(faults, "clusterName: must not contain line breaks or other control characters");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let config =
        from_environment(&[("SERVER_PORT", ""), ("SECRET_MANAGER_PREFIX", "\"\""), ("FERNET_KEY", " ")]).unwrap();

    assert_eq!(config.server.port, 8585);
    assert_eq!(config.secrets_manager.prefix, "");
}

#[test]
fn a_name_with_a_dot_is_not_a_path() {
    insta::assert_snapshot!(faults("server.port: 1"), @"server.port: has a dot in its name; write the part after it on a line of its own, indented below the part before");
}

#[test]
fn an_address_other_than_loopback_needs_insecure_http() {
    insta::assert_snapshot!(from_environment(&[("SERVER_HOST", "0.0.0.0")]).unwrap_err(), @"SERVER_HOST: is not a loopback address: tokens and secrets would cross the network in plain text, since this version has no TLS. Listen on 127.0.0.1 behind a proxy that has TLS, or accept it with --insecure-http (server.insecureHttp, STRONGROOM_INSECURE_HTTP)");
    assert!(faults("server: {host: '::'}").starts_with("server.host: is not a loopback address"));

    assert!(from_yaml_and("", &[("SERVER_HOST", "0.0.0.0")], &[("--insecure-http", "true")]).is_ok());
    for host in ["127.0.0.1", "127.1.2.3", "localhost", "[::1]"] {
        assert!(from_environment(&[("SERVER_HOST", host)]).is_ok(), "{host}");
    }
}

#[test]
fn secrets_managers_of_this_version_are_taken() {
    let kind = |name| from_environment(&[("SECRET_MANAGER", name)]).unwrap().secrets_manager.kind;

    assert_eq!(kind("db"), SecretsManagerKind::Database);
    assert_eq!(kind("NOOP"), SecretsManagerKind::Database);
    assert_eq!(kind("in-memory"), SecretsManagerKind::InMemory);
}

#[test]
fn other_secrets_managers_are_refused_with_what_to_use() {
    let fault = |name| from_environment(&[("SECRET_MANAGER", name)]).unwrap_err();

    insta::assert_snapshot!(fault("gcp"), @"SECRET_MANAGER: names a secrets manager that is not in this version; use `db`");
    insta::assert_snapshot!(fault("manged-aws"), @"SECRET_MANAGER: is not the name of a secrets manager; did you mean `managed-aws`? This version has `db`, `noop`, `in-memory`, `managed-aws`, `aws`, `managed-aws-ssm`, `aws-ssm`; not yet in it are `managed-azure-kv`, `gcp`, `kubernetes`, `managed-openbao`, `managed-vault`, `azure-kv`, `openbao`");
    insta::assert_snapshot!(fault("keychain"), @"SECRET_MANAGER: is not the name of a secrets manager. This version has `db`, `noop`, `in-memory`, `managed-aws`, `aws`, `managed-aws-ssm`, `aws-ssm`; not yet in it are `managed-azure-kv`, `gcp`, `kubernetes`, `managed-openbao`, `managed-vault`, `azure-kv`, `openbao`");
}

#[test]
fn tags_separate_at_the_first_colon() {
    let tags = |config: Config| config.secrets_manager.tags;
    let expected = [("team".to_owned(), "data".to_owned()), ("arn".to_owned(), "a:b".to_owned())];

    assert_eq!(tags(from_environment(&[("SECRET_MANAGER_TAGS", "[team:data, arn:a:b]")]).unwrap()), expected);
    let yaml = "secretsManagerConfiguration: {tags: ['team:data', 'arn:a:b']}";
    assert_eq!(tags(from_yaml(yaml).unwrap()), expected);
    for bad in ["[team]", "[:x]", "[a:1,a:2]", "[a:1,]"] {
        assert!(from_environment(&[("SECRET_MANAGER_TAGS", bad)]).is_err(), "{bad}");
    }
}

#[test]
fn parameters_come_from_file_and_environment_and_are_never_shown() {
    let yaml = "secretsManagerConfiguration: {parameters: {region: eu, kmsKeyId: 'canary-1', inCluster: true, projectId: 0123}}";

    let config = from_yaml_and(yaml, &[("OM_SM_REGION", "us"), ("OM_SM_ACCESS_KEY", "canary-2")], &[]).unwrap();

    let reveal = |name: &str| config.secrets_manager.parameters.get(name).unwrap().expose_secret().to_owned();
    assert_eq!([reveal("region"), reveal("kmsKeyId")], ["us", "canary-1"]);
    assert_eq!([reveal("inCluster"), reveal("projectId"), reveal("secretAccessKey")], ["true", "0123", "canary-2"]);
    let shown = config.provenance();
    let text = as_text(&shown) + &serde_json::to_string(&shown).unwrap() + &format!("{config:?}");
    assert!(!text.contains("canary"), "{text}");
    let region = shown.iter().find(|shown| shown.key.ends_with("parameters.region")).unwrap();
    assert_eq!(region.value.as_deref(), Some("(set)"));
    assert_eq!(region.source.to_string(), "environment OM_SM_REGION");
}

#[test]
fn a_fernet_key_is_refused_with_what_to_do_instead() {
    insta::assert_snapshot!(from_environment(&[("FERNET_KEY", "hunter2")]).unwrap_err(), @"FERNET_KEY: Strongroom does not use a Fernet key: it keeps a key ring of its own in <dataDir>/keys, made at the first start. Unset this one; to bring connections over, PUT them again with their secrets.");
    let yaml = "fernetConfiguration:\n  fernetKey: ${FERNET_KEY:-hunter2}\n";
    assert!(faults(yaml).starts_with("fernetConfiguration: Strongroom does not use a Fernet key"));
    assert!(faults("fernetKey:").starts_with("fernetKey: Strongroom does not use"));
}

#[test]
fn the_fernet_key_that_everybody_knows_is_called_public() {
    let yaml = format!("fernetConfiguration: {{fernetKey: '${{FERNET_KEY:-{OPENMETADATA_FERNET_KEY}}}'}}");

    for fault in [faults(&yaml), from_environment(&[("FERNET_KEY", OPENMETADATA_FERNET_KEY)]).unwrap_err()] {
        assert!(fault.contains("so it is public"), "{fault}");
        assert!(!fault.contains(OPENMETADATA_FERNET_KEY), "{fault}");
    }
}

#[test]
fn what_has_no_effect_is_warned_of() {
    let pairs = [("SERVER_ADMIN_PORT", "8586"), ("STRONGROOM_DATADIR", "x"), ("STRONGROOM_SERVICE_HOST", "10.0.0.1")];

    let config = from_environment(&pairs).unwrap();

    insta::assert_snapshot!(config.warnings.join("\n"), @r"
    STRONGROOM_DATADIR has no effect: no such variable is read; did you mean STRONGROOM_DATA_DIR?
    SERVER_ADMIN_PORT has no effect: there is no admin port
    ");
}

#[test]
fn log_levels_are_taken_in_any_case_and_mistyped_ones_refused() {
    let filter = |level| from_environment(&[("LOG_LEVEL", level)]).map(|config| config.log.filter);

    assert_eq!(filter("WARN").unwrap(), "warn");
    assert_eq!(filter("info,strongroom_http_api=debug").unwrap(), "info,strongroom_http_api=debug");
    insta::assert_snapshot!(filter("verbose").unwrap_err(), @"LOG_LEVEL: must be one of `error`, `warn`, `info`, `debug`, `trace`");
    insta::assert_snapshot!(filter("strongroom=loud").unwrap_err(), @"LOG_LEVEL: must be a level, or directives such as `info,strongroom_http_api=debug`");
}

#[test]
fn a_variable_that_is_not_utf8_is_refused() {
    let faults = from_environment(&[("STRONGROOM_DATA_DIR", "/srv/\u{FFFD}")]).unwrap_err();

    assert_eq!(faults, "STRONGROOM_DATA_DIR: is not valid UTF-8");
}

#[test]
fn public_urls_lose_their_last_slash_and_hold_no_password() {
    let url = |url| from_environment(&[("STRONGROOM_PUBLIC_URL", url)]).map(|config| config.server.public_url);

    assert_eq!(
        url("https://catalog.example.com:8443/sr/").unwrap().as_deref(),
        Some("https://catalog.example.com:8443/sr")
    );
    for bad in ["catalog", "ftp://x", "https://", "https://u:hunter2@x", "https://x?y", "https://x#y", "https:///x"] {
        assert!(url(bad).is_err(), "{bad}");
    }
}

#[test]
fn values_as_json_name_key_value_source_and_meaning() {
    let config = from_environment(&[]).unwrap();

    let json = serde_json::to_value(config.provenance().first()).unwrap();

    assert_eq!(json["key"], "clusterName");
    assert_eq!(json["value"], "openmetadata");
    assert_eq!(json["source"], "default");
    assert!(json["meaning"].is_string());
}

#[test]
fn a_key_ring_in_the_environment_takes_no_file_beside_it_and_is_not_shown() {
    let keys = ("STRONGROOM_KEY_RING", "# key\ncanary\n");

    let config = from_environment(&[keys]).unwrap();
    let faults = from_environment(&[keys, ("STRONGROOM_KEY_RING_FILE", "/run/keys")]).unwrap_err();

    assert!(!format!("{config:?}").contains("canary") && !format!("{:?}", shown(&config)).contains("canary"));
    assert_eq!(faults, "STRONGROOM_KEY_RING: must not be given beside STRONGROOM_KEY_RING_FILE; leave one of them");
}

#[test]
fn a_key_ring_elsewhere_than_in_the_data_directory_is_filled_by_others() {
    let ring = |file| from_environment(&[("STRONGROOM_DATA_DIR", "/d"), ("STRONGROOM_KEY_RING_FILE", file)]).unwrap();

    assert!(!ring("<dataDir>/keys").key_ring.is_mounted);
    assert!(ring("/run/secrets/keys").key_ring.is_mounted);
    assert_eq!(ring("<dataDir>/keys").key_ring.file, PathBuf::from("/d/keys"));
}
