//! A configuration while its sources are read, one after the other, each overriding the one before.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::database_settings::in_data_dir;
use super::database_url::DatabaseUrl;
use super::fault::{ConfigFaults, Fault, Problem};
use super::keys::{
    AUDIT_SYNC, KEY_RING_FILE, KEY_RING_KEYS, KEYS, Key, NAMED_PARAMETERS, OPENMETADATA_FERNET_KEY, PARAMETERS,
};
use super::provenance::Source;
use super::sources::{CONFIG_VARIABLE, set_value};
use super::suggestion::closest;
use super::{AuditSync, Config, database_settings, file, rules};

/// The variable of `OpenMetadata`'s encryption key, which is refused.
const FERNET_VARIABLE: &str = "FERNET_KEY";

const NOT_LOOPBACK: &str = "is not a loopback address: tokens and secrets would cross the network in plain text, since \
    this version has no TLS. Listen on 127.0.0.1 behind a proxy that has TLS, or accept it with --insecure-http \
    (server.insecureHttp, STRONGROOM_INSECURE_HTTP)";

/// The configuration so far, and all that is wrong.
pub(super) struct Draft {
    config: Config,
    faults: Vec<Fault>,
}

impl Draft {
    /// Every key at its default.
    pub(super) fn with_defaults() -> Self {
        let mut draft = Self { config: Config::default(), faults: Vec::new() };
        for key in KEYS {
            draft.set(key, &Value::from(key.default), Source::Default);
        }
        draft
    }

    /// Overrides what `file` sets.
    pub(super) fn read_file(&mut self, file: &Path, environment: &BTreeMap<String, String>) {
        let mut content = file::read(file, environment);
        self.faults.append(&mut content.faults);
        for (path, value) in content.settings {
            let source = Source::File { file: file.to_owned(), key: path.clone() };
            match KEYS.iter().find(|key| key.path == path) {
                Some(key) => self.set(key, &value, source),
                None => self.set_parameter(&path, &value, source),
            }
        }
    }

    /// Overrides what the environment sets.
    pub(super) fn read_environment(&mut self, environment: &BTreeMap<String, String>) {
        for key in KEYS {
            if let Some((name, value)) = key.variable.and_then(|name| self.variable(environment, name)) {
                self.set(key, &value, Source::Environment(name));
            }
        }
        for parameter in NAMED_PARAMETERS {
            if let Some((name, value)) = self.variable(environment, parameter.variable) {
                self.set_parameter(&format!("{PARAMETERS}.{}", parameter.name), &value, Source::Environment(name));
            }
        }
        if let Some(key) = set_value(environment, FERNET_VARIABLE) {
            let public = key.contains(OPENMETADATA_FERNET_KEY);
            self.faults.push(Fault::new(FERNET_VARIABLE, Problem::FernetKey { public }));
        }
        self.warn_of_mistyped_variables(environment);
    }

    /// Overrides what the command line sets.
    pub(super) fn read_flags(&mut self, flags: &BTreeMap<&'static str, String>) {
        for key in KEYS {
            let given = key.flag.and_then(|flag| flags.get_key_value(flag));
            if let Some((flag, value)) = given {
                self.set(key, &Value::from(value.as_str()), Source::CommandLine(flag));
            }
        }
    }

    /// Checks what only several keys together can get wrong.
    pub(super) fn finish(mut self) -> Result<Config, ConfigFaults> {
        self.settle_key_ring();
        self.settle_database();
        self.warn_of_stale_seconds();
        self.check_listener();
        self.warn_of_admin_port();
        if self.faults.is_empty() { Ok(self.config) } else { Err(ConfigFaults(self.faults)) }
    }

    fn set(&mut self, key: &Key, value: &Value, source: Source) {
        // `${NAME:-}` in a file is empty when NAME is not set: the same as leaving the key out.
        if is_nothing(value) {
            return;
        }
        match (key.set)(&mut self.config, value) {
            Ok(()) => {
                self.config.origins.insert(key.path.to_owned(), source);
            }
            Err(problem) => self.faults.push(Fault::new(source.place(key.path), problem)),
        }
    }

    fn set_parameter(&mut self, path: &str, value: &Value, source: Source) {
        if is_nothing(value) {
            return;
        }
        match rules::parameter(path, value) {
            Ok((name, value)) => {
                self.config.secrets_manager.parameters.insert(name, value);
                self.config.origins.insert(path.to_owned(), source);
            }
            Err(problem) => self.faults.push(Fault::new(source.place(path), problem)),
        }
    }

    fn variable(
        &mut self,
        environment: &BTreeMap<String, String>,
        name: &'static str,
    ) -> Option<(&'static str, Value)> {
        let value = set_value(environment, name)?;
        if value.contains(char::REPLACEMENT_CHARACTER) {
            self.faults.push(Fault::new(name, Problem::Rule("is not valid UTF-8")));
            return None;
        }
        Some((name, Value::from(value)))
    }

    /// A warning, not a fault: platforms inject variables of this form for their own use.
    fn warn_of_mistyped_variables(&mut self, environment: &BTreeMap<String, String>) {
        let known: Vec<&str> = KEYS.iter().filter_map(|key| key.variable).chain([CONFIG_VARIABLE]).collect();
        let ours = environment.keys().filter(|name| name.starts_with("STRONGROOM_") && !known.contains(&name.as_str()));
        for name in ours {
            // The common beginning makes any two of them alike, so only the rest is compared.
            let rests = known.iter().filter_map(|known| known.strip_prefix("STRONGROOM_"));
            if let Some(rest) = name.strip_prefix("STRONGROOM_").and_then(|rest| closest(rest, rests)) {
                let name = name.escape_debug();
                let warning =
                    format!("{name} has no effect: no such variable is read; did you mean STRONGROOM_{rest}?");
                self.config.warnings.push(warning);
            }
        }
    }

    fn settle_key_ring(&mut self) {
        let is_given = |path| self.config.is_given(path);
        if is_given(KEY_RING_FILE) && is_given(KEY_RING_KEYS) {
            let problem = Problem::Beside(self.config.place(KEY_RING_FILE).to_owned());
            self.faults.push(Fault::new(self.config.place(KEY_RING_KEYS), problem));
        }
        let ring = &mut self.config.key_ring;
        let file = in_data_dir(&ring.file, &self.config.data_dir);
        ring.is_mounted = file != self.config.data_dir.join("keys");
        ring.file = file;
    }

    /// Only where each of the keys is right alone: what others say beside a wrong one means nothing yet.
    fn settle_database(&mut self) {
        if self.has_fault_in(database_settings::SECTION) {
            return;
        }
        match database_settings::engine(&self.config) {
            Ok(engine) => {
                self.config.database.engine = engine;
                self.name_the_url_as_source();
                self.warn_of_audit_sync();
            }
            Err(mut faults) => self.faults.append(&mut faults),
        }
    }

    fn warn_of_stale_seconds(&mut self) {
        let secrets = &self.config.secrets_manager;
        if secrets.cache.is_zero() && !secrets.stale.is_zero() {
            let place = self.config.place("secretsManagerConfiguration.staleSeconds").to_owned();
            self.config
                .warnings
                .push(format!("{place} has no effect without secretsManagerConfiguration.cacheSeconds"));
        }
    }

    /// A database server decides itself when a commit is on disk.
    fn warn_of_audit_sync(&mut self) {
        if self.config.database_server().is_some() && self.config.audit.sync == AuditSync::Always {
            let place = self.config.place(AUDIT_SYNC);
            self.config.warnings.push(format!(
                "{place} has no effect: the database is a server, which decides itself when a commit is on disk"
            ));
        }
    }

    fn has_fault_in(&self, section: &str) -> bool {
        let mut keys = KEYS.iter().filter(|key| key.path.starts_with(section));
        let is_at = |place: &str| self.faults.iter().any(|fault| fault.place == place);
        keys.any(|key| [Some(key.path), key.variable, key.flag].into_iter().flatten().any(is_at))
    }

    /// User, password and TLS mode that stand in the url came from where the url did.
    fn name_the_url_as_source(&mut self) {
        let origins = &mut self.config.origins;
        if let (DatabaseUrl::Server(url), Some(source)) =
            (&self.config.database_settings.url, origins.get(database_settings::URL).cloned())
        {
            origins.extend(url.held().map(|(path, _)| (path.to_owned(), source.clone())));
        }
    }

    fn check_listener(&mut self) {
        let server = &self.config.server;
        if server.host.is_loopback() || server.insecure_http {
            return;
        }
        let fault = Fault::new(self.config.place("server.host"), Problem::Rule(NOT_LOOPBACK));
        self.faults.push(fault);
    }

    fn warn_of_admin_port(&mut self) {
        if self.config.server.admin_port.is_some() {
            let warning = format!("{} has no effect: there is no admin port", self.config.place("server.adminPort"));
            self.config.warnings.push(warning);
        }
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        _ => false,
    }
}
