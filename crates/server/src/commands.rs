//! What the commands do.

mod check;
mod config;
mod database;
mod keys;
mod migrate;
mod output;
mod principals;
mod secrets;
mod serve;
mod tokens;

use strongroom_domain::Origin;

use crate::cli::{Command, OutputFormat};
use crate::config::Config;
use crate::wiring::{Application, Purpose, assemble};

/// Who acts, in the audit, when a command is typed.
const ACTOR: &str = "command line";

/// Who acts and from where, for the audit.
fn actor() -> (&'static str, &'static Origin) {
    static ORIGIN: std::sync::OnceLock<Origin> = std::sync::OnceLock::new();
    (ACTOR, ORIGIN.get_or_init(Origin::default))
}

/// The parts of the installation that a command works on.
async fn parts(config: &Config) -> anyhow::Result<Application> {
    assemble(config, Purpose::Command).await
}

/// Runs a command.
pub(crate) async fn run(command: Command, config: Config, output: OutputFormat) -> anyhow::Result<()> {
    match command {
        Command::Serve(_) => Box::pin(serve::run(config)).await,
        Command::Check => check::run(&config, output).await,
        Command::Database(command) => database::run(&config, command, output).await,
        Command::Config(command) => config::run(command, &config, output),
        Command::User(command) => principals::user(&parts(&config).await?, command, output).await,
        Command::Bot(command) => principals::bot(&parts(&config).await?, command, output).await,
        Command::Token(command) => tokens::run(&parts(&config).await?, command, output).await,
        Command::Keys(command) => keys::run(&config, command, output).await,
        Command::Migrate(how) => migrate::run(&config, how, output).await,
        Command::Secrets(command) => secrets::run(&config, command, output).await,
    }
}
