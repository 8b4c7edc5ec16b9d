//! A bounded cache that never keeps what was read before a write and stored after it.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::sync::Cache;

/// Counts writes: a reader notes the count before it reads, and its result is kept only if it is still the same.
pub(crate) struct GuardedCache<K, V> {
    cache: Cache<K, V>,
    writes: Mutex<u64>,
    /// Until when it may answer, in milliseconds since [`START`].
    believed_until: AtomicU64,
}

/// Times in the past and future are told from here on.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn since_start(time: Instant) -> u64 {
    u64::try_from(time.saturating_duration_since(*START).as_millis()).unwrap_or(u64::MAX)
}

impl<K, V> GuardedCache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// A cache of this weight; 0 keeps nothing.
    pub(crate) fn new(
        capacity: u64,
        time_to_live: Option<Duration>,
        weigh: impl Fn(&K, &V) -> u32 + Send + Sync + 'static,
    ) -> Self {
        let builder = Cache::builder().max_capacity(capacity).weigher(weigh);
        let builder = match time_to_live {
            Some(time_to_live) => builder.time_to_live(time_to_live),
            None => builder,
        };
        Self { cache: builder.build(), writes: Mutex::new(0), believed_until: AtomicU64::new(u64::MAX) }
    }

    /// What is remembered of a key, while that may be believed.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let believed_until = self.believed_until.load(Ordering::Relaxed);
        let is_believed = believed_until == u64::MAX || since_start(Instant::now()) < believed_until;
        is_believed.then(|| self.cache.get(key)).flatten()
    }

    /// Answers nothing from then on, unless this is called again: whoever follows the changes of others says so, and a
    /// process that was paused does not know what it missed.
    pub(crate) fn believe_until(&self, time: Instant) {
        self.believed_until.store(since_start(time), Ordering::Relaxed);
    }

    /// The count to hand to [`GuardedCache::keep`], taken before reading.
    pub(crate) fn writes(&self) -> u64 {
        *self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was read, unless something was written since.
    pub(crate) fn keep(&self, writes_before: u64, key: K, value: V) {
        let writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        if *writes == writes_before {
            self.cache.insert(key, value);
        }
    }

    /// Forgets keys after a write.
    pub(crate) fn forget(&self, keys: &[K]) {
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        *writes += 1;
        for key in keys {
            self.cache.invalidate(key);
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        *writes += 1;
        self.cache.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_write_is_not_kept_after_it() {
        let cache = GuardedCache::new(10, None, |_: &u8, _: &u8| 1);
        let before = cache.writes();

        cache.forget(&[1]);
        cache.keep(before, 1, 7);

        assert_eq!(cache.get(&1), None);
        cache.keep(cache.writes(), 1, 8);
        assert_eq!(cache.get(&1), Some(8));
        cache.clear();
        assert_eq!(cache.get(&1), None);
    }

    #[test]
    fn what_is_remembered_is_believed_for_a_time_only() {
        let cache = GuardedCache::new(10, None, |_: &u8, _: &u8| 1);
        cache.keep(cache.writes(), 1, 7);

        cache.believe_until(Instant::now());
        assert_eq!(cache.get(&1), None);

        cache.believe_until(Instant::now() + Duration::from_mins(1));
        assert_eq!(cache.get(&1), Some(7));
    }
}
