//! What is put between the server and a store outside.

mod circuit;
mod pace;
mod retry;

pub use self::pace::Pace;
pub use self::retry::{Patience, Quotas, Retry};
