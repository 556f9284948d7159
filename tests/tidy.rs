//! The rooms of the house, kept as a test: who may know what, and how long a file may be.

use std::{fs, path::PathBuf};

/// No file is longer; past this a subject wants a room of its own.
const MAX_LINES: usize = 400;

struct File {
    path: String,
    text: String,
}

/// Every Rust file under these folders.
fn files(folders: &[&str]) -> Vec<File> {
    let mut found = Vec::new();
    let mut queue: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
    while let Some(path) = queue.pop() {
        if path.is_dir() {
            queue.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push(File { path: path.to_string_lossy().replace('\\', "/"), text });
        }
    }
    assert!(found.len() > 5, "looked in the wrong place: {folders:?}");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Asserts that `pattern` stands in no file of `src` but those whose path begins with one of `rooms`.
fn only_in(pattern: &str, rooms: &[&str]) {
    let is_test = |path: &str| path.ends_with("tests.rs") || path.contains("/tests/");
    let trespassers: Vec<_> = files(&["src"])
        .into_iter()
        .filter(|file| !is_test(&file.path) && !rooms.iter().any(|room| file.path.starts_with(room)))
        .filter(|file| {
            file.text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(pattern))
        })
        .map(|file| file.path)
        .collect();
    assert!(trespassers.is_empty(), "`{pattern}` belongs in {rooms:?}, but stands in {trespassers:?}");
}

#[test]
fn the_environment_is_known_to_the_config_alone() {
    for pattern in ["std::env", "env::var"] {
        only_in(pattern, &["src/config.rs"]);
    }
    only_in("env = \"", &["src/config.rs", "src/cli/dev.rs"]);
}

#[test]
fn sql_is_known_to_the_ledger_alone() {
    for pattern in ["sql_query", "crate::schema", "diesel::insert_into", "diesel::update", "diesel_async"] {
        only_in(pattern, &["src/ledger"]);
    }
}

#[test]
fn a_status_is_written_in_one_place() {
    for (statement, file) in [
        ("update_payment(", "src/ledger/statements/payments.rs"),
        ("insert_audit(", "src/ledger/statements/audit.rs"),
    ] {
        // Its text once for one row and once for many; the one caller is the journal.
        let forms = ["src/ledger/postgres/posts.rs", "src/ledger/postgres/sets/write.rs", file];
        only_in(statement, &[["src/ledger/journal.rs", "src/ledger/tx.rs"].as_slice(), &forms].concat());
    }
}

#[test]
fn others_are_called_from_their_rooms_alone() {
    only_in("reqwest", &["src/calmony/client", "src/inngest.rs", "src/sandbox/delivery.rs"]);
}

#[test]
fn the_sandbox_uses_nothing_of_ours_but_the_signature() {
    let ours: Vec<_> = files(&["src/sandbox.rs", "src/sandbox"])
        .into_iter()
        .flat_map(|file| {
            let lines = file.text.lines().map(str::to_owned).collect::<Vec<_>>();
            lines.into_iter().map(move |line| (file.path.clone(), line))
        })
        .filter(|(_, line)| line.contains("crate::"))
        .filter(|(_, line)| !line.contains("crate::sandbox") && !line.contains("crate::calmony::signature"))
        .collect();
    assert!(ours.is_empty(), "{ours:?}");
}

#[test]
fn every_file_says_what_lives_in_it_and_is_short() {
    for file in files(&["src", "tests", "benches"]) {
        assert!(file.text.starts_with("//!"), "{} does not open with `//!`", file.path);
        let lines = file.text.lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines", file.path);
    }
}

#[test]
fn nothing_is_left_for_later() {
    for file in files(&["src"]) {
        for word in ["todo!(", "unimplemented!(", "dbg!(", "FIXME", "XXX", "#[ignore"] {
            assert!(!file.text.contains(word), "{} holds {word}", file.path);
        }
    }
}
