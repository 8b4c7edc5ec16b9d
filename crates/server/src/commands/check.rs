//! `strongroom check`: whether a server would start and could work, before it is needed.

use std::path::Path;

use serde_json::json;
use strongroom_domain::CatalogError;

use crate::cli::OutputFormat;
use crate::config::Config;
use crate::wiring::{Application, Purpose, assemble, load_types};

/// What was looked at, and how it went.
struct Finding {
    subject: &'static str,
    fault: Option<String>,
    note: String,
}

impl Finding {
    fn of(subject: &'static str, outcome: Result<String, impl std::fmt::Display>) -> Self {
        match outcome {
            Ok(note) => Self { subject, fault: None, note },
            Err(error) => Self { subject, fault: Some(error.to_string()), note: String::new() },
        }
    }
}

/// Checks configuration, database, key ring and secrets manager; a line each.
pub(super) async fn run(config: &Config, output: OutputFormat) -> anyhow::Result<()> {
    let mut findings = vec![Finding::of("configuration", Ok::<_, String>("can be read".to_owned()))];
    findings.push(Finding::of("connection types", load_types(config).map(|_| "can be read".to_owned())));
    if config.database.sqlite_path().is_none_or(Path::exists) {
        match assemble(config, Purpose::Command).await {
            Ok(parts) => findings.extend(look_at(&parts).await),
            Err(error) => findings.push(Finding::of("start", Err::<String, _>(format!("{error:#}")))),
        }
    } else {
        let note = format!("{} is made at the first start", config.database.engine);
        findings.push(Finding::of("database", Ok::<_, String>(note)));
    }
    print(&findings, output);
    let faults = findings.iter().filter(|finding| finding.fault.is_some()).count();
    anyhow::ensure!(faults == 0, "{faults} of {} checks failed", findings.len());
    Ok(())
}

async fn look_at(parts: &Application) -> Vec<Finding> {
    let database = parts.database.health.check_writable().await.map(|()| "can be read and written".to_owned());
    let ring = parts.ring.current();
    let keys = Ok::<_, String>(format!("{} in the ring, {} encrypts", ring.ids().len(), ring.encrypting()));
    let place = parts.stores.wanted.place();
    let probed = parts.stores.wanted.check().await.into_iter();
    let probed = probed
        .map(|step| Finding::of("secrets manager", step.outcome.map(|note| format!("{place}, {}: {note}", step.step))));
    let mut findings = vec![Finding::of("database", database), Finding::of("key ring", keys)];
    findings.extend(probed);
    findings.extend(room_for_all(parts).await);
    findings.push(first_admin(parts).await);
    findings
}

/// Whether a region holds as many of the free kind.
async fn room_for_all(parts: &Application) -> Option<Finding> {
    let most = parts.stores.wanted.tariff()?.most_small?;
    let (there, here) = (&parts.stores.wanted, parts.stores.stores.database());
    let count = async || {
        Ok::<_, CatalogError>(parts.catalog.count_elsewhere(there).await? + parts.catalog.count_elsewhere(here).await?)
    };
    let note = count().await.map(|all| {
        let remedy = if all > most { ": see `strongroom migrate --dry-run`" } else { "" };
        format!("{all} secrets; a region holds {most} of the free kind{remedy}")
    });
    Some(Finding::of("secrets manager", note))
}

/// The first admin's token lies in a file and never ends: it should be replaced.
async fn first_admin(parts: &Application) -> Finding {
    let subject = "first admin";
    let tokens = match parts.tokens.tokens().await {
        Ok(tokens) => tokens,
        Err(error) => return Finding::of(subject, Err::<String, _>(error)),
    };
    let in_use =
        tokens.into_iter().find(|it| it.token.first_admin && it.token.revoked_at.is_none() && !it.owner.disabled);
    let note = in_use.map_or_else(
        || "its token is no longer in use".to_owned(),
        |in_use| {
            format!(
                "warning: its token is still in use; make one for each admin (strongroom user create, token create), \
                 then: strongroom token revoke {}",
                in_use.token.id
            )
        },
    );
    Finding::of(subject, Ok::<_, String>(note))
}

fn print(findings: &[Finding], output: OutputFormat) {
    if output == OutputFormat::Json {
        let list: Vec<_> = findings
            .iter()
            .map(|it| json!({ "subject": it.subject, "ok": it.fault.is_none(), "fault": it.fault, "note": it.note }))
            .collect();
        println!("{}", json!(list));
        return;
    }
    for finding in findings {
        match &finding.fault {
            None => println!("ok     {}: {}", finding.subject, finding.note),
            Some(fault) => eprintln!("fault  {}: {fault}", finding.subject),
        }
    }
}
