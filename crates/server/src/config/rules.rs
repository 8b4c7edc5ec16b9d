//! What single keys allow, beyond their type.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use ipnet::IpNet;
use secrecy::SecretString;
use serde_json::Value;
use strongroom_domain::SecretValue;
use tracing_subscriber::EnvFilter;

use super::fault::Problem;
use super::parse::{Parsed, list, text, wrong};
use super::suggestion::closest;
use super::{Keeps, SecretsManagerKind};

/// The secrets managers of this version by the names operators write.
const SERVED: [(&str, SecretsManagerKind); 7] = [
    ("db", SecretsManagerKind::Database),
    ("noop", SecretsManagerKind::Database),
    ("in-memory", SecretsManagerKind::InMemory),
    ("managed-aws", SecretsManagerKind::AwsSecretsManager(Keeps::Secrets)),
    ("aws", SecretsManagerKind::AwsSecretsManager(Keeps::References)),
    ("managed-aws-ssm", SecretsManagerKind::AwsParameterStore(Keeps::Secrets)),
    ("aws-ssm", SecretsManagerKind::AwsParameterStore(Keeps::References)),
];

/// Those that other versions of the catalog have and this one does not yet.
static LATER: [&str; 7] =
    ["managed-azure-kv", "gcp", "kubernetes", "managed-openbao", "managed-vault", "azure-kv", "openbao"];

const LOG_LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

fn rule<T>(holds: bool, value: T, rule: &'static str) -> Parsed<T> {
    if holds { Ok(value) } else { Err(Problem::Rule(rule)) }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// A key ring, which is looked at more closely when it is loaded.
pub(super) fn key_ring(value: &Value) -> Parsed<SecretValue> {
    let ring = value.as_str().ok_or_else(|| wrong("text of one or more lines", value))?;
    let is_key = |line: &str| line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte));
    let holds = ring.lines().map(str::trim).all(|line| line.starts_with('#') || is_key(line));
    rule(holds, SecretValue::new(ring.to_owned()), "must have one key a line, as `strongroom keys init` writes them")
}

/// A name that goes into names of secrets, so it holds only what every store takes.
pub(super) fn cluster_name(value: &Value) -> Parsed<String> {
    let name = text(value)?.to_owned();
    let holds = (1..=64).contains(&name.len()) && is_plain(&name);
    rule(holds, name, "must be 1 to 64 letters, digits, `_` or `-`")
}

/// The first level of the names of secrets.
pub(super) fn prefix(value: &Value) -> Parsed<String> {
    let prefix = text(value)?.to_owned();
    let holds = prefix.len() <= 64 && is_plain(&prefix);
    rule(holds, prefix, "must be at most 64 letters, digits, `_` or `-`")
}

/// A file or a directory; whether it exists is for its user to find out.
pub(super) fn path(value: &Value) -> Parsed<PathBuf> {
    text(value).map(PathBuf::from)
}

/// Three numbers; clients compare the first two with their own.
pub(super) fn catalog_version(value: &Value) -> Parsed<String> {
    let version = text(value)?.trim().to_owned();
    let parts: Vec<&str> = version.split('.').collect();
    let is_number = |part: &&str| (1..=5).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let holds = parts.len() == 3 && parts.iter().all(is_number);
    rule(holds, version, "must be three numbers with dots between, such as 2.0.6")
}

/// Words that are looked for in the keys of free maps.
pub(super) fn secret_field_names(value: &Value) -> Parsed<Vec<String>> {
    let words = list(value)?;
    // One letter would make nearly every key secret.
    let holds = words.iter().all(|word| (2..=64).contains(&word.len()) && is_plain(word));
    rule(holds, words, "must be words of 2 to 64 letters, digits, `_` or `-`")
        .map(|words| words.into_iter().map(str::to_owned).collect())
}

/// An address to listen on. Names are refused, since what they mean is decided elsewhere.
pub(super) fn host(value: &Value) -> Parsed<IpAddr> {
    let host = text(value)?.trim();
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse().map_err(|_| Problem::Rule("must be an IP address, such as 127.0.0.1 or ::1, or `localhost`"))
}

/// The base of links, without a slash at its end.
pub(super) fn public_url(value: &Value) -> Parsed<String> {
    let url = text(value)?.trim().trim_end_matches('/');
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let authority = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%:/[]".contains(&byte);
    let holds = !authority.is_empty() && rest.is_some_and(|rest| rest.bytes().all(is_allowed));
    rule(holds, url.to_owned(), "must be an http:// or https:// URL without user, query or fragment")
}

/// Addresses and networks; a single address is a network of one.
pub(super) fn networks(value: &Value) -> Parsed<Vec<IpNet>> {
    let parse = |entry: &str| entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
    let networks = list(value)?.into_iter().map(|entry| parse(entry).map(|network| network.trunc()));
    networks
        .collect::<Result<_, _>>()
        .map_err(|_| Problem::Rule("must be a list of IP addresses and networks, such as 10.0.0.7 or 10.0.0.0/8"))
}

/// A secrets manager by name.
pub(super) fn secrets_manager(value: &Value) -> Parsed<SecretsManagerKind> {
    let name = text(value)?.trim().to_ascii_lowercase();
    if let Some((_, kind)) = SERVED.iter().find(|(served, _)| *served == name) {
        return Ok(*kind);
    }
    if LATER.contains(&name.as_str()) {
        return Err(Problem::LaterSecretsManager);
    }
    let served: Vec<&str> = SERVED.iter().map(|(served, _)| *served).collect();
    let suggestion = closest(&name, served.iter().copied().chain(LATER));
    Err(Problem::UnknownSecretsManager { suggestion, served, later: &LATER })
}

/// What names of references begin with: as they would be typed, without `secret:`.
pub(super) fn reference_prefixes(value: &Value) -> Parsed<Vec<String>> {
    let prefixes = list(value)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.-".contains(&byte);
    // A bare slash would allow everything that the server's identity may read.
    let is_prefix = |prefix: &&str| (2..=512).contains(&prefix.len()) && prefix.bytes().all(is_plain);
    let holds = prefixes.iter().all(is_prefix);
    rule(holds, prefixes, "must be beginnings of names, such as `/team/`: 2 to 512 letters, digits or `/ _ + = . -`")
        .map(|prefixes| prefixes.into_iter().map(str::to_owned).collect())
}

/// Tags as `key:value`; the first colon separates.
pub(super) fn tags(value: &Value) -> Parsed<Vec<(String, String)>> {
    let mut tags: Vec<(String, String)> = Vec::new();
    for entry in list(value)? {
        let (key, value) = entry.split_once(':').unwrap_or_default();
        let (key, value) = (key.trim(), value.trim());
        let is_new = tags.iter().all(|(known, _)| known != key);
        // The shortest limits of the stores: AWS has 128 and 256 characters.
        let holds = (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256 && is_new;
        let tag = rule(holds, (key, value), "must be `key:value` entries, each key once, at most 128:256 characters")?;
        tags.push((tag.0.to_owned(), tag.1.to_owned()));
    }
    Ok(tags)
}

/// A parameter of the secrets manager, by its name and path; it may be a credential.
pub(super) fn parameter(path: &str, value: &Value) -> Parsed<(String, SecretString)> {
    let name = path.rsplit('.').next().unwrap_or_default();
    if !is_plain(name) || !(1..=64).contains(&name.len()) {
        return Err(Problem::Rule("must have a name of 1 to 64 letters, digits, `_` or `-`"));
    }
    let value = match value {
        Value::String(text) if !text.contains('\0') => text.clone(),
        Value::Bool(boolean) => boolean.to_string(),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        other => return Err(wrong("text without NUL", other)),
    };
    Ok((name.to_owned(), SecretString::from(value)))
}

/// A level, or directives such as `info,strongroom=debug`.
pub(super) fn log_filter(value: &Value) -> Parsed<String> {
    let filter = text(value)?.trim();
    let is_level = |word: &str| LOG_LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    if is_level(filter) {
        return Ok(filter.to_ascii_lowercase());
    }
    // EnvFilter takes any bare word for a module's name, so that a mistyped level would silence the log.
    let holds = filter.split(',').all(|directive| directive.contains('=') || is_level(directive.trim()))
        && EnvFilter::try_new(filter).is_ok();
    if holds {
        return Ok(filter.to_owned());
    }
    if filter.contains('=') {
        return Err(Problem::Rule("must be a level, or directives such as `info,strongroom_http_api=debug`"));
    }
    Err(Problem::NotOneOf { allowed: LOG_LEVELS.to_vec(), suggestion: closest(filter, LOG_LEVELS.into_iter()) })
}
