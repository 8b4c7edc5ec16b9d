//! `strongroom database`.

use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use strongroom_database::{CopiedTable, CopyProgress, CopyStep, DatabaseLock, copy};
use strongroom_domain::SecretValue;

use super::output::{Progress, Table};
use crate::cli::{CopyArgs, DatabaseCommand, OutputFormat};
use crate::config::{Config, DatabaseEngine, named_database};
use crate::open_database::open_for_copy;

/// Runs `strongroom database`.
pub(super) async fn run(config: &Config, command: DatabaseCommand, output: OutputFormat) -> anyhow::Result<()> {
    match command {
        DatabaseCommand::Copy(ends) => copy_database(config, &ends, output).await,
    }
}

async fn copy_database(config: &Config, ends: &CopyArgs, output: OutputFormat) -> anyhow::Result<()> {
    let CopyArgs { from, from_password_file, from_ca_file, to, to_password_file, to_ca_file } = ends;
    let from = end(config, "--from", from.as_ref(), from_password_file.as_deref(), from_ca_file.as_deref())?;
    let to = end(config, "--to", to.as_ref(), to_password_file.as_deref(), to_ca_file.as_deref())?;
    ensure!(from.to_string() != to.to_string(), "--from and --to are the same database, {from}");
    if let DatabaseEngine::Sqlite { path } = &from {
        ensure!(path.exists(), "--from: there is no database {from}");
    }
    let (_from_lock, _to_lock) = (locked(&from)?, locked(&to)?);
    let source = open_for_copy(&from, true).await.context("--from")?;
    let target = open_for_copy(&to, false).await.context("--to")?;
    let mut progress = Progress::default();
    let tell = |CopyProgress { step, table, done, total }: CopyProgress| {
        let what = match step {
            CopyStep::Copy => format!("copying {table}"),
            CopyStep::Compare => format!("comparing {table}"),
        };
        progress.tell(what, done, total);
    };
    let copied = copy(&source, &target, &from.to_string(), tell).await?;
    drop(progress);
    report(copied, output);
    eprintln!(
        "Everything in {from} is in {to} too, byte for byte. Servers on it need the key ring of those on the old one: \
         give each a copy."
    );
    Ok(())
}

/// A database that the command names, or the configured one.
fn end(
    config: &Config,
    flag: &'static str,
    url: Option<&SecretValue>,
    password_file: Option<&Path>,
    ca_file: Option<&Path>,
) -> anyhow::Result<DatabaseEngine> {
    let Some(url) = url else { return Ok(config.database.engine.clone()) };
    Ok(named_database(flag, url, password_file, ca_file)?)
}

/// No server may run on the file; on a server, replicas announce themselves.
fn locked(engine: &DatabaseEngine) -> anyhow::Result<Option<DatabaseLock>> {
    match engine {
        DatabaseEngine::Sqlite { path } => {
            let lock =
                DatabaseLock::acquire(path).with_context(|| format!("{engine} cannot be copied; stop its server"))?;
            Ok(Some(lock))
        }
        DatabaseEngine::Server(_) => Ok(None),
    }
}

fn report(copied: Vec<CopiedTable>, output: OutputFormat) {
    let mut table = Table::new(&["table", "rows", "sha256"]);
    for CopiedTable { name, rows, digest } in copied {
        table.push(vec![json!(name), json!(rows), Value::from(digest)]);
    }
    table.print(output);
}
