//! The connections that are open: so many at most, and where more come, one that asks nothing makes room.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How soon to look again for a connection that asks nothing, where all are at work.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// All open connections, the oldest first.
pub(crate) struct OpenConnections {
    limit: u32,
    places: Arc<Semaphore>,
    open: Arc<Mutex<BTreeMap<u64, Arc<Activity>>>>,
}

/// What a connection is doing.
#[derive(Default)]
pub(crate) struct Activity {
    running: AtomicUsize,
    has_asked: AtomicBool,
    is_told_to_leave: AtomicBool,
    leave: Notify,
}

/// The place of one connection; free for another on drop.
pub(crate) struct Place {
    number: u64,
    pub(crate) activity: Arc<Activity>,
    open: Arc<Mutex<BTreeMap<u64, Arc<Activity>>>>,
    _permit: OwnedSemaphorePermit,
}

/// A request that is at work until this is dropped.
pub(crate) struct RunningRequest(Arc<Activity>);

impl OpenConnections {
    pub(crate) fn new(limit: usize) -> Self {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        Self { limit, places: Arc::new(Semaphore::new(limit as usize)), open: Arc::default() }
    }

    /// A place for a new connection. Where all are taken, the oldest connection that has asked nothing yet leaves, else
    /// the oldest that asks nothing now: thousands that stall then keep nobody waiting.
    pub(crate) async fn place(&self) -> Option<Place> {
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
                break permit;
            }
            self.make_room();
            let freed = tokio::time::timeout(LOOK_AGAIN, Arc::clone(&self.places).acquire_owned()).await;
            if let Ok(permit) = freed {
                break permit.ok()?;
            }
        };
        let activity = Arc::<Activity>::default();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let number = open.last_key_value().map_or(0, |(last, _)| last + 1);
        open.insert(number, Arc::clone(&activity));
        Some(Place { number, activity, open: Arc::clone(&self.open), _permit: permit })
    }

    fn make_room(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut idle = open.values().filter(|it| it.is_idle());
        let oldest = open.values().find(|it| it.is_idle() && !it.has_asked()).or_else(|| idle.next());
        if let Some(activity) = oldest {
            activity.tell_to_leave();
        }
    }

    /// Tells all to leave once they have their answers, and waits until they have.
    pub(crate) async fn close(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).values().for_each(|it| it.tell_to_leave());
        let _all = self.places.acquire_many(self.limit).await;
    }
}

impl Activity {
    /// Notes a request, from its head to its answer.
    pub(crate) fn begin(self: &Arc<Self>) -> RunningRequest {
        self.has_asked.store(true, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        RunningRequest(Arc::clone(self))
    }

    /// Whether a request ever came.
    pub(crate) fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Relaxed)
    }

    /// Ends when the connection should leave.
    pub(crate) async fn told_to_leave(&self) {
        self.leave.notified().await;
    }

    fn is_idle(&self) -> bool {
        self.running.load(Ordering::Relaxed) == 0 && !self.is_told_to_leave.load(Ordering::Relaxed)
    }

    fn tell_to_leave(&self) {
        self.is_told_to_leave.store(true, Ordering::Relaxed);
        self.leave.notify_one();
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn where_all_places_are_taken_one_that_never_asked_leaves_before_one_that_did() {
        let connections = OpenConnections::new(3);
        let [busy, kept_alive, stalled] = [(); 3].map(|()| connections.place());
        let (busy, kept_alive, stalled) = (busy.await.unwrap(), kept_alive.await.unwrap(), stalled.await.unwrap());
        let _running = busy.activity.begin();
        drop(kept_alive.activity.begin());

        let leaves = async {
            stalled.activity.told_to_leave().await;
            drop(stalled);
        };
        let (new, ()) = tokio::join!(connections.place(), leaves);
        let leaves = async {
            kept_alive.activity.told_to_leave().await;
            drop(kept_alive);
        };
        let _running_too = new.as_ref().unwrap().activity.begin();
        let (newer, ()) = tokio::join!(connections.place(), leaves);

        assert!(newer.is_some());
    }

    #[tokio::test]
    async fn where_all_are_at_work_a_new_one_waits() {
        let connections = OpenConnections::new(1);
        let first = connections.place().await.unwrap();
        let running = first.activity.begin();
        let waits = tokio::time::timeout(Duration::from_millis(50), connections.place()).await;
        assert!(waits.is_err());

        let leaves = async {
            drop(running);
            first.activity.told_to_leave().await;
            drop(first);
        };
        let (second, ()) = tokio::join!(connections.place(), leaves);

        assert!(second.is_some());
    }
}
