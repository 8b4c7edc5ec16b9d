//! Spares callers the wait for a store that is away.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many calls in a row without an answer, and the store counts as away.
const FAILURES: u32 = 5;

/// How long it then counts as away, until one call tries again.
const PAUSE: Duration = Duration::from_secs(5);

/// What is known of a store's absence. All callers share it.
#[derive(Debug, Default)]
pub(super) struct Circuit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
}

impl Circuit {
    /// Lets a call through, or says for how long none will be. After a pause it lets one through in each pause, so that
    /// one that never came back holds up none.
    pub(super) fn enter(&self) -> Result<(), Duration> {
        let mut state = self.state();
        let now = Instant::now();
        match state.open_until {
            Some(until) if now < until => Err(until - now),
            Some(_) => {
                state.open_until = Some(now + PAUSE);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The store has answered, whatever it was.
    pub(super) fn answered(&self) {
        *self.state() = State::default();
    }

    /// The store has not answered.
    pub(super) fn failed(&self) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES {
            state.open_until = Some(Instant::now() + PAUSE);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> Circuit {
        let circuit = Circuit::default();
        (0..FAILURES).for_each(|_| circuit.failed());
        circuit
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_an_answer_between_them_does_not() {
        let circuit = Circuit::default();
        for _ in 0..FAILURES - 1 {
            circuit.failed();
        }
        assert_eq!(circuit.enter(), Ok(()));

        circuit.answered();
        circuit.failed();
        assert_eq!(circuit.enter(), Ok(()));

        assert!(opened().enter().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_pause_one_call_tries_and_its_answer_lets_all_in() {
        let circuit = opened();

        tokio::time::advance(PAUSE).await;

        assert_eq!(circuit.enter(), Ok(()));
        assert_eq!(circuit.enter(), Err(PAUSE), "only one tries");
        circuit.answered();
        assert_eq!(circuit.enter(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_never_comes_back_holds_up_the_next_for_one_pause_only() {
        let circuit = opened();
        tokio::time::advance(PAUSE).await;
        assert_eq!(circuit.enter(), Ok(()));

        tokio::time::advance(PAUSE).await;

        assert_eq!(circuit.enter(), Ok(()));
    }
}
