//! The documents, held against the program: every link leads somewhere, every command, variable, procedure and path
//! that they name exists, what they say can be run is run, and the lists that must be complete are.
//!
//! Not here: figures, and whether a sentence is true.

mod commands;
mod examples;
mod links;
mod lists;
mod markdown;
mod names;
#[path = "../it/harness/program.rs"]
mod program;

use std::path::{Path, PathBuf};

/// A path of the repository.
fn at(path: impl AsRef<Path>) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().expect("the repository is there");
    root.join(path)
}

/// Fails with all that was found wrong, one a line.
#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
