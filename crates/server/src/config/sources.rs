//! What a configuration is read from, handed in so that nothing below looks at the process itself.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The variable that names the configuration file when `--config` does not.
pub(super) const CONFIG_VARIABLE: &str = "STRONGROOM_CONFIG";

/// Everything a configuration is read from but the defaults.
///
/// It has no `Debug`: the environment holds secrets, ours and other programs'.
#[derive(Default)]
pub(crate) struct Sources {
    /// `--config`.
    pub(crate) file: Option<PathBuf>,
    /// The environment, see [`Sources::environment_of_this_process`].
    pub(crate) environment: BTreeMap<String, String>,
    /// Values from the command line by flag, such as `--port`.
    pub(crate) flags: BTreeMap<&'static str, String>,
}

impl Sources {
    /// The environment as text; bytes that are not UTF-8 become U+FFFD, which every key refuses.
    pub(crate) fn environment_of_this_process() -> BTreeMap<String, String> {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect()
    }

    /// The file to read: only one that somebody named, never one that happens to lie about.
    pub(super) fn config_file(&self) -> Option<PathBuf> {
        let from_environment = || set_value(&self.environment, CONFIG_VARIABLE).map(PathBuf::from);
        self.file.clone().or_else(from_environment)
    }
}

/// The value of a variable that is set. Empty counts as not set, and so do two bare quotes: the compose files that
/// operators copy have `${NAME:-""}`, where the quotes arrive as the value.
pub(super) fn set_value<'a>(environment: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    let value = environment.get(name).map(String::as_str);
    value.filter(|value| !matches!(value.trim(), "" | "\"\"" | "''"))
}
