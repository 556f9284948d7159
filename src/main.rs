//! The `quittance` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: the runtime, and with it any other thread, is made below.
    unsafe { quittance::config::forget_empty_variables() };
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(quittance::cli::run()),
        Err(error) => {
            eprintln!("quittance: no runtime: {error}");
            ExitCode::FAILURE
        }
    }
}
