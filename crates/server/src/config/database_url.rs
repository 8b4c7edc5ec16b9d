//! `database.url`, taken apart. It may hold a password: no message repeats any of it but the name of a parameter.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use serde_json::Value;
use strongroom_domain::{MASK, SecretValue};
use url::{Host, ParseError, Url};

use super::database::{ServerKind, TlsMode};
use super::database_settings::{PASSWORD, TLS_MODE, USER};
use super::fault::Problem;
use super::parse::{Parsed, choice, text};

const FORM: &str = "must be `sqlite:<path>`, `postgres://user@host:port/name` or `mysql://user@host:port/name`";
const SQLITE_FORM: &str = "must be `sqlite:` and the path of a file, without options";
const NO_HOST: &str = "has no host; write `postgres://user@host:port/name` or `mysql://user@host:port/name`";
const BAD_HOST: &str = "must have one host: a name, an IPv4 address, or an IPv6 address in brackets";
const BAD_PORT: &str = "has a port that is not a number from 1 to 65535; where that is part of a password, write its \
    `:`, `/`, `?`, `#` and `@` as %3A, %2F, %3F, %23 and %40";
const NO_NAME: &str = "has no name of a database; write it after the host, as in `postgres://user@host:port/name`";
const BAD_NAME: &str = "must have one name after the host; write a `/` in it as %2F";
const LATE_AT: &str = "has an `@` after its host; in a password, write `:`, `/`, `?`, `#` and `@` as %3A, %2F, %3F, %23 \
    and %40, or set database.password instead";
const FRAGMENT: &str = "must not have a `#`; in a password or a name, write it as %23";
const BAD_ESCAPE: &str = "has a `%` without two hexadecimal digits after it; write a literal one as %25";
const BAD_TEXT: &str = "must not contain control characters or invalid UTF-8 in user, password or name";
const TWO_MODES: &str = "has more than one TLS mode; leave one";
const BAD_MODE: &str = "has a TLS mode other than `disable`, `prefer`, `require`, `verify-ca`, `verify-full`";

/// The longest name of a parameter that is repeated.
const PARAMETER_LENGTH: usize = 32;

/// What the url says.
#[derive(Debug, Clone)]
pub(super) enum DatabaseUrl {
    /// A file, as it was written: `<dataDir>` is not filled in yet.
    Sqlite(PathBuf),
    /// A server.
    Server(ServerUrl),
}

impl Default for DatabaseUrl {
    fn default() -> Self {
        Self::Sqlite(PathBuf::new())
    }
}

/// The url of a server. What it leaves out, other keys may say.
#[derive(Debug, Clone)]
pub(super) struct ServerUrl {
    pub(super) kind: ServerKind,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) name: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<SecretValue>,
    pub(super) tls_mode: Option<TlsMode>,
    /// The url with a mask in place of its password.
    pub(super) shown: String,
}

impl ServerUrl {
    /// The keys whose values stand in the url, each with the word for it.
    pub(super) fn held(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let parts = [
            (USER, "user", self.user.is_some()),
            (PASSWORD, "password", self.password.is_some()),
            (TLS_MODE, "TLS mode", self.tls_mode.is_some()),
        ];
        parts.into_iter().filter(|(_, _, is_held)| *is_held).map(|(path, word, _)| (path, word))
    }
}

/// Reads the url of any database.
pub(super) fn database_url(value: &Value) -> Parsed<DatabaseUrl> {
    let url = text(value)?.trim();
    if let Some(path) = url.strip_prefix("sqlite:") {
        return sqlite_path(path).map(DatabaseUrl::Sqlite);
    }
    let kind = match url.split(':').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "postgres" | "postgresql" => ServerKind::Postgres,
        "mysql" | "mariadb" => ServerKind::MySql,
        _ => return Err(Problem::Rule(FORM)),
    };
    server_url(kind, url).map(DatabaseUrl::Server)
}

fn sqlite_path(path: &str) -> Parsed<PathBuf> {
    let path = path.strip_prefix("//").unwrap_or(path);
    let holds = !path.is_empty() && !path.starts_with(':') && !path.ends_with('/') && !path.contains(['?', '#']);
    if holds { Ok(PathBuf::from(path)) } else { Err(Problem::Rule(SQLITE_FORM)) }
}

fn server_url(kind: ServerKind, text: &str) -> Parsed<ServerUrl> {
    let url = Url::parse(text).map_err(|error| Problem::Rule(of_parser(error)))?;
    refuse_what_hides_a_password(&url)?;
    Ok(ServerUrl {
        kind,
        host: host(&url)?,
        port: port(&url, kind)?,
        name: name(&url)?,
        user: Some(decoded(url.username())?).filter(|user| !user.is_empty()),
        password: url.password().map(decoded).transpose()?.map(SecretValue::new),
        tls_mode: tls_mode(&url)?,
        shown: masked(url)?,
    })
}

fn of_parser(error: ParseError) -> &'static str {
    match error {
        ParseError::EmptyHost => NO_HOST,
        ParseError::InvalidPort => BAD_PORT,
        ParseError::InvalidIpv4Address | ParseError::InvalidIpv6Address | ParseError::InvalidDomainCharacter => {
            BAD_HOST
        }
        _ => FORM,
    }
}

/// A password with a bare `/`, `?` or `#` ends the host too early: its rest would pass for a name, and be shown.
fn refuse_what_hides_a_password(url: &Url) -> Parsed<()> {
    if url.cannot_be_a_base() {
        return Err(Problem::Rule(FORM));
    }
    let after_host = [Some(url.path()), url.query(), url.fragment()];
    if after_host.iter().flatten().any(|part| part.contains('@')) {
        return Err(Problem::Rule(LATE_AT));
    }
    if url.fragment().is_some() { Err(Problem::Rule(FRAGMENT)) } else { Ok(()) }
}

fn host(url: &Url) -> Parsed<String> {
    let is_name = |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    match url.host() {
        None | Some(Host::Domain("")) => Err(Problem::Rule(NO_HOST)),
        Some(Host::Domain(name)) if is_name(name) => Ok(name.to_owned()),
        Some(Host::Domain(_)) => Err(Problem::Rule(BAD_HOST)),
        Some(Host::Ipv4(address)) => Ok(address.to_string()),
        Some(Host::Ipv6(address)) => Ok(address.to_string()),
    }
}

fn port(url: &Url, kind: ServerKind) -> Parsed<u16> {
    match url.port() {
        Some(0) => Err(Problem::Rule(BAD_PORT)),
        port => Ok(port.unwrap_or_else(|| kind.default_port())),
    }
}

fn name(url: &Url) -> Parsed<String> {
    let name = url.path().strip_prefix('/').unwrap_or_default();
    if name.is_empty() {
        return Err(Problem::Rule(NO_NAME));
    }
    if name.contains('/') { Err(Problem::Rule(BAD_NAME)) } else { decoded(name) }
}

fn tls_mode(url: &Url) -> Parsed<Option<TlsMode>> {
    let mut mode = None;
    for (name, value) in url.query_pairs() {
        if !matches!(&*name, "sslmode" | "ssl-mode") {
            return Err(unknown_parameter(&name, &value));
        }
        let word = choice(&Value::from(&*value), &TlsMode::WORDS).map_err(|_| Problem::Rule(BAD_MODE))?;
        if mode.replace(word).is_some() {
            return Err(Problem::Rule(TWO_MODES));
        }
    }
    Ok(mode)
}

/// A name without a value may be anything, so only what looks like a parameter is repeated.
fn unknown_parameter(name: &str, value: &str) -> Problem {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let is_name = is_plain && (1..=PARAMETER_LENGTH).contains(&name.len()) && !value.is_empty();
    Problem::UnknownUrlParameter(is_name.then(|| name.to_owned()))
}

fn decoded(part: &str) -> Parsed<String> {
    let is_escape = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !part.split('%').skip(1).all(is_escape) {
        return Err(Problem::Rule(BAD_ESCAPE));
    }
    let text = percent_decode_str(part).decode_utf8().map_err(|_| Problem::Rule(BAD_TEXT))?;
    if text.chars().any(char::is_control) { Err(Problem::Rule(BAD_TEXT)) } else { Ok(text.into_owned()) }
}

fn masked(mut url: Url) -> Parsed<String> {
    if url.password().is_some() {
        url.set_password(Some(MASK)).map_err(|()| Problem::Rule(FORM))?;
    }
    Ok(url.into())
}
