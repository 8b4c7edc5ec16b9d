//! Logs on standard error, as text or JSON.

use std::io::{IsTerminal, stderr};

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

/// Libraries whose most talkative levels may show bytes of a connection. Those of AWS even show whole answers, where the
/// environment asks them to.
const QUIETED: [&str; 3] = ["hyper", "mio", "aws_"];

/// Whatever the configuration says: a secret is in no log.
fn is_quiet(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || !QUIETED.iter().any(|library| metadata.target().starts_with(library))
}

/// Starts logging.
pub(crate) fn start(config: &LogConfig) -> anyhow::Result<()> {
    let registry = tracing_subscriber::registry().with(EnvFilter::try_new(&config.filter)?).with(filter_fn(is_quiet));
    let layer = tracing_subscriber::fmt::layer().with_writer(stderr);
    match config.format {
        LogFormat::Text => registry.with(layer.with_ansi(stderr().is_terminal())).init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).init(),
    }
    Ok(())
}
