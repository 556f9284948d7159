//! A panic in a job is an error of that job, and of nothing else.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use crate::error::Error;

/// Runs a future to its end and turns a panic in it into an error.
pub async fn catch_panic<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let caught = AssertUnwindSafe(future).catch_unwind().await;
    caught.unwrap_or_else(|_| Err(Error::internal("a panic inside a transaction")))
}
