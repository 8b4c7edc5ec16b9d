//! A bounded cache that never keeps what was read before a write and stored after it.

use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache;

/// Counts writes: a reader notes the count before it reads, and its result is kept only if it is still the same.
pub(crate) struct GuardedCache<K, V> {
    cache: Cache<K, V>,
    writes: Mutex<u64>,
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
        Self { cache: builder.build(), writes: Mutex::new(0) }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.cache.get(key)
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
}
