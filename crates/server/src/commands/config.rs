//! `strongroom config`.

use crate::cli::{ConfigCommand, OutputFormat};
use crate::config::{Config, as_text};

/// Shows what is in force and where each value came from, secrets left out.
pub(super) fn run(command: ConfigCommand, config: &Config, output: OutputFormat) -> anyhow::Result<()> {
    let ConfigCommand::Show = command;
    let shown = config.provenance();
    match output {
        OutputFormat::Text => print!("{}", as_text(&shown)),
        OutputFormat::Json => println!("{}", serde_json::to_string_pretty(&shown)?),
    }
    Ok(())
}
