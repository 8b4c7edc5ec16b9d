//! One piece of work on its way to a connection's thread and back.

use std::time::Instant;

use rusqlite::Connection;
use strongroom_domain::StoreError;
use tokio::sync::oneshot;

use super::errors::{Fault, same_error};

/// What a request does, from the cheapest to the dearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    /// Changes no row; runs outside of a transaction.
    None,
    /// One statement that may be lost on a power cut, never on the end of the process.
    Note,
    /// Whatever must be on disk before it is acknowledged; leaves nothing where it is refused.
    Change,
}

/// A request whatever its answer is. It is answered once; it may be run again after what it did was rolled back.
pub(super) trait Request: Send {
    /// What it does.
    fn effect(&self) -> Effect;

    /// When the caller stops waiting.
    fn answer_by(&self) -> Instant;

    /// Whether anybody still waits for it.
    fn is_awaited(&self) -> bool;

    /// Does the work and keeps what came of it; says whether it succeeded.
    fn run(&mut self, connection: &Connection) -> bool;

    /// Answers with what came of it, or with the failure of the whole; says whether the caller still waited.
    fn answer(self: Box<Self>, failure: Option<&StoreError>) -> bool;
}

/// Work that yields a `T` or an `E`.
pub(super) struct Work<T, E, W> {
    effect: Effect,
    answer_by: Instant,
    todo: W,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, W> Work<T, E, W>
where
    W: Fn(&Connection) -> Result<T, Fault<E>>,
{
    pub(super) fn new(effect: Effect, answer_by: Instant, work: W) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (reply, answer) = oneshot::channel();
        (Self { effect, answer_by, todo: work, outcome: None, reply }, answer)
    }
}

impl<T, E, W> Request for Work<T, E, W>
where
    T: Send,
    E: From<StoreError> + Send,
    W: Fn(&Connection) -> Result<T, Fault<E>> + Send,
{
    fn effect(&self) -> Effect {
        self.effect
    }

    fn answer_by(&self) -> Instant {
        self.answer_by
    }

    fn is_awaited(&self) -> bool {
        !self.reply.is_closed()
    }

    fn run(&mut self, connection: &Connection) -> bool {
        let outcome = (self.todo)(connection).map_err(Fault::into_error);
        let succeeded = outcome.is_ok();
        self.outcome = Some(outcome);
        succeeded
    }

    fn answer(self: Box<Self>, failure: Option<&StoreError>) -> bool {
        let outcome = match (failure, self.outcome) {
            (Some(failure), _) => Err(E::from(same_error(failure))),
            (None, Some(outcome)) => outcome,
            (None, None) => Err(E::from(StoreError::Unexpected("a request was not run".to_owned()))),
        };
        self.reply.send(outcome).is_ok()
    }
}
