//! Commands that the documents name would be taken: subcommands, flags and values by the program's own parser, those of
//! cargo and scripts as far as files and targets go. Blocks that call a server are run instead (`examples`).

use std::{fs, path::Path};

use clap::Command;
use quittance::cli;

use crate::{assert_none, at, markdown::*};

/// Flags of cargo that the documents use, and whether a target's name follows.
const CARGO_FLAGS: &[(&str, bool)] = &[
    ("--all", false),
    ("--all-targets", false),
    ("--bench", true),
    ("--check", false),
    ("--example", true),
    ("--lib", false),
    ("--locked", false),
    ("--no-deps", false),
    ("--release", false),
    ("--test", true),
    ("-q", false),
];
/// Where programs other than the server say which flags they take.
const SOURCES: &[(&str, &str)] = &[
    ("drills", "tests/drills/main.rs"),
    ("load", "benches/load/main.rs"),
    ("load_rows", "benches/load_rows.rs"),
];
/// Programs of others, whose arguments are theirs.
const FOREIGN: &[&str] = &["diesel", "git", "sqlite3"];

/// Whether a block is run against a server, and so need not be looked at here.
pub fn is_run(block: &Block) -> bool {
    block.language == "sh" && block.text.contains("curl ")
}

#[test]
fn every_command_would_be_taken() {
    let mut faults = Vec::new();
    for document in documents() {
        let blocks = document.blocks.iter().filter(|block| block.language == "sh" && !is_run(block));
        let lines: Vec<_> = blocks.flat_map(|block| lines(&block.text)).collect();
        for line in &lines {
            if let Err(why) = check(line, &document) {
                faults.push(format!("{}: {line}: {why}", document.path));
            }
        }
        for span in document.spans.iter().filter(|span| is_mention(span)) {
            if let Err(why) = check_mention(span, &document) {
                faults.push(format!("{}: {span}: {why}", document.path));
            }
        }
    }
    assert_none(&faults);
}

/// The commands of a block: no empty lines, no comments, continued lines as one.
fn lines(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let commands = joined.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
    commands.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// Whether words in a sentence are a command, whole or in part.
fn is_mention(span: &str) -> bool {
    ["quittance ", "cargo "].iter().any(|program| span.starts_with(program))
}

/// A command as it stands in a block, to be typed as it is.
fn check(line: &str, document: &Document) -> Result<(), String> {
    let words = shlex::split(line).ok_or("quotes are left open")?;
    let is_assignment = |word: &&String| word.split_once('=').is_some_and(|(name, _)| is_name(name));
    let command = words.iter().skip_while(is_assignment).map(String::as_str);
    // What follows is the shell's: where the output goes.
    let words: Vec<&str> = command.take_while(|word| !matches!(*word, ">" | "|" | "&&" | ";")).collect();
    let Some((&program, arguments)) = words.split_first() else { return Ok(()) };
    let name = program.rsplit('/').next().unwrap_or(program);
    match name {
        "export" | "cd" => Ok(()),
        "quittance" => parse(arguments),
        "cargo" => check_cargo(arguments),
        "$load_rows" => check_flags("load_rows", arguments),
        "npm" | "node" | "python3" => check_files(arguments, document),
        _ if FOREIGN.contains(&name) => Ok(()),
        _ if program.contains('/') => is_executable(program),
        _ => Err("is a program that this test does not know".into()),
    }
}

/// A command in a sentence may leave out what it is not about: only what it names must exist.
fn check_mention(span: &str, document: &Document) -> Result<(), String> {
    let Some(rest) = span.strip_prefix("quittance ") else { return check(span, document) };
    let mut command = cli::grammar();
    command.build();
    for word in rest.split(' ').filter(|word| !matches!(*word, "…" | "...")) {
        if let Some(flag) = word.strip_prefix("--") {
            let known = command.get_arguments().any(|argument| argument.get_long() == Some(flag));
            known.then_some(()).ok_or_else(|| format!("there is no --{flag}"))?;
        } else if command.has_subcommands() {
            let subcommands =
                word.split('|').map(|name| find(&command, name)).collect::<Result<Vec<_>, _>>()?;
            command = subcommands.into_iter().next().ok_or("names no subcommand")?;
        }
    }
    Ok(())
}

fn find(command: &Command, name: &str) -> Result<Command, String> {
    command.find_subcommand(name).cloned().ok_or_else(|| format!("there is no {name}"))
}

fn parse(arguments: &[&str]) -> Result<(), String> {
    let words = ["quittance"].iter().chain(arguments);
    cli::grammar().try_get_matches_from(words).map(drop).map_err(|error| error.to_string())
}

/// `cargo run -- …` is the server; `cargo test` and `cargo bench` name a target, and what follows `--` is the target's.
fn check_cargo(arguments: &[&str]) -> Result<(), String> {
    let (cargo, program) = match arguments.iter().position(|word| *word == "--") {
        Some(at) => (&arguments[..at], &arguments[at + 1..]),
        None => (arguments, &[][..]),
    };
    let (subcommand, flags) = cargo.split_first().ok_or("names no subcommand")?;
    let mut target = None;
    let mut flags = flags.iter();
    while let Some(flag) = flags.next().filter(|word| word.starts_with('-')) {
        let known = CARGO_FLAGS.iter().find(|(name, _)| name == flag);
        let (_, named) = known.ok_or_else(|| format!("this test does not know cargo's {flag}"))?;
        if *named {
            let name = *flags.next().ok_or_else(|| format!("{flag} names nothing"))?;
            is_target(name)?;
            target = Some(name);
        }
    }
    match (*subcommand, target) {
        ("run", None) => parse(program),
        ("test" | "bench", Some(target)) if SOURCES.iter().any(|(name, _)| *name == target) => {
            check_flags(target, program)
        }
        ("bench" | "build" | "clippy" | "doc" | "fmt" | "install" | "test", _) => Ok(()),
        (other, _) => Err(format!("this test does not know cargo {other}")),
    }
}

/// Whether cargo knows a test, benchmark or example of this name.
fn is_target(name: &str) -> Result<(), String> {
    let manifest = fs::read_to_string(at("Cargo.toml")).map_err(|error| error.to_string())?;
    let said = manifest.contains(&format!("name = \"{name}\""));
    let found = [format!("tests/{name}.rs"), format!("tests/{name}/main.rs")];
    let found = found.iter().any(|path| at(path).exists());
    (said || found).then_some(()).ok_or_else(|| format!("cargo has no target {name}"))
}

/// Each flag is a field in the program's source.
fn check_flags(program: &str, arguments: &[&str]) -> Result<(), String> {
    let (_, source) = SOURCES.iter().find(|(name, _)| *name == program).ok_or("its source is not known")?;
    let source = fs::read_to_string(at(source)).map_err(|error| error.to_string())?;
    for flag in arguments.iter().filter_map(|word| word.strip_prefix("--")) {
        let field = format!(" {}:", flag.replace('-', "_"));
        if flag != "help" && !source.contains(&field) {
            return Err(format!("{program} has no --{flag}"));
        }
    }
    Ok(())
}

/// Each argument with a slash is a file or a folder.
fn check_files(arguments: &[&str], document: &Document) -> Result<(), String> {
    let mut paths = arguments.iter().filter(|word| word.contains('/') && !word.starts_with('@'));
    match paths.find(|path| !at(path).exists() && !document.beside(path).exists()) {
        Some(absent) => Err(format!("{absent} does not exist")),
        None => Ok(()),
    }
}

fn is_executable(program: &str) -> Result<(), String> {
    let path = at(program);
    #[cfg(unix)]
    let runs = {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(&path).is_ok_and(|file| file.permissions().mode() & 0o111 != 0)
    };
    #[cfg(not(unix))]
    let runs = path.exists();
    (runs && Path::new(program).is_relative()).then_some(()).ok_or_else(|| format!("{program} can't be run"))
}

/// Whether this is a name that a shell would give a value.
fn is_name(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[test]
fn what_the_program_would_not_take_is_noticed() {
    let document = Document::read("README.md");
    for line in [
        "quittance serv",
        "quittance token issue --agency 01a2 --role boss --actor platform",
        "quittance token issue --role admin --actor platform",
        "cargo run -- dev --nothing",
        "cargo test --test nowhere",
        "cargo test --test drills -- --nothing 1",
        "tests/nowhere",
        "python3 examples/nowhere.py",
        "frobnicate",
    ] {
        assert!(check(line, &document).is_err(), "{line}");
    }
    for span in ["quittance events forget", "quittance events list|forget", "quittance migrate --nothing"] {
        assert!(check_mention(span, &document).is_err(), "{span}");
    }
}
