//! The rooms of the house, kept as a test: the layers (`tidy/layers.rs`, drawn with `--nocapture layers`), and who may know
//! what. No rule is about sizes: those follow the subjects.

#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/layers.rs"]
mod layers;

use std::{collections::BTreeSet, fs, path::PathBuf};

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

fn is_test(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/")
}

/// Asserts that `pattern` stands in no file of `src` but those whose path begins with one of `rooms`.
fn only_in(pattern: &str, rooms: &[&str]) {
    let files = files(&["src"]);
    for room in rooms {
        assert!(files.iter().any(|file| file.path.starts_with(room)), "a rule names {room}, which is gone");
    }
    let trespassers: Vec<_> = files
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
    for statement in ["insert_payment(", "update_payment(", "insert_audit("] {
        // The list of statements makes it, and the audit log alone asks for it.
        only_in(statement, &["src/ledger/statements.rs", "src/ledger/audit.rs"]);
    }
}

#[test]
fn statements_stand_in_one_list() {
    let forms = [
        "read!",
        "lock!",
        "insert!",
        "insert_unless_taken!",
        "update!",
        "update_and_wait!",
        "set!",
        "alone!",
    ];
    for form in forms {
        only_in(&format!("{form} {{"), &["src/ledger/statements.rs", "src/ledger/form.rs"]);
    }
}

#[test]
fn a_database_s_errors_are_known_to_its_own_room_alone() {
    for pattern in ["DatabaseErrorKind", "DatabaseErrorInformation"] {
        only_in(pattern, &["src/ledger/postgres", "src/ledger/sqlite"]);
    }
    for pattern in ["SqlState", "tokio_postgres", "deadlock detected", "could not serialize"] {
        only_in(pattern, &["src/ledger/postgres"]);
    }
    only_in("database is locked", &["src/ledger/sqlite"]);
}

#[test]
fn batches_know_no_statement_and_no_payment() {
    let used: BTreeSet<_> = imports::read(&[])
        .arrows
        .into_keys()
        .filter(|(from, _)| from.starts_with("src/ledger/batch"))
        .map(|(_, to)| to)
        .filter(|to| !to.starts_with("src/ledger/batch"))
        .collect();
    let allowed = ["src/error.rs", "src/ledger/panic.rs", "src/ledger/waiting.rs"];
    assert_eq!(used, allowed.map(str::to_owned).into(), "what src/ledger/batch uses");
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
    only_in("sandbox::", &["src/sandbox", "src/cli"]);
}

#[test]
fn every_file_says_what_lives_in_it() {
    for file in files(&["src", "tests", "benches"]) {
        assert!(file.text.starts_with("//!"), "{} does not open with `//!`", file.path);
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

#[test]
fn layers_have_no_arrow_upward_and_no_circle() {
    let house = imports::read(&[]);
    println!("\n{}", layers::picture(&house.arrows));
    let breaches = layers::breaches(&house);
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

/// The layers' rules can fail: for each kind of import that breaks one, planted where there is none.
#[test]
fn layers_notice_what_is_planted() {
    let plants = [
        ("src/ledger/pages.rs", "use crate::rpc::Document;", "goes up"),
        ("src/ledger/pages.rs", "fn f() { crate::server::openrpc(); }", "goes up"),
        ("src/domain/pence.rs", "use crate::payment::{self as p}; type T = p::Payment;", "goes up"),
        ("src/auth.rs", "use crate::App;", "a circle of App, auth"),
        ("src/domain/pence.rs", "use crate::error::Error;", "a circle of domain, error"),
        ("src/inbox/conclude.rs", "use super::retry::FIRST_RETRY;", "a circle of src/inbox/conclude.rs"),
        ("src/inbox/placement.rs", "use super::quarantine; fn f() { quarantine::quarantine() }", ""),
        ("src/payment/stats.rs", "fn f() { super::procedures(); }", "a circle of src/payment.rs"),
    ];
    for (file, planted, told) in plants {
        let breaches = layers::breaches(&imports::read(&[(file, planted)]));
        match told {
            "" => assert!(breaches.is_empty(), "{planted} in {file}: {breaches:?}"),
            told => {
                assert!(
                    breaches.iter().any(|breach| breach.contains(told)),
                    "{planted} in {file}: {breaches:?}"
                );
            }
        }
    }
}

#[test]
fn layers_are_drawn_from_every_file() {
    let read = imports::read(&[]).files;
    for File { path, .. } in files(&["src"]) {
        // The binary is another crate, of one line.
        assert!(
            read.contains(&path) || is_test(&path) || path == "src/main.rs",
            "{path} is no module that was found"
        );
    }
}
