//! How many services there are, remembered until one comes or goes: counting them costs the more the more there are.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use strongroom_domain::Family;

/// Counts by family and state.
#[derive(Default)]
pub(super) struct Totals(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    totals: HashMap<(Family, bool), u64>,
    /// Grows with each change, so that what was counted before it is not kept after it.
    changes: u64,
}

impl Totals {
    pub(super) fn get(&self, family: Family, deleted: bool) -> Option<u64> {
        self.lock().totals.get(&(family, deleted)).copied()
    }

    /// The number to hand to [`Totals::keep`], taken before counting.
    pub(super) fn changes(&self) -> u64 {
        self.lock().changes
    }

    pub(super) fn keep(&self, changes_before: u64, family: Family, deleted: bool, total: u64) {
        let mut counted = self.lock();
        if counted.changes == changes_before {
            counted.totals.insert((family, deleted), total);
        }
    }

    /// Forgets the counts of a family, or of all.
    pub(super) fn forget(&self, family: Option<Family>) {
        let mut counted = self.lock();
        counted.changes += 1;
        counted.totals.retain(|(of, _), _| family.is_some_and(|family| *of != family));
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
