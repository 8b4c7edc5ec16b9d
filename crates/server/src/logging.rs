//! Logs on standard error, as text or JSON.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

/// Libraries whose most talkative levels may show bytes of a connection.
const QUIETED: [&str; 3] = ["hyper=info", "hyper_util=info", "mio=info"];

/// Starts logging.
pub(crate) fn start(config: &LogConfig) -> anyhow::Result<()> {
    let mut filter = EnvFilter::try_new(&config.filter)?;
    for directive in QUIETED {
        filter = filter.add_directive(directive.parse()?);
    }
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(stderr);
    match config.format {
        LogFormat::Text => registry.with(layer.with_ansi(stderr().is_terminal())).init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).init(),
    }
    Ok(())
}
