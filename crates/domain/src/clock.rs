//! Time as an argument, so that tests need not sleep.

/// Milliseconds since the epoch.
pub type SystemTimestamp = i64;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, in milliseconds since the epoch.
    fn now(&self) -> SystemTimestamp;
}
