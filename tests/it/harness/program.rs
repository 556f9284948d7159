//! The program itself, as a process.

use std::process::{Command, Stdio};

/// The program, with nothing of this process's environment that it would take for a setting.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quittance"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars() {
        if ["QUITTANCE_", "CALMONY_", "DATABASE_URL", "INNGEST_", "RUST_LOG"]
            .iter()
            .any(|own| name.starts_with(own))
        {
            command.env_remove(name);
        }
    }
    command
}
