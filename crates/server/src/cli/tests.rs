//! What is understood, and what is not.

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
    let expected = [("--host", "::1".to_owned()), ("--insecure-http", "true".to_owned()), ("--port", "0".to_owned())];
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
