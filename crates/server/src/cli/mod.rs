//! The command line: what can be typed, and the help that teaches it. What the commands do is elsewhere.

mod duration;
mod help;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use strongroom_domain::SecretValue;

use self::duration::parse_duration;
use self::help::{
    BOT_EXAMPLES, DATABASE_EXAMPLES, EXAMPLES, KEYS_EXAMPLES, MIGRATE_EXAMPLES, SECRETS_EXAMPLES, SERVE_EXAMPLES,
    TOKEN_EXAMPLES, USER_EXAMPLES,
};
use crate::config::Sources;

/// Keeps the service connections of a data catalog: swaps their secrets for references, and decides who gets what back.
#[derive(Debug, Parser)]
#[command(name = "strongroom", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(flatten)]
    serve: ServeArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes.
#[derive(Debug, Args)]
struct GlobalArgs {
    #[arg(
        help = "Configuration file (YAML) [env: STRONGROOM_CONFIG]",
        long,
        value_name = "FILE",
        global = true,
        help_heading = "Options of every command"
    )]
    config: Option<PathBuf>,
    #[arg(help = "Directory of database, keys and first token [env: STRONGROOM_DATA_DIR] [default: ./data]", long, value_name = "DIR", global = true, help_heading = "Options of every command", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    data_dir: Option<String>,
    // A password may stand in it, so it must not show in `Debug`.
    #[arg(help = "Database: sqlite:PATH, postgres://USER@HOST/NAME or mysql://USER@HOST/NAME; others on this machine can see it, so without a password [env: STRONGROOM_DATABASE_URL] [default: in the data directory]", long, value_name = "URL", global = true, help_heading = "Options of every command", value_parser = parse_secret)]
    database_url: Option<SecretValue>,
    /// Form of what is printed
    #[arg(long, value_enum, value_name = "FORM", global = true, help_heading = "Options of every command", default_value_t = OutputFormat::Text)]
    output: OutputFormat,
}

/// Where the server listens. They may stand before any command, since they override the configuration.
#[derive(Debug, Default, Args)]
pub(crate) struct ServeArgs {
    #[arg(help = "IP address to listen on [env: SERVER_HOST] [default: 127.0.0.1]", long, value_name = "ADDRESS", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    host: Option<String>,
    #[arg(
        help = "Port to listen on, 0 for any free one [env: SERVER_PORT] [default: 8585]",
        long,
        value_name = "PORT"
    )]
    port: Option<u16>,
    /// Let plain HTTP leave this machine, though tokens and secrets can then be read on the network
    #[arg(long)]
    insecure_http: bool,
}

/// The form of what a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people
    Text,
    /// For programs
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the server (also what happens without a command)
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    /// Check configuration, database, key ring and secrets manager; a line per fault, exit 1 if there is one
    Check,
    /// Create, list and disable users
    #[command(subcommand, after_help = USER_EXAMPLES)]
    User(UserCommand),
    /// Create and list bots, the accounts of programs
    #[command(subcommand, after_help = BOT_EXAMPLES)]
    Bot(BotCommand),
    /// Create, list and revoke the tokens that users and bots authenticate with
    #[command(subcommand, after_help = TOKEN_EXAMPLES)]
    Token(TokenCommand),
    /// Show and renew the keys that secrets are encrypted with
    #[command(subcommand, after_help = KEYS_EXAMPLES)]
    Keys(KeysCommand),
    /// Carry everything from one database to another
    #[command(subcommand, after_help = DATABASE_EXAMPLES)]
    Database(DatabaseCommand),
    /// Move every secret to the configured store, as a server does at its start; or only say what that would do
    #[command(after_help = MIGRATE_EXAMPLES)]
    Migrate(MigrateArgs),
    /// Look after the secrets in a store outside of the database
    #[command(subcommand, after_help = SECRETS_EXAMPLES)]
    Secrets(SecretsCommand),
    /// Show the configuration in force
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// How to migrate.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct MigrateArgs {
    /// Change nothing: say how many secrets would move, which could not, how long it takes, and what it costs a month
    #[arg(long, conflicts_with = "retry")]
    pub(crate) dry_run: bool,
    /// Try those again that were set aside; a running server does so within seconds
    #[arg(long)]
    pub(crate) retry: bool,
}

/// What to do with secrets in a store.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Compare every secret in the store with the document that names it; exit 1 if they differ
    #[command(after_help = SECRETS_EXAMPLES)]
    Verify {
        /// Note what the store has now, and bring back what it still has in its bin
        #[arg(long)]
        repair: bool,
    },
    /// Remove what interrupted writes of this cluster left in the store
    #[command(after_help = SECRETS_EXAMPLES)]
    Gc {
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
    },
    /// Move every secret from the store that it is in to the configured one, whichever they are; stop all servers first
    #[command(after_help = SECRETS_EXAMPLES)]
    Move(MoveArgs),
}

/// How to move between stores.
#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    /// The store to move to: it must be the configured one
    #[arg(long, value_name = "KIND")]
    pub(crate) to: String,
    /// How long the old copies stay for workers that hold their names, such as 24h or 7d
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "24h")]
    pub(crate) grace: Duration,
    /// Configuration file of the store to move from, where its parameters are not those of the configured one
    #[arg(long, value_name = "FILE")]
    pub(crate) from_config: Option<PathBuf>,
    /// Do it: a move back is another move
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Create a user; `token create NAME` then makes a token
    #[command(after_help = USER_EXAMPLES)]
    Create {
        /// The user's name
        name: String,
        /// The user's email address
        #[arg(long, value_name = "ADDRESS")]
        email: String,
        /// Let the user read connections with their secrets, and change everything
        #[arg(long)]
        admin: bool,
    },
    /// List users
    List,
    /// Disable a user: all tokens stop working within a second
    Disable {
        /// The user's name
        name: String,
    },
}

/// What to do with bots.
#[derive(Debug, Subcommand)]
pub(crate) enum BotCommand {
    /// Create a bot; `token create NAME` then makes a token
    #[command(after_help = BOT_EXAMPLES)]
    Create {
        /// The bot's name
        name: String,
        /// What the bot may see of a connection
        #[arg(long, value_enum, default_value_t = BotRole::None)]
        role: BotRole,
    },
    /// List bots
    List,
}

/// What a bot may see of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BotRole {
    /// References in place of secrets, for ingestion
    Worker,
    /// Secrets in plain text
    Admin,
    /// No connection parameters
    None,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Create a token for a user or a bot and print it, once, alone on standard output
    #[command(after_help = TOKEN_EXAMPLES)]
    Create {
        /// The user or bot the token is for
        name: String,
        /// How long the token is valid, such as 12h, 30d or 8w; without it, the token does not expire
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        expires: Option<Duration>,
    },
    /// List tokens: whose, until when, last used; never the tokens themselves
    List,
    /// Revoke a token; it stops working within a second
    Revoke {
        /// The token's id, as `token list` shows it
        id: String,
    },
}

/// What to do with the key ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make the key ring, once, for all replicas on a database server (with `SQLite` the first start makes it)
    Init,
    /// Show the keys by id, and how much each still encrypts
    Status,
    /// Add a key and re-encrypt everything with it, while the server serves
    Rotate,
    /// End all keys but a new one, once no secret is left in the database: old back-ups of it then hold nothing readable
    Destroy {
        /// Do it: it cannot be undone
        #[arg(long)]
        yes: bool,
    },
}

/// What to do with whole databases.
#[derive(Debug, Subcommand)]
pub(crate) enum DatabaseCommand {
    /// Copy all rows into an empty database of any kind, then compare both; stopped half-way, it goes on when run again
    #[command(after_help = DATABASE_EXAMPLES)]
    Copy(CopyArgs),
}

/// The two ends of a copy. Where one is left out, it is the configured database.
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    // A password may stand in the urls, so they must not show in `Debug`.
    #[arg(help = "Database to copy from: sqlite:PATH, postgres://USER@HOST/NAME or mysql://USER@HOST/NAME [default: the configured one]", long, value_name = "URL", value_parser = parse_secret)]
    pub(crate) from: Option<SecretValue>,
    /// File that holds the password for --from
    #[arg(long, value_name = "FILE", requires = "from")]
    pub(crate) from_password_file: Option<PathBuf>,
    /// File of the certificates (PEM) that --from is checked with
    #[arg(long, value_name = "FILE", requires = "from")]
    pub(crate) from_ca_file: Option<PathBuf>,
    #[arg(help = "Empty database to copy to, in the same form [default: the configured one]", long, value_name = "URL", value_parser = parse_secret)]
    pub(crate) to: Option<SecretValue>,
    /// File that holds the password for --to
    #[arg(long, value_name = "FILE", requires = "to")]
    pub(crate) to_password_file: Option<PathBuf>,
    /// File of the certificates (PEM) that --to is checked with
    #[arg(long, value_name = "FILE", requires = "to")]
    pub(crate) to_ca_file: Option<PathBuf>,
}

/// What to do with the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every key with its value and where it came from, secrets left out
    Show,
}

impl Cli {
    /// The form of what is printed.
    pub(crate) fn output(&self) -> OutputFormat {
        self.global.output
    }

    /// What the configuration is read from, in the given environment.
    pub(crate) fn sources(&self, environment: BTreeMap<String, String>) -> Sources {
        let mut flags = BTreeMap::new();
        if let Some(directory) = &self.global.data_dir {
            flags.insert("--data-dir", directory.clone());
        }
        if let Some(url) = &self.global.database_url {
            // REVEAL: the configuration takes the password out of it and into a wrapper again.
            flags.insert("--database-url", url.reveal().to_owned());
        }
        self.serve.add_to(&mut flags);
        if let Some(Command::Serve(serve)) = &self.command {
            serve.add_to(&mut flags);
        }
        Sources { file: self.global.config.clone(), environment, flags }
    }

    /// The command; `serve` if none was typed.
    pub(crate) fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

impl ServeArgs {
    fn add_to(&self, flags: &mut BTreeMap<&'static str, String>) {
        flags.extend(self.host.clone().map(|host| ("--host", host)));
        flags.extend(self.port.map(|port| ("--port", port.to_string())));
        flags.extend(self.insecure_http.then(|| ("--insecure-http", true.to_string())));
    }
}

fn parse_secret(text: &str) -> Result<SecretValue, &'static str> {
    if text.is_empty() {
        return Err("it must not be empty");
    }
    Ok(SecretValue::new(text.to_owned()))
}
