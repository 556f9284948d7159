//! Names in the documents exist: variables, procedures, paths. Blocks of JSON are JSON.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::Command;
use quittance::{cli, domain::AuditAction, server};
use serde_json::Value;

use crate::{assert_none, at, markdown::*};

/// How our variables begin, but for the two below.
const PREFIXES: &[&str] = &["QUITTANCE_", "CALMONY_PAY_", "INNGEST_"];
/// Variables that are not the program's.
const OF_TESTS: &[&str] = &["QUITTANCE_BIN", "QUITTANCE_REFRESH_EXAMPLES"];
/// How files end that are named without a folder of the top.
const ENDINGS: &[&str] = &[".json", ".md", ".rs", ".toml"];

/// Every variable that the program reads.
pub fn variables() -> BTreeSet<String> {
    fn collect(command: &Command, found: &mut BTreeSet<String>) {
        let variables = command.get_arguments().filter_map(clap::Arg::get_env);
        found.extend(variables.map(|name| name.to_string_lossy().into_owned()));
        command.get_subcommands().for_each(|subcommand| collect(subcommand, found));
    }
    let mut found = BTreeSet::new();
    collect(&cli::grammar(), &mut found);
    found
}

/// The methods of the published document.
pub fn methods() -> Vec<Value> {
    let document: Value = serde_json::from_str(server::openrpc()).expect("the document is JSON");
    document["methods"].as_array().expect("methods").clone()
}

/// Splits text into names.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

#[test]
fn every_variable_is_read() {
    let known = variables();
    let ours = |word: &str| PREFIXES.iter().any(|prefix| word.starts_with(prefix) && word != *prefix);
    let mut faults = Vec::new();
    for document in documents() {
        for word in words(&document.text).filter(|word| ours(word) && !OF_TESTS.contains(word)) {
            if !known.contains(word) {
                faults.push(format!("{}: nothing reads {word}", document.path));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn every_procedure_exists() {
    let methods = methods();
    let name = |method: &Value| method["name"].as_str().expect("a name").to_owned();
    let mut known: BTreeSet<String> = methods.iter().map(name).collect();
    let notifications = methods.iter().filter_map(|method| method["x-notification"].as_str());
    known.extend(notifications.map(str::to_owned));
    known.extend(AuditAction::ALL.iter().map(|action| action.as_str().to_owned()));
    known.insert("rpc.discover".into());
    let namespaces: BTreeSet<_> = known.iter().filter_map(|name| name.split('.').next()).collect();
    let mut faults = Vec::new();
    for document in documents() {
        let in_code = document.blocks.iter().filter(|block| block.language == "ts");
        let called = in_code.flat_map(|block| block.text.split("client.").skip(1));
        let called = called.map(|rest| rest.split(['(', ')', ',', ' ', ';']).next().unwrap_or_default());
        let called = called.map(|name| name.split('.').take(2).collect::<Vec<_>>().join("."));
        let spoken = document.spans.iter().filter(|span| span.split('.').count() == 2).cloned();
        for name in called.chain(spoken) {
            let is_one = |namespace: &&str| name.starts_with(&format!("{namespace}."));
            if namespaces.iter().any(is_one) && !known.contains(&name) {
                faults.push(format!("{}: there is no {name}", document.path));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn every_path_exists() {
    let top: Vec<String> = fs::read_dir(at(""))
        .expect("the repository can be read")
        .filter_map(|entry| entry.ok().filter(|entry| entry.path().is_dir()))
        .map(|entry| format!("{}/", entry.file_name().to_string_lossy()))
        .filter(|name| name != "target/" && name != ".git/")
        .collect();
    let mut faults = Vec::new();
    for document in documents() {
        for span in &document.spans {
            let whole = !span.contains([' ', '*', '<', '{', '…', '=', '$']) && !span.starts_with('@');
            let foldered = top.iter().any(|folder| span.starts_with(folder));
            let file = !span.starts_with(['/', '.']) && ENDINGS.iter().any(|ending| span.ends_with(ending));
            if whole && (foldered || file) && !candidates(&document, span).iter().any(|path| path.exists()) {
                faults.push(format!("{}: {span} does not exist", document.path));
            }
        }
    }
    assert_none(&faults);
}

/// What a path may mean: of the repository, or beside the document, or in the sources beside it.
fn candidates(document: &Document, path: &str) -> Vec<PathBuf> {
    vec![at(path), document.beside(path), document.beside(&Path::new("src").join(path).to_string_lossy())]
}

#[test]
fn blocks_of_json_are_json() {
    let mut faults = Vec::new();
    for document in documents() {
        for block in document.blocks.iter().filter(|block| block.language == "json") {
            for value in serde_json::Deserializer::from_str(&block.text).into_iter::<Value>() {
                if let Err(why) = value {
                    faults.push(format!("{}, {}: {why}", document.path, block.section));
                }
            }
        }
    }
    assert_none(&faults);
}
