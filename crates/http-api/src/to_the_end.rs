//! Writes that do not stop half-way when their client goes away.

use std::future::Future;

use crate::error::ApiError;

/// Runs a write to its end even when the client goes away, so that what was written is also noticed by the caches.
pub(crate) async fn to_the_end<T, E>(write: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    match tokio::spawn(write).await {
        Ok(outcome) => outcome.map_err(Into::into),
        Err(stopped) => match stopped.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => Err(ApiError::unavailable("the server is stopping; try again")),
        },
    }
}
