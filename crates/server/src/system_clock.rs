//! The system's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use strongroom_domain::{Clock, SystemTimestamp};

/// The system's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTimestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        SystemTimestamp::try_from(since_epoch.as_millis()).unwrap_or(SystemTimestamp::MAX)
    }
}
