//! Notices what others change: rows that other replicas and commands wrote, keys that a rotation added.

use std::time::{Duration, Instant};

use strongroom_domain::Changes;

use crate::wiring::Application;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(300);

/// For how long after a look nothing older than it is answered: what others change is in force within this time, also
/// where the looks fail or this process was paused.
const BELIEVED: Duration = Duration::from_millis(900);

/// How often the other replicas are told that this one is there.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(5);

/// How often it looks at most where secrets go.
const FOLLOW_AGAIN: Duration = Duration::from_millis(550);

/// Watches until it is dropped.
pub(crate) async fn watch(application: &Application) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_following = true;
    let mut announced = Instant::now();
    let mut is_ring_unchecked = false;
    let (mut followed, mut is_store_unread) = (None, true);
    loop {
        ticks.tick().await;
        let looked = Instant::now();
        let changes = application.database.changes.changes().await;
        if let (Err(error), true) = (&changes, is_following) {
            tracing::error!(error = %error, "changes in the database cannot be followed; nothing is answered from memory");
        }
        is_following = changes.is_ok();
        let keys = application.ring.reload_if_changed().unwrap_or_else(|error| {
            tracing::error!(error = %error, "the key ring has changed and cannot be read; the keys known so far stay in use");
            false
        });
        let everything = Changes { everything: true, ..Changes::default() };
        forget(application, if keys { &everything } else { changes.as_ref().unwrap_or(&everything) });
        // The newest change is told at each look until another comes.
        is_store_unread |= changes.as_ref().is_ok_and(|changes| changes.store || changes.everything);
        if is_store_unread && followed.is_none_or(|followed: Instant| followed.elapsed() >= FOLLOW_AGAIN) {
            match application.follow_store().await {
                Ok(()) => (followed, is_store_unread) = (Some(looked), false),
                Err(error) => {
                    tracing::warn!(error = %error, "nobody knows where secrets go");
                    is_following = false;
                }
            }
        }
        is_ring_unchecked |= keys;
        if keys || announced.elapsed() >= ANNOUNCE_EVERY {
            if is_ring_unchecked {
                let looked =
                    application.agreement.look_for_missing_keys(&application.ring, &application.database).await;
                is_ring_unchecked = looked.is_err();
            }
            match application.agreement.renew(&application.ring, &application.database).await {
                Ok(()) => announced = looked,
                Err(error) => tracing::warn!(error = %error, "the other replicas were not told that this one is there"),
            }
        }
        if is_following {
            application.catalog.believe_until(looked + BELIEVED);
            application.tokens.believe_until(looked + BELIEVED);
        }
    }
}

fn forget(application: &Application, changes: &Changes) {
    if changes.everything || changes.access {
        application.tokens.forget_all();
    }
    if changes.everything {
        application.catalog.forget_all();
    } else if !changes.services.is_empty() {
        application.catalog.forget(&changes.services);
    }
}
