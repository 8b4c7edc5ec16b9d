//! The REST API: extract, one call into the domain, map the answer.

mod audit;
mod authentication;
mod base_url;
mod body;
mod catalog_stubs;
mod connection_types;
mod error;
mod health;
mod middleware;
mod openapi;
mod query;
mod router;
mod secrets_migration;
mod service_answers;
mod services;
mod services_by_name;
mod state;
mod target;
mod to_the_end;
mod tokens;

pub use health::Readiness;
pub use router::Api;
pub use state::{ApiSettings, ApiState, PeerAddress};
