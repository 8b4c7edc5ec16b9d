//! What is put between the server and a store outside.

mod cache;
mod circuit;
mod pace;
mod retry;

pub use self::cache::{Cache, CacheTimes};
pub use self::pace::Pace;
pub use self::retry::{Patience, Quotas, Retry};
