//! `strongroom migrate`.

use anyhow::{bail, ensure};
use serde_json::json;
use strongroom_database::DatabaseLock;
use strongroom_domain::{MoveProgress, MoveSurvey, Tariff};

use super::output::Progress;
use super::parts;
use crate::cli::{MigrateArgs, OutputFormat};
use crate::config::Config;
use crate::secrets_migration::{self, GRACE, Moved};
use crate::wiring::Application;

/// Runs `strongroom migrate`.
pub(super) async fn run(config: &Config, how: MigrateArgs, output: OutputFormat) -> anyhow::Result<()> {
    let parts = parts(config).await?;
    ensure!(
        parts.stores.wanted.sealer().is_none(),
        "the configuration names {}, which is where secrets are at first: nothing is migrated there; `strongroom secrets \
         move` moves them back",
        parts.stores.wanted.kind()
    );
    ensure_one_way(&parts).await?;
    if how.dry_run { dry_run(&parts, output).await } else { migrate(config, &parts, output).await }
}

async fn ensure_one_way(parts: &Application) -> anyhow::Result<()> {
    let noted = parts.database.stores.active_store().await?;
    let now = noted.as_ref().map_or("db", |noted| noted.place.as_str());
    if now == "db" || now == parts.stores.wanted.place() {
        return Ok(());
    }
    bail!(
        "secrets are kept in {now}, and nothing moves from there to {} by itself: see `strongroom secrets move`",
        parts.stores.wanted.place()
    )
}

/// Migrates here, or has a running server do it.
async fn migrate(config: &Config, parts: &Application, output: OutputFormat) -> anyhow::Result<()> {
    let lock = config.database.sqlite_path().map(DatabaseLock::acquire);
    let is_served = lock.as_ref().is_some_and(Result::is_err) || !parts.database.replicas.live().await?.is_empty();
    if is_served {
        let noted = parts.database.stores.active_store().await?;
        let Some(noted) = noted.filter(|noted| noted.place == parts.stores.wanted.place()) else {
            bail!(
                "a server runs that is not configured for {}; restart it with this configuration, and it migrates by \
                   itself",
                parts.stores.wanted.place()
            );
        };
        let from = noted.moving_from.as_deref().unwrap_or("db");
        parts.database.stores.activate(Some(&noted.place), &noted.place, from).await?;
        println!("The running server tries again now; GET /api/v1/secretsManager/migration tells how far it is.");
        return Ok(());
    }
    let leased = parts.database.under_lease(secrets_migration::LEASE).await?;
    let Some(leased) = leased else { bail!("another process is moving secrets; let it finish") };
    let mut progress = Progress::default();
    let told = |it: &MoveProgress| progress.tell("moving secrets".to_owned(), it.moved, it.total);
    let catalog = |database: &_| parts.catalog_over(config, database);
    let moved = secrets_migration::lead(&leased, &parts.stores, catalog, GRACE, told).await?;
    drop(progress);
    report(&moved, parts, output)
}

/// What came of a move; a failure where something was set aside.
pub(super) fn report(moved: &Moved, parts: &Application, output: OutputFormat) -> anyhow::Result<()> {
    let progress = &moved.progress;
    match output {
        OutputFormat::Json => println!("{}", json!(progress)),
        OutputFormat::Text => {
            let place = parts.stores.wanted.place();
            println!("{} secrets are now in {place}, after {:.1} s", progress.moved, moved.took.as_secs_f64());
            for aside in &progress.reasons {
                eprintln!("set aside  {} {}: {}", aside.service, aside.path, aside.reason);
            }
        }
    }
    ensure!(progress.set_aside == 0, "{} secrets could not be moved and stay where they are", progress.set_aside);
    Ok(())
}

async fn dry_run(parts: &Application, output: OutputFormat) -> anyhow::Result<()> {
    let survey = parts.catalog.survey_move(&parts.stores.patient).await?;
    let tariff = parts.stores.wanted.tariff();
    if output == OutputFormat::Json {
        let mut answer = json!(survey);
        if let (Some(members), Some(tariff)) = (answer.as_object_mut(), tariff) {
            members.insert("calls".to_owned(), calls(&survey, parts).into());
            members.insert("seconds".to_owned(), json!(seconds(&survey, &tariff)));
            members.insert("usdPerMonth".to_owned(), json!(usd_per_month(&survey, &tariff)));
        }
        println!("{answer}");
        return Ok(());
    }
    println!("Nothing was changed. A move to {} would", parts.stores.wanted.place());
    println!(
        "  move      {} secrets of {} services, {} bytes, the longest {}",
        survey.secrets, survey.services, survey.bytes, survey.longest
    );
    println!("  find      {} there already", survey.at_their_place);
    println!("  set aside {}", survey.refused);
    for aside in &survey.reasons {
        println!("    {} {}: {}", aside.service, aside.path, aside.reason);
    }
    println!("  rename    {} whose name is taken there", survey.clashes.len());
    for name in &survey.clashes {
        println!("    {name}");
    }
    if let Some(tariff) = tariff {
        print_costs(&survey, &tariff, parts);
    }
    Ok(())
}

fn print_costs(survey: &MoveSurvey, tariff: &Tariff, parts: &Application) {
    println!(
        "  make      {} calls, in about {:.0} s at {} writes a second",
        calls(survey, parts),
        seconds(survey, tariff),
        tariff.writes_per_second
    );
    println!(
        "  cost      {:.2} US dollars a month, and {:.2} once for the calls ({})",
        usd_per_month(survey, tariff),
        calls_usd(survey, tariff, parts),
        tariff.source
    );
    if let Some(most) = tariff.most_small.filter(|most| survey.secrets + survey.at_their_place > *most) {
        println!(
            "  warning   a region holds {most} of the free kind; the others need the one that costs {} US dollars a \
             month each, and the parameter ssmTier: advanced",
            tariff.large_secret_usd
        );
    }
}

/// One write for each secret, and its share of a batched read.
fn calls(survey: &MoveSurvey, parts: &Application) -> u64 {
    let batch = u64::try_from(parts.stores.wanted.limits().read_batch).unwrap_or(1).max(1);
    survey.secrets + survey.secrets.div_ceil(batch)
}

#[allow(clippy::cast_precision_loss)]
fn seconds(survey: &MoveSurvey, tariff: &Tariff) -> f64 {
    survey.secrets as f64 / tariff.writes_per_second
}

#[allow(clippy::cast_precision_loss)]
fn usd_per_month(survey: &MoveSurvey, tariff: &Tariff) -> f64 {
    let small = survey.secrets.saturating_sub(survey.large);
    let beyond = tariff.most_small.map_or(0, |most| small.saturating_sub(most));
    (small - beyond) as f64 * tariff.secret_usd + (survey.large + beyond) as f64 * tariff.large_secret_usd
}

#[allow(clippy::cast_precision_loss)]
fn calls_usd(survey: &MoveSurvey, tariff: &Tariff, parts: &Application) -> f64 {
    calls(survey, parts) as f64 / 10_000.0 * tariff.calls_usd
}
