//! Behaviour across crates, in one test binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod architecture;
mod connection_types;
mod http_api;
mod migration;
mod process;
mod replicas;
mod reveals;
mod secrets_manager;
mod store;
mod support;
