//! `strongroom`: the server and its commands.

mod change_watch;
mod cli;
mod commands;
mod config;
mod data_directory;
mod first_admin;
mod http_server;
mod key_agreement;
mod key_ring_source;
mod key_rotation;
mod logging;
mod open_connections;
mod open_database;
mod process_limits;
mod secret_stores;
mod secrets_migration;
mod system_clock;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::config::{Config, Sources};

/// Requests allocate often and briefly, on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = process_limits::refuse_core_dumps() {
        eprintln!("strongroom: core dumps cannot be switched off: {error}");
        return ExitCode::FAILURE;
    }
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("strongroom: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let config = Config::load(&cli.sources(Sources::environment_of_this_process()))?;
    logging::start(&config.log)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let output = cli.output();
    runtime.block_on(commands::run(cli.into_command(), config, output))
}
