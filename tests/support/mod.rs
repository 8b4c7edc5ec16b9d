//! Fakes and helpers for tests of more than one subject.

pub(crate) mod aws_proxy;
pub(crate) mod database_server;

mod failing_manager;
pub(crate) mod fixtures;
pub(crate) mod mariadb;
pub(crate) mod moto;
pub(crate) mod postgresql;
pub(crate) mod server;
pub(crate) mod stores;

pub(crate) use failing_manager::FailingManager;
