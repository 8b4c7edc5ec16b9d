//! Notices what other processes change: rows that commands wrote, keys that a rotation added.

use std::time::Duration;

use crate::wiring::Application;

/// How often it looks. What a command changes is in force within twice this time.
const EVERY: Duration = Duration::from_millis(300);

/// Watches until it is dropped.
pub(crate) async fn watch(application: &Application) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_following = true;
    loop {
        ticks.tick().await;
        let rows = application.database.changed_elsewhere().await;
        if let (Err(error), true) = (&rows, is_following) {
            tracing::error!(error = %error, "changes in the database cannot be followed; nothing is answered from memory");
        }
        is_following = rows.is_ok();
        let keys = application.ring.reload_if_changed().unwrap_or_else(|error| {
            tracing::error!(error = %error, "the key ring has changed and cannot be read; the keys known so far stay in use");
            false
        });
        if keys || rows.unwrap_or(true) {
            application.catalog.forget_all();
            application.tokens.forget_all();
        }
    }
}
