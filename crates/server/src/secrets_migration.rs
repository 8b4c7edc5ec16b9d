//! Moves every secret to the configured store. One process leads, under a lease; a replica takes over what was left
//! behind. The server serves meanwhile.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};
use strongroom_database::Database;
use strongroom_domain::{ActiveStore, Clock, MoveOrder, MoveProgress, Origin, ServiceCatalog};

use crate::config::Config;
use crate::secret_stores::ConfiguredStores;
use crate::system_clock::SystemClock;
use crate::wiring::Application;

/// The name of the lease.
pub(crate) const LEASE: &str = "secrets-migration";

/// Who moves, in the audit.
const ACTOR: &str = "secrets migration";

/// The member of the progress that says that a move came to its end, perhaps without all secrets.
const FINISHED: &str = "finished";

/// How often a replica looks whether there is something to move that nobody moves.
const LOOK_FOR_WORK: Duration = Duration::from_secs(5);

/// How long to wait after a failure, at first and at most.
const TRY_AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));

/// How often the progress is noted, by which the lease lasts on too.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// How often the log tells it.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Other replicas notice within this time that another store is active, and what they wrote just before is there.
const NOTICED: Duration = Duration::from_millis(1_500);

/// How long to wait for replicas of a version that knows of no other stores.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long workers may need old copies in another store: running ones hold their names.
pub(crate) const GRACE: Duration = Duration::from_hours(24);

/// What came of a move.
pub(crate) struct Moved {
    /// How far it came: everything was moved or set aside.
    pub(crate) progress: MoveProgress,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Moves secrets whenever there are some to move, until it is dropped.
pub(crate) async fn run(config: &Config, application: &Application) {
    let mut pause = TRY_AGAIN.0;
    let mut is_start = true;
    loop {
        match move_if_needed(config, application, is_start).await {
            Ok(()) => {
                is_start = false;
                pause = TRY_AGAIN.0;
                tokio::time::sleep(LOOK_FOR_WORK).await;
            }
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    retry_s = pause.as_secs(),
                    "secrets are not all moved; those that are not are served from where they are"
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(TRY_AGAIN.1);
            }
        }
    }
}

async fn move_if_needed(config: &Config, application: &Application, is_start: bool) -> anyhow::Result<()> {
    let noted = application.database.stores.active_store().await?;
    let stores = &application.stores;
    let mut was_set_aside = is_start && noted.as_ref().is_some_and(|noted| set_aside_of(noted) > 0);
    if is_start && stores.wanted.sealer().is_none() && noted.is_some() {
        // What a replica wrote here that had not noticed the move.
        let usage = application.database.keys.key_usage().await?;
        was_set_aside |= usage.iter().any(|usage| usage.secrets > 0);
    }
    if config.secrets_manager.kind.outside().is_none_or(|(kind, _)| kind == "in-memory") && noted.is_none() {
        return Ok(());
    }
    let is_moving = stores.is_moving(noted.as_ref()) && (is_start || !noted.as_ref().is_some_and(is_finished));
    if !is_moving && !was_set_aside {
        return Ok(());
    }
    let Some(leased) = application.database.under_lease(LEASE).await? else { return Ok(()) };
    let mut last_told: Option<Instant> = None;
    let told = |progress: &MoveProgress| {
        if last_told.is_none_or(|last| last.elapsed() >= TELL_EVERY) {
            last_told = Some(Instant::now());
            tracing::info!(
                moved = progress.moved,
                total = progress.total,
                set_aside = progress.set_aside,
                "moving secrets"
            );
        }
    };
    let moved = lead(&leased, stores, |database| application.catalog_over(config, database), GRACE, told).await?;
    report(&moved, stores);
    Ok(())
}

/// How many secrets the last move set aside.
pub(crate) fn set_aside_of(noted: &ActiveStore) -> u64 {
    progress_of(noted).get("setAside").and_then(Value::as_u64).unwrap_or_default()
}

fn is_finished(noted: &ActiveStore) -> bool {
    progress_of(noted).get(FINISHED).is_some()
}

fn progress_of(noted: &ActiveStore) -> Value {
    noted.progress.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Moves everything under a lease, and gives the lease back. Where it fails, the lease is left behind, and it goes on where
/// it stopped.
pub(crate) async fn lead(
    leased: &Database,
    stores: &ConfiguredStores,
    catalog: impl FnOnce(&Database) -> ServiceCatalog,
    grace: Duration,
    mut told: impl FnMut(&MoveProgress) + Send,
) -> anyhow::Result<Moved> {
    let begun = Instant::now();
    wait_for_old_versions(leased).await?;
    activate(leased, stores).await?;
    let catalog = catalog(leased);
    let origin = Origin::default();
    let order = MoveOrder { target: &stores.patient, grace, actor: (ACTOR, &origin) };
    let total = catalog.count_elsewhere(&stores.wanted).await?;
    let shared = Mutex::new(MoveProgress { total, ..MoveProgress::default() });
    let moving = async {
        let mut progress = MoveProgress { total, ..MoveProgress::default() };
        loop {
            let moved = catalog.move_secrets(order, &mut progress, |progress| {
                shared.lock().unwrap_or_else(PoisonError::into_inner).clone_from(progress);
                told(progress);
            });
            // Once more, until nothing is left but what is set aside: services are written meanwhile.
            if moved.await? > 0 {
                continue;
            }
            let left = catalog.count_elsewhere(&stores.wanted).await?;
            if progress.gave_up || left <= progress.set_aside {
                return anyhow::Ok(progress);
            }
            tokio::time::sleep(NOTICED).await;
        }
    };
    let progress = tokio::select! {
        progress = moving => progress?,
        failed = note_progress(leased, &shared, begun) => failed?,
    };
    leased.stores.erase_remains().await?;
    let from = leased.stores.active_store().await?.and_then(|noted| noted.moving_from);
    // What is still in another store can be read only while it is known which.
    if !progress.gave_up && (progress.set_aside == 0 || from.as_deref() == Some("db")) {
        leased.stores.end_move().await?;
    }
    let mut last = noted(&progress, begun);
    if let Value::Object(members) = &mut last {
        members.insert(FINISHED.to_owned(), true.into());
    }
    leased.stores.tell_progress(&last.to_string()).await?;
    leased.give_back_lease().await?;
    Ok(Moved { progress, took: begun.elapsed() })
}

/// From now on new secrets go into the configured store, on every replica.
async fn activate(leased: &Database, stores: &ConfiguredStores) -> anyhow::Result<()> {
    let noted = leased.stores.active_store().await?;
    let wanted = stores.wanted.place();
    let now = noted.as_ref().map(|noted| noted.place.as_str());
    let unfinished = noted.as_ref().and_then(|noted| noted.moving_from.as_deref());
    if now == Some(wanted) && unfinished.is_none() {
        // Those that were set aside: until they are moved, the move is not done.
        leased.stores.activate(now, wanted, "db").await?;
    }
    if now != Some(wanted) {
        let from = now.unwrap_or("db");
        ensure!(
            unfinished.is_none_or(|earlier| earlier == wanted || earlier == from),
            "secrets are still moving from {} to {from}: finish that first (configure {from} and start a server, or `strongroom \
             secrets move --to {from} --yes`)",
            unfinished.unwrap_or_default()
        );
        ensure!(
            leased.stores.activate(now, wanted, from).await?,
            "another process has just made another store active; this one is not moved to"
        );
        tracing::info!(secrets_manager.from = from, secrets_manager.to = wanted, "new secrets go there from now on");
        stores.stores.follow(leased.stores.active_store().await?.as_ref());
        tokio::time::sleep(NOTICED).await;
    }
    Ok(())
}

/// A server of an older version would take a secret that was moved for one that is lost.
async fn wait_for_old_versions(leased: &Database) -> anyhow::Result<()> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        leased.keep_lease().await?;
        let live = leased.replicas.live().await?;
        let old = live.iter().filter(|replica| replica.store.is_none()).count();
        if old == 0 {
            return Ok(());
        }
        ensure!(
            Instant::now() < give_up,
            "{old} of {} servers are of a version that knows of no store outside of the database; update them first",
            live.len()
        );
        tokio::time::sleep(NOTE_EVERY).await;
    }
}

/// Notes the progress until it fails: then the lease is another's.
async fn note_progress(
    leased: &Database,
    progress: &Mutex<MoveProgress>,
    begun: Instant,
) -> anyhow::Result<MoveProgress> {
    loop {
        let now = progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
        leased.stores.tell_progress(&noted(&now, begun).to_string()).await?;
        tokio::time::sleep(NOTE_EVERY).await;
    }
}

/// The progress as the API tells it.
#[allow(clippy::cast_precision_loss)]
fn noted(progress: &MoveProgress, begun: Instant) -> Value {
    let seconds = begun.elapsed().as_secs_f64().max(0.001);
    let rate = progress.moved as f64 / seconds;
    let left = progress.total.saturating_sub(progress.moved + progress.set_aside);
    let mut value = json!(progress);
    if let Value::Object(members) = &mut value {
        members.insert("left".to_owned(), left.into());
        members.insert("perSecond".to_owned(), json!((rate * 10.0).round() / 10.0));
        let eta = (rate > 0.0).then(|| (left as f64 / rate).ceil());
        members.insert("etaSeconds".to_owned(), json!(eta));
        members.insert("updatedAt".to_owned(), SystemClock.now().into());
    }
    value
}

/// The closing line.
pub(crate) fn report(moved: &Moved, stores: &ConfiguredStores) {
    let Moved { progress, took } = moved;
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if progress.gave_up {
        tracing::error!(
            set_aside = progress.set_aside,
            duration_ms,
            "no secret was moved: {} refuses all for the same reason, which GET /api/v1/secretsManager/migration tells; \
             `strongroom check` says what is missing, then `strongroom migrate --retry` or a restart tries again",
            stores.wanted.place()
        );
        return;
    }
    if progress.set_aside > 0 {
        tracing::error!(
            moved = progress.moved,
            set_aside = progress.set_aside,
            duration_ms,
            "secrets were moved to {}, but for those that were set aside: GET /api/v1/secretsManager/migration says which \
             and why; the next start tries again, or `strongroom migrate --retry`",
            stores.wanted.place()
        );
        return;
    }
    tracing::info!(
        moved = progress.moved,
        duration_ms,
        "all secrets are in {}; back-ups and what a database server keeps of old rows still hold them, encrypted: \
         `strongroom keys destroy` ends the keys that encrypted them",
        stores.wanted.place()
    );
}

/// Removes what writes that did not come to their end left in stores, until it is dropped.
pub(crate) async fn sweep(application: &Application) {
    loop {
        tokio::time::sleep(LOOK_FOR_WORK).await;
        if let Err(error) = application.catalog.sweep().await {
            tracing::debug!(error = %error, "nobody knows what was left behind in stores");
        }
    }
}
