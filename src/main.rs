//! The `quittance` binary.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    quittance::cli::run().await
}
