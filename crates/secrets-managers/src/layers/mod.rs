//! What is put between the server and a store outside.

mod pace;

pub use self::pace::Pace;
