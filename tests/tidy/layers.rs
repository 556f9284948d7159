//! The layers of the house and its circles: draws them, and says which arrows break the rules.
//!
//! A **room** is a module of `lib.rs`, with all its files. An arrow (`imports.rs`) may go to a file of the same layer or
//! of a lower one. Rooms form no circle, and neither do the files of a room.
//!
//! A parent and its children: to declare a module and to pass its names on (`mod x; pub use x::Y;`) makes no arrow. A
//! child may name what its parents *declare* (types, traits, constants, macros: the words of the room), even where they
//! call it; that is left out of a room's circles. To name a parent's *function* counts: who is called does not call back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::imports::{Arrow, Arrows, Crate};

/// Top to bottom. `App` is `lib.rs`: what the services share, itself made of services and of what is below them. So it is
/// one of them, and those that it is made of can't know it.
pub const LAYERS: [(&str, &[&str]); 7] = [
    ("cli", &["cli", "demo"]),
    ("server", &["server", "config", "telemetry"]),
    (
        "ingress",
        &["rpc", "payment", "todo", "custom_payment_task", "token", "webhook", "jobs", "ops", "listener"],
    ),
    ("service", &["App", "payment_sync", "inbox", "checkout", "change_feed", "auth"]),
    ("provider", &["calmony", "inngest", "sandbox"]),
    ("ledger", &["ledger", "schema"]),
    ("nouns", &["error", "domain", "pagination", "tls"]),
];

/// Arrows that break a rule, from files to files whose paths begin so, with the reason. One that is needed no more fails.
pub const EXCEPTIONS: [(&str, &str, &str); 5] = [
    (
        "src/domain",
        "src/ledger/sql_types.rs",
        "diesel's derives have to stand at a type, and name the type of its column; all else about columns is the ledger's",
    ),
    (
        "src/ledger/tx.rs",
        "src/ledger/postgres",
        "a Tx is one of the databases' connections, and each makes its own",
    ),
    ("src/ledger/tx.rs", "src/ledger/sqlite", "the same"),
    (
        "src/ledger/form.rs",
        "src/ledger/postgres",
        "a form says what it is on either database; how its SQL is written there is said over forms",
    ),
    ("src/ledger/form.rs", "src/ledger/sqlite", "the same"),
];

/// The room of a file.
fn room(file: &str) -> &str {
    let within = file.strip_prefix("src/").unwrap_or(file);
    let room = within.split('/').next().unwrap_or(within);
    match room.strip_suffix(".rs").unwrap_or(room) {
        "lib" => "App",
        room => room,
    }
}

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|(_, rooms)| rooms.contains(&room))
}

/// The layers with what each room uses, as text.
pub fn picture(arrows: &Arrows) -> String {
    let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in arrows.keys() {
        if room(from) != room(to) {
            used.entry(room(from)).or_default().insert(room(to));
        }
    }
    let mut picture = String::new();
    for (name, rooms) in LAYERS {
        for (number, room) in rooms.iter().enumerate() {
            let name = if number == 0 { name } else { "" };
            let to: Vec<_> = used.get(room).into_iter().flatten().copied().collect();
            let _ = writeln!(picture, "{name:<9} │ {room:<19} → {}", to.join(" "));
        }
        picture.push_str("──────────┼─────────────────────\n");
    }
    picture
}

/// Every breach of the rules, as a sentence each.
pub fn breaches(Crate { files, arrows }: &Crate) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut kept = arrows.clone();
    for (from, to, _) in EXCEPTIONS {
        let before = kept.len();
        kept.retain(|(file, used), _| !(file.starts_with(from) && used.starts_with(to)));
        if kept.len() == before {
            breaches.push(format!("{from} → {to} is excepted, but there is no such arrow"));
        }
    }
    for file in files {
        if layer(room(file)).is_none() {
            breaches.push(format!("{file} is in no layer"));
        }
    }
    for ((from, to), Arrow { path, .. }) in &kept {
        if let (Some(own), Some(other)) = (layer(room(from)), layer(room(to)))
            && other < own
        {
            breaches.push(format!("{from} → {to} goes up: `{path}`"));
        }
    }
    let between_rooms = kept.iter().filter(|((from, to), _)| room(from) != room(to));
    let rooms: Vec<_> = between_rooms
        .map(|((from, to), arrow)| (room(from), room(to), format!("{from} → {to}: `{}`", arrow.path)))
        .collect();
    breaches.extend(circles(&rooms));
    let within_rooms = kept
        .iter()
        .filter(|((from, to), _)| room(from) == room(to))
        .filter(|(_, arrow)| arrow.names_function || !arrow.to_ancestor);
    let files: Vec<_> = within_rooms
        .map(|((from, to), arrow)| (from.as_str(), to.as_str(), format!("{from} → {to}: `{}`", arrow.path)))
        .collect();
    breaches.extend(circles(&files));
    breaches
}

/// For each knot of points that all lead to each other: the arrows among them.
fn circles(arrows: &[(&str, &str, String)]) -> Vec<String> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to, _) in arrows {
        next.entry(from).or_default().insert(to);
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        next.keys().map(|start| (*start, reach(&next, start))).collect();
    let leads = |from: &str, to: &str| reached.get(from).is_some_and(|reached| reached.contains(to));
    let mut knots: BTreeMap<Vec<&str>, Vec<&str>> = BTreeMap::new();
    for (from, to, told) in arrows {
        if leads(to, from) {
            let knot =
                next.keys().copied().filter(|point| leads(from, point) && leads(point, from)).collect();
            knots.entry(knot).or_default().push(told);
        }
    }
    knots
        .into_iter()
        .map(|(knot, told)| format!("a circle of {}:\n    {}", knot.join(", "), told.join("\n    ")))
        .collect()
}

fn reach<'a>(next: &BTreeMap<&'a str, BTreeSet<&'a str>>, start: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut queue: Vec<&str> = next[start].iter().copied().collect();
    while let Some(point) = queue.pop() {
        if reached.insert(point) {
            queue.extend(next.get(point).into_iter().flatten());
        }
    }
    reached
}
