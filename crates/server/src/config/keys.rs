//! The table of keys: all an operator can set, each once, with everything that is known about it.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::database::TlsMode;
use super::database_url::database_url;
use super::parse::{Parsed, boolean, choice, integer, seconds, secret};
use super::provenance::SET;
use super::{AuditSync, Config, LogFormat, database_settings, rules};

/// One key.
pub(super) struct Key {
    /// Its path in the file.
    pub(super) path: &'static str,
    /// The environment variable that overrides the file.
    pub(super) variable: Option<&'static str>,
    /// The flag that overrides the environment.
    pub(super) flag: Option<&'static str>,
    /// The default as an operator would write it; empty where there is none.
    pub(super) default: &'static str,
    /// What it means, with units and limits: the line of the documentation.
    pub(super) meaning: &'static str,
    /// Parses a value and puts it into its field.
    pub(super) set: fn(&mut Config, &Value) -> Parsed<()>,
    /// The value in force; none where nothing is set.
    pub(super) show: fn(&Config) -> Option<String>,
}

/// A parameter of a secrets manager that has an environment variable; other parameters are free.
pub(super) struct NamedParameter {
    /// Its name below [`PARAMETERS`].
    pub(super) name: &'static str,
    /// The environment variable that overrides the file.
    pub(super) variable: &'static str,
    /// What it means.
    pub(super) meaning: &'static str,
}

/// When an audit entry counts as written.
pub(super) const AUDIT_SYNC: &str = "audit.sync";

/// Where the key ring is.
pub(super) const KEY_RING_FILE: &str = "keyRing.file";

/// The key ring itself.
pub(super) const KEY_RING_KEYS: &str = "keyRing.keys";

/// The free map of parameters of the secrets manager.
pub(super) const PARAMETERS: &str = "secretsManagerConfiguration.parameters";

/// The key `OpenMetadata` ships with, which everybody knows.
pub(super) const OPENMETADATA_FERNET_KEY: &str = "jJ/9sz0g0OHxsfxOoSfdFdmk3ysNmPRnH3TUAbz3IHA=";

const AUDIT_SYNCS: [(&str, AuditSync); 2] = [("normal", AuditSync::Normal), ("always", AuditSync::Always)];
const LOG_FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

/// All keys, in the order of the documentation.
pub(super) const KEYS: &[Key] = &[
    Key {
        path: "clusterName",
        variable: Some("OPENMETADATA_CLUSTER_NAME"),
        flag: None,
        default: "openmetadata",
        meaning: "The cluster's name, part of the names of secrets: 1 to 64 letters, digits, `_` or `-`.",
        set: |config, value| put(&mut config.cluster_name, rules::cluster_name(value)),
        show: |config| Some(config.cluster_name.clone()),
    },
    Key {
        path: "dataDir",
        variable: Some("STRONGROOM_DATA_DIR"),
        flag: Some("--data-dir"),
        default: "./data",
        meaning: "The directory of what Strongroom keeps: database, key ring, first admin's token, unless told otherwise.",
        set: |config, value| put(&mut config.data_dir, rules::path(value)),
        show: |config| Some(path(&config.data_dir)),
    },
    Key {
        path: KEY_RING_FILE,
        variable: Some("STRONGROOM_KEY_RING_FILE"),
        flag: None,
        default: "<dataDir>/keys",
        meaning: "The file of the key ring. Elsewhere than by default, such as a mounted secret: never made by Strongroom, and its group may read it.",
        set: |config, value| put(&mut config.key_ring.file, rules::path(value)),
        show: |config| Some(path(&config.key_ring.file)),
    },
    Key {
        path: KEY_RING_KEYS,
        variable: Some("STRONGROOM_KEY_RING"),
        flag: None,
        default: "",
        meaning: "The key ring itself, as its file would hold it, instead of a file; `config show` tells only whether it is set.",
        set: |config, value| put(&mut config.key_ring.keys, rules::key_ring(value).map(Some)),
        show: |config| config.key_ring.keys.as_ref().map(|_| SET.to_owned()),
    },
    Key {
        path: "catalogVersion",
        variable: Some("STRONGROOM_CATALOG_VERSION"),
        flag: None,
        default: "2.0.6",
        meaning: "The version clients are answered: three numbers, of which the first two must equal the client's.",
        set: |config, value| put(&mut config.catalog_version, rules::catalog_version(value)),
        show: |config| Some(config.catalog_version.clone()),
    },
    Key {
        path: "connectionTypesDir",
        variable: Some("STRONGROOM_CONNECTION_TYPES_DIR"),
        flag: None,
        default: "",
        meaning: "A directory of your own connection types, which add to or override the built-in ones.",
        set: |config, value| put(&mut config.connection_types_dir, rules::path(value).map(Some)),
        show: |config| Some(path(config.connection_types_dir.as_deref()?)),
    },
    Key {
        path: "secretFieldNames",
        variable: Some("STRONGROOM_SECRET_FIELD_NAMES"),
        flag: None,
        default: "[]",
        meaning: "Further words that mark a key of a free map as secret: a list, each 2 to 64 letters, digits, `_` or `-`.",
        set: |config, value| put(&mut config.secret_field_names, rules::secret_field_names(value)),
        show: |config| Some(joined(config.secret_field_names.iter())),
    },
    Key {
        path: "server.host",
        variable: Some("SERVER_HOST"),
        flag: Some("--host"),
        default: "127.0.0.1",
        meaning: "The IP address to listen on; other than loopback only with `server.insecureHttp`.",
        set: |config, value| put(&mut config.server.host, rules::host(value)),
        show: |config| Some(config.server.host.to_string()),
    },
    Key {
        path: "server.port",
        variable: Some("SERVER_PORT"),
        flag: Some("--port"),
        default: "8585",
        meaning: "The port to listen on, 0 to 65535; 0 is any free one.",
        set: |config, value| put(&mut config.server.port, integer(value, 0..=65_535)),
        show: |config| Some(config.server.port.to_string()),
    },
    Key {
        path: "server.adminPort",
        variable: Some("SERVER_ADMIN_PORT"),
        flag: None,
        default: "",
        meaning: "No effect: accepted with a warning, because existing deployments set it. There is no admin port.",
        set: |config, value| put(&mut config.server.admin_port, integer(value, 0..=65_535).map(Some)),
        show: |config| config.server.admin_port.map(|port| port.to_string()),
    },
    Key {
        path: "server.insecureHttp",
        variable: Some("STRONGROOM_INSECURE_HTTP"),
        flag: Some("--insecure-http"),
        default: "false",
        meaning: "`true` lets plain HTTP leave this machine: tokens and secrets can then be read on the network.",
        set: |config, value| put(&mut config.server.insecure_http, boolean(value)),
        show: |config| Some(config.server.insecure_http.to_string()),
    },
    Key {
        path: "server.publicUrl",
        variable: Some("STRONGROOM_PUBLIC_URL"),
        flag: None,
        default: "",
        meaning: "The base of the links in answers, such as `https://catalog.example.com`; else the request's `Host`.",
        set: |config, value| put(&mut config.server.public_url, rules::public_url(value).map(Some)),
        show: |config| config.server.public_url.clone(),
    },
    Key {
        path: "server.trustedProxies",
        variable: Some("STRONGROOM_TRUSTED_PROXIES"),
        flag: None,
        default: "[]",
        meaning: "IP addresses and networks whose `X-Forwarded-For` the audit believes: a list.",
        set: |config, value| put(&mut config.server.trusted_proxies, rules::networks(value)),
        show: |config| Some(joined(config.server.trusted_proxies.iter())),
    },
    Key {
        path: "server.maxConnections",
        variable: None,
        flag: None,
        default: "1024",
        meaning: "Connections open at once, 1 to 65536; where more come, the oldest that asks nothing is closed.",
        set: |config, value| put(&mut config.server.max_connections, integer(value, 1..=65_536)),
        show: |config| Some(config.server.max_connections.to_string()),
    },
    Key {
        path: "server.headerTimeoutSeconds",
        variable: None,
        flag: None,
        default: "10",
        meaning: "Seconds a client may take to send the head of a request, 1 to 300.",
        set: |config, value| put(&mut config.server.header_timeout, seconds(value, 1..=300)),
        show: |config| Some(whole_seconds(config.server.header_timeout)),
    },
    Key {
        path: "server.requestTimeoutSeconds",
        variable: None,
        flag: None,
        default: "30",
        meaning: "Seconds a request may take, from its head to its answer, 1 to 3600.",
        set: |config, value| put(&mut config.server.request_timeout, seconds(value, 1..=3600)),
        show: |config| Some(whole_seconds(config.server.request_timeout)),
    },
    Key {
        path: "server.maxBodyBytes",
        variable: None,
        flag: None,
        default: "1048576",
        meaning: "Bytes of the largest request body that is read, 1024 to 67108864 (64 MiB); more is answered 413.",
        set: |config, value| put(&mut config.server.max_body_bytes, integer(value, 1024..=67_108_864)),
        show: |config| Some(config.server.max_body_bytes.to_string()),
    },
    Key {
        path: "server.drainSeconds",
        variable: None,
        flag: None,
        default: "10",
        meaning: "Seconds that running requests may go on after SIGTERM, 0 to 10.",
        set: |config, value| put(&mut config.server.drain, seconds(value, 0..=10)),
        show: |config| Some(whole_seconds(config.server.drain)),
    },
    Key {
        path: "database.url",
        variable: Some("STRONGROOM_DATABASE_URL"),
        flag: Some("--database-url"),
        default: "sqlite:<dataDir>/strongroom.db",
        meaning: "Where services are stored: `sqlite:` and the path of a file (a leading `<dataDir>` is the data directory), `postgres://user@host:port/name` or `mysql://user@host:port/name`.",
        set: |config, value| put(&mut config.database_settings.url, database_url(value)),
        show: |config| Some(config.shown_database_url()),
    },
    Key {
        path: "database.user",
        variable: Some("STRONGROOM_DATABASE_USER"),
        flag: None,
        default: "",
        meaning: "Server databases: the user, where the url has none.",
        set: |config, value| put(&mut config.database_settings.user, database_settings::user(value).map(Some)),
        show: |config| Some(config.database_server()?.user.clone()),
    },
    Key {
        path: "database.password",
        variable: Some("STRONGROOM_DATABASE_PASSWORD"),
        flag: None,
        default: "",
        meaning: "Server databases: the user's password, where neither the url nor a file has it.",
        set: |config, value| put(&mut config.database_settings.password, secret(value).map(Some)),
        show: |config| config.database_server()?.password.as_ref().map(|_| SET.to_owned()),
    },
    Key {
        path: "database.passwordFile",
        variable: Some("STRONGROOM_DATABASE_PASSWORD_FILE"),
        flag: None,
        default: "",
        meaning: "Server databases: a file that holds the password; a line break at its end does not count.",
        set: |config, value| put(&mut config.database_settings.password_file, rules::path(value).map(Some)),
        show: |config| Some(path(config.database_server()?.password_file.as_deref()?)),
    },
    Key {
        path: "database.tls.mode",
        variable: Some("STRONGROOM_DATABASE_TLS_MODE"),
        flag: None,
        default: "",
        meaning: "Server databases: `disable`, `prefer`, `require`, `verify-ca` or `verify-full`; without it `prefer` for a loopback host, else `verify-full`.",
        set: |config, value| put(&mut config.database_settings.tls_mode, choice(value, &TlsMode::WORDS).map(Some)),
        show: |config| word(&TlsMode::WORDS, &config.database_server()?.tls),
    },
    Key {
        path: "database.tls.caFile",
        variable: Some("STRONGROOM_DATABASE_TLS_CA_FILE"),
        flag: None,
        default: "",
        meaning: "Server databases: a file of certificates (PEM) of authorities that are trusted beside those that browsers trust, for `verify-ca` and `verify-full`.",
        set: |config, value| put(&mut config.database_settings.ca_file, rules::path(value).map(Some)),
        show: |config| Some(path(config.database_server()?.ca_file.as_deref()?)),
    },
    Key {
        path: "database.pool.maxConnections",
        variable: Some("STRONGROOM_DATABASE_POOL_MAX_CONNECTIONS"),
        flag: None,
        default: "16",
        meaning: "Server databases: connections to the server open at once, 2 to 1000.",
        set: |config, value| put(&mut config.database.max_connections, integer(value, 2..=1000)),
        show: |config| Some(config.database.max_connections.to_string()),
    },
    Key {
        path: "secretsManagerConfiguration.secretsManager",
        variable: Some("SECRET_MANAGER"),
        flag: None,
        default: "db",
        meaning: "Where secrets are kept: `db` (or `noop`), encrypted in the database; `managed-aws`, AWS Secrets Manager; `managed-aws-ssm`, AWS SSM Parameter Store; `in-memory`, for tests, gone at the end. `aws` and `aws-ssm`: in the database, and references of users are looked up there. Secrets move there at the next start, one way.",
        set: |config, value| put(&mut config.secrets_manager.kind, rules::secrets_manager(value)),
        show: |config| Some(config.secrets_manager.kind.name().to_owned()),
    },
    Key {
        path: "secretsManagerConfiguration.prefix",
        variable: Some("SECRET_MANAGER_PREFIX"),
        flag: None,
        default: "",
        meaning: "The first part of the names of secrets: at most 64 letters, digits, `_` or `-`.",
        set: |config, value| put(&mut config.secrets_manager.prefix, rules::prefix(value)),
        show: |config| Some(config.secrets_manager.prefix.clone()).filter(|prefix| !prefix.is_empty()),
    },
    Key {
        path: "secretsManagerConfiguration.tags",
        variable: Some("SECRET_MANAGER_TAGS"),
        flag: None,
        default: "[]",
        meaning: "Tags that secrets get in their store: a list of `key:value`, at most 128 and 256 characters, or `[key:value,key:value]`.",
        set: |config, value| put(&mut config.secrets_manager.tags, rules::tags(value)),
        show: |config| Some(joined(config.secrets_manager.tags.iter().map(|(key, value)| format!("{key}:{value}")))),
    },
    Key {
        path: "secretsManagerConfiguration.cacheSeconds",
        variable: Some("STRONGROOM_SECRETS_CACHE_SECONDS"),
        flag: None,
        default: "0",
        meaning: "Seconds for which secrets from a store outside of the database are remembered, encrypted in memory, 0 to 86400; 0 is not at all.",
        set: |config, value| put(&mut config.secrets_manager.cache, seconds(value, 0..=86_400)),
        show: |config| Some(whole_seconds(config.secrets_manager.cache)),
    },
    Key {
        path: "secretsManagerConfiguration.staleSeconds",
        variable: Some("STRONGROOM_SECRETS_STALE_SECONDS"),
        flag: None,
        default: "0",
        meaning: "Seconds after `cacheSeconds` for which remembered secrets are still given while their store is away, 0 to 604800; needs `cacheSeconds`.",
        set: |config, value| put(&mut config.secrets_manager.stale, seconds(value, 0..=604_800)),
        show: |config| Some(whole_seconds(config.secrets_manager.stale)),
    },
    Key {
        path: "references.allowedPrefixes",
        variable: Some("STRONGROOM_REFERENCES_ALLOWED_PREFIXES"),
        flag: None,
        default: "[]",
        meaning: "What the names of references (`secret:…`) that admins type must begin with, such as `/team/`: a list; empty: no references may be typed.",
        set: |config, value| put(&mut config.references.allowed_prefixes, rules::reference_prefixes(value)),
        show: |config| Some(joined(config.references.allowed_prefixes.iter())),
    },
    Key {
        path: AUDIT_SYNC,
        variable: Some("STRONGROOM_AUDIT_SYNC"),
        flag: None,
        default: "normal",
        meaning: "`normal`: an audit entry outlives the end of the process; `always`: a power cut too, and reads get slower.",
        set: |config, value| put(&mut config.audit.sync, choice(value, &AUDIT_SYNCS)),
        show: |config| word(&AUDIT_SYNCS, &config.audit.sync),
    },
    Key {
        path: "log.level",
        variable: Some("LOG_LEVEL"),
        flag: None,
        default: "info",
        meaning: "`error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,strongroom_http_api=debug`.",
        set: |config, value| put(&mut config.log.filter, rules::log_filter(value)),
        show: |config| Some(config.log.filter.clone()),
    },
    Key {
        path: "log.format",
        variable: Some("STRONGROOM_LOG_FORMAT"),
        flag: None,
        default: "text",
        meaning: "`text` for people, or `json`: one object per line.",
        set: |config, value| put(&mut config.log.format, choice(value, &LOG_FORMATS)),
        show: |config| word(&LOG_FORMATS, &config.log.format),
    },
    Key {
        path: "cache.maxMegabytes",
        variable: Some("STRONGROOM_CACHE_MAX_MEGABYTES"),
        flag: None,
        default: "64",
        meaning: "MiB of memory for documents and ciphertext of services, never plaintext, 0 to 65536; 0 is no cache.",
        set: |config, value| put(&mut config.cache.max_megabytes, integer(value, 0..=65_536)),
        show: |config| Some(config.cache.max_megabytes.to_string()),
    },
];

/// The parameters that existing deployments set in the environment.
pub(super) const NAMED_PARAMETERS: &[NamedParameter] = &[
    NamedParameter { name: "region", variable: "OM_SM_REGION", meaning: "AWS: the region." },
    NamedParameter { name: "accessKeyId", variable: "OM_SM_ACCESS_KEY_ID", meaning: "AWS: the access key's id." },
    NamedParameter { name: "secretAccessKey", variable: "OM_SM_ACCESS_KEY", meaning: "AWS: the access key." },
    NamedParameter { name: "vaultName", variable: "OM_SM_VAULT_NAME", meaning: "Azure: the key vault's name." },
    NamedParameter { name: "tenantId", variable: "OM_SM_TENANT_ID", meaning: "Azure: the tenant." },
    NamedParameter { name: "clientId", variable: "OM_SM_CLIENT_ID", meaning: "Azure: the client's id." },
    NamedParameter { name: "clientSecret", variable: "OM_SM_CLIENT_SECRET", meaning: "Azure: the client's secret." },
    NamedParameter { name: "projectId", variable: "OM_SM_PROJECT_ID", meaning: "GCP: the project." },
    NamedParameter { name: "namespace", variable: "OM_SM_NAMESPACE", meaning: "Kubernetes: the namespace." },
    NamedParameter {
        name: "inCluster",
        variable: "OM_SM_IN_CLUSTER",
        meaning: "Kubernetes: `true` where Strongroom runs in the cluster.",
    },
    NamedParameter {
        name: "kubeconfigPath",
        variable: "OM_SM_KUBECONFIG_PATH",
        meaning: "Kubernetes: the path of a kubeconfig file.",
    },
];

fn put<T>(field: &mut T, parsed: Parsed<T>) -> Parsed<()> {
    *field = parsed?;
    Ok(())
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn whole_seconds(duration: Duration) -> String {
    duration.as_secs().to_string()
}

fn joined(items: impl Iterator<Item = impl ToString>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    format!("[{}]", items.join(", "))
}

fn word<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> Option<String> {
    words.iter().find(|(_, known)| known == value).map(|(word, _)| (*word).to_owned())
}
