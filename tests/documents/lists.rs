//! Lists that must be complete: what the program has, the document for its readers names.

use std::{collections::BTreeSet, fs};

use clap::Command;
use quittance::{
    cli,
    domain::{AnomalyKind, Verdict},
    error::Kind,
    rpc::procedure::COMMON_ERRORS,
    server,
};

use crate::{
    assert_none, at,
    markdown::*,
    names::{methods, variables},
};

/// What counts and measures.
const MACROS: &[&str] = &["counter!(", "gauge!(", "histogram!("];

/// The line of a table in whose first cell this stands in backticks.
fn row<'a>(document: &'a Document, name: &str) -> Option<&'a str> {
    let quoted = format!("`{name}`");
    let cell =
        |line: &&str| line.starts_with("| ") && line.split(" | ").next().is_some_and(|c| c.contains(&quoted));
    document.text.lines().find(cell)
}

/// What has no line of its own.
fn missing<'a>(document: &Document, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let absent = names.into_iter().filter(|name| row(document, name).is_none());
    absent.map(|name| format!("{} has no line for {name}", document.path)).collect()
}

#[test]
fn every_setting_is_described() {
    let operations = Document::read("docs/operations/README.md");
    let in_sentences = |name: &&str| !operations.text.contains(&format!("`{name}`"));
    let absent: Vec<_> =
        variables().iter().map(String::as_str).filter(in_sentences).map(str::to_owned).collect();
    assert_none(&absent);
}

#[test]
fn every_command_is_described() {
    let operations = Document::read("docs/operations/README.md");
    let mentioned = |path: &str, name: &str| {
        let whole = format!("quittance {path}{name}");
        let among = |span: &String| {
            let rest = span.strip_prefix(&format!("quittance {path}"));
            rest.is_some_and(|rest| {
                rest.split(' ').next().unwrap_or_default().split('|').any(|word| word == name)
            })
        };
        operations.spans.iter().any(|span| *span == whole || among(span))
    };
    let mut absent = Vec::new();
    for command in cli::grammar().get_subcommands() {
        let leaves: Vec<(String, &Command)> = match command.has_subcommands() {
            true => {
                command.get_subcommands().map(|leaf| (format!("{} ", command.get_name()), leaf)).collect()
            }
            false => vec![(String::new(), command)],
        };
        for (path, leaf) in leaves {
            if !mentioned(&path, leaf.get_name()) {
                absent.push(format!(
                    "{} does not describe quittance {path}{}",
                    operations.path,
                    leaf.get_name()
                ));
            }
        }
    }
    assert_none(&absent);
}

#[test]
fn every_metric_is_described() {
    let mut counted = BTreeSet::new();
    let mut folders = vec![at("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("sources").map(|entry| entry.expect("an entry").path()) {
            match entry.is_dir() {
                true => folders.push(entry),
                false => {
                    let text = fs::read_to_string(&entry).unwrap_or_default();
                    let calls = MACROS.iter().flat_map(|call| text.split(call).skip(1));
                    let names =
                        calls.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
                    // Tests count others.
                    counted.extend(names.filter(|name| name.starts_with("quittance_")).map(str::to_owned));
                }
            }
        }
    }
    assert!(counted.len() > 5, "looked in the wrong place: {counted:?}");
    let operations = Document::read("docs/operations/README.md");
    let mut faults = missing(&operations, counted.iter().map(String::as_str));
    let told =
        operations.spans.iter().filter(|span| span.starts_with("quittance_") && !counted.contains(*span));
    faults.extend(told.map(|name| format!("{}: nothing counts {name}", operations.path)));
    assert_none(&faults);
}

#[test]
fn every_procedure_is_described_with_its_role() {
    let frontend = Document::read("docs/frontend.md");
    let mut faults = Vec::new();
    for procedure in server::procedures() {
        let role = procedure.role.as_str();
        let told = row(&frontend, procedure.name).and_then(|line| line.split(" | ").nth(1));
        if told.is_none_or(|told| !told.starts_with(role)) {
            faults.push(format!("{}: {} is for {role}, not {told:?}", frontend.path, procedure.name));
        }
    }
    let names: Vec<_> =
        methods().iter().filter_map(|method| method["name"].as_str().map(str::to_owned)).collect();
    faults.extend(missing(&frontend, names.iter().map(String::as_str)));
    assert_none(&faults);
}

#[test]
fn every_error_is_described_with_its_code() {
    let frontend = Document::read("docs/frontend.md");
    let kinds: BTreeSet<Kind> = server::procedures()
        .iter()
        .flat_map(|procedure| procedure.errors.iter().copied())
        .chain(COMMON_ERRORS.iter().copied())
        .collect();
    let mut faults = Vec::new();
    for kind in kinds {
        let code = kind.code().to_string();
        let told = row(&frontend, kind.as_str()).and_then(|line| line.split(" | ").nth(1));
        if told != Some(&*code) {
            faults.push(format!("{}: {} is {code}, not {told:?}", frontend.path, kind.as_str()));
        }
    }
    assert_none(&faults);
}

#[test]
fn every_verdict_and_anomaly_is_described() {
    let money = Document::read("docs/money.md");
    let verdicts = Verdict::ALL.iter().map(|verdict| verdict.as_str());
    assert_none(&missing(&money, verdicts.chain(AnomalyKind::ALL.iter().map(|kind| kind.as_str()))));
}
