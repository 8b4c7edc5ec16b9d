//! The command line: what can be typed, and the help that teaches it. What the commands do is elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use strongroom_domain::SecretValue;

use crate::config::Sources;

const EXAMPLES: &str = "\
Examples:
  strongroom                                      start the server on http://127.0.0.1:8585
  strongroom --port 9000 --data-dir /var/lib/strongroom
  strongroom --host 0.0.0.0 --insecure-http       be reachable from other machines, without TLS
  strongroom check && systemctl restart strongroom
  strongroom bot create ingestion --role worker
  T=$(strongroom token create ingestion --expires 90d)
  strongroom config show --output json

Where a value comes from: a flag, else the environment, else the configuration file, else a default.
All keys are explained in docs/configuration.md. Commands work beside a running server.
Exit status: 0 done, 1 not done (one line per fault on standard error), 2 not understood.";

const SERVE_EXAMPLES: &str = "\
Examples:
  strongroom serve
  strongroom serve --port 0                       any free port; the log says which
  strongroom serve --host 0.0.0.0 --insecure-http

SIGTERM and Ctrl-C end it: running requests get up to 10 seconds.";

const USER_EXAMPLES: &str = "\
Examples:
  strongroom user create ada --email ada@example.com --admin
  strongroom token create ada --expires 8h
  strongroom user disable ada

An admin reads connections with their secrets; any other user sees no connection parameters.";

const BOT_EXAMPLES: &str = "\
Examples:
  strongroom bot create ingestion --role worker
  strongroom bot list --output json";

const TOKEN_EXAMPLES: &str = "\
Examples:
  T=$(strongroom token create ci)                 a token that does not expire
  strongroom token create ada --expires 30d       units: s, m, h, d, w
  strongroom token revoke 0198c0de-7e57-7abc-8def-0123456789ab

A token is shown once, alone on standard output; only its hash is kept.";

const KEYS_EXAMPLES: &str = "\
Examples:
  strongroom keys init                            once, for all replicas on a database server
  strongroom keys status
  strongroom keys rotate                          may be stopped and run again; the server goes on serving

Keep a copy of <dataDir>/keys apart from the database's: without it no secret can be read.";

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
    /// Show the configuration in force
    #[command(subcommand)]
    Config(ConfigCommand),
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

/// Longest duration that is taken, in seconds: ten years.
const LONGEST: u64 = 3650 * 24 * 3600;

/// A whole number and a unit: `45s`, `30m`, `12h`, `30d`, `8w`.
fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str = "a duration is a whole number and a unit (s, m, h, d, w), such as 30d";
    let number = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = match text.strip_prefix(number) {
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 3600,
        Some("d") => 24 * 3600,
        Some("w") => 7 * 24 * 3600,
        _ => return Err(FORM),
    };
    // `parse` alone would take a plus sign.
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FORM);
    }
    let number: u64 = number.parse().map_err(|_| FORM)?;
    let seconds = number.checked_mul(unit).filter(|seconds| (1..=LONGEST).contains(seconds));
    seconds.map(Duration::from_secs).ok_or("a duration is at least 1s and at most 3650d")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Cli {
        Cli::try_parse_from(line.split(' ')).unwrap()
    }

    fn error(line: &str) -> String {
        Cli::try_parse_from(line.split(' ')).unwrap_err().to_string()
    }

    fn flags(line: &str) -> Vec<(&'static str, String)> {
        parse(line).sources(BTreeMap::new()).flags.into_iter().collect()
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_word_the_server_starts() {
        assert!(matches!(parse("strongroom").into_command(), Command::Serve(_)));
        assert!(matches!(parse("strongroom serve").into_command(), Command::Serve(_)));
    }

    #[test]
    fn flags_of_serve_work_before_it_after_it_and_without_it() {
        let expected =
            [("--host", "::1".to_owned()), ("--insecure-http", "true".to_owned()), ("--port", "0".to_owned())];
        assert_eq!(flags("strongroom --host ::1 --port 0 --insecure-http"), expected);
        assert_eq!(flags("strongroom serve --host ::1 --port 0 --insecure-http"), expected);
        assert_eq!(flags("strongroom --host ::1 --port 1 serve --port 0 --insecure-http"), expected);
    }

    #[test]
    fn flags_of_serve_before_another_command_override_its_configuration() {
        assert_eq!(flags("strongroom --port 9000 config show"), [("--port", "9000".to_owned())]);
    }

    #[test]
    fn global_flags_work_before_and_after_a_command() {
        for line in [
            "strongroom --output json --config c.yaml --data-dir d user list",
            "strongroom user list --output json --config c.yaml --data-dir d",
        ] {
            let cli = parse(line);
            assert_eq!(cli.output(), OutputFormat::Json);
            let sources = cli.sources(BTreeMap::new());
            assert_eq!(sources.file.unwrap(), PathBuf::from("c.yaml"));
            assert_eq!(sources.flags.get("--data-dir").unwrap(), "d");
        }
    }

    #[test]
    fn the_url_of_the_database_is_taken_by_every_command_and_not_shown() {
        let line = "strongroom token list --database-url mysql://u:canary@db/x";

        assert_eq!(flags(line), [("--database-url", "mysql://u:canary@db/x".to_owned())]);
        assert!(!format!("{:?}", parse(line)).contains("canary"));
    }

    #[test]
    fn every_command_is_understood() {
        for line in [
            "strongroom check",
            "strongroom user create ada --email ada@example.com --admin",
            "strongroom user list",
            "strongroom user disable ada",
            "strongroom bot create ingestion --role worker",
            "strongroom bot list",
            "strongroom token create ci --expires 30d",
            "strongroom token list",
            "strongroom token revoke 1",
            "strongroom keys status",
            "strongroom keys rotate",
            "strongroom config show",
        ] {
            parse(line);
        }
    }

    #[test]
    fn a_bot_has_no_role_unless_one_is_given() {
        let Command::Bot(BotCommand::Create { role, .. }) = parse("strongroom bot create ci").into_command() else {
            panic!("another command");
        };
        assert_eq!(role, BotRole::None);
    }

    #[test]
    fn durations_have_units() {
        let seconds = |text| parse_duration(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("45s"), Ok(45));
        assert_eq!(seconds("30m"), Ok(1800));
        assert_eq!(seconds("12h"), Ok(43_200));
        assert_eq!(seconds("30d"), Ok(2_592_000));
        assert_eq!(seconds("8w"), Ok(4_838_400));
    }

    #[test]
    fn other_durations_are_refused() {
        for text in [
            "",
            "d",
            "30",
            "+3d",
            "-3d",
            "3.5h",
            "30D",
            "30dd",
            "3 d",
            "٣d",
            "0s",
            "3651d",
            "99999999999999999999w",
            "9999999999999999999w",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(error("strongroom token create ci --expires 30").contains("such as 30d"));
    }

    #[test]
    fn a_mistyped_command_gets_a_suggestion() {
        assert!(error("strongroom serv").contains("'serve'"));
    }

    #[test]
    fn the_help_of_every_command_describes_all_it_takes() {
        fn visit(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(visit);
        }
        visit(&Cli::command());
    }
}
