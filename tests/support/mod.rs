//! Fakes and helpers for tests of more than one subject.

mod failing_manager;
pub(crate) mod server;

pub(crate) use failing_manager::FailingManager;
