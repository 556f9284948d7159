//! The `quittance` binary.

use std::{process::ExitCode, time::Duration};

/// How long the end waits for threads that are blocked, such as one that closes a file.
const BLOCKED_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    // SAFETY: the runtime, and with it any other thread, is made below.
    unsafe { quittance::config::forget_empty_variables() };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("quittance: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(quittance::cli::run());
    // What still blocks a thread, such as the look-up of a name, ends with the process.
    runtime.shutdown_timeout(BLOCKED_TIMEOUT);
    code
}
