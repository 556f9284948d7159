//! Statements in their form for sets: asked once for many, answered in the order of the asking.
//!
//! Each means what the statement of the same name in `ledger/statements` means, made once for each of what it is
//! asked with; for those that look and lock a test holds the two beside each other. Rows are locked in the order of their
//! keys. Two groups may still wait for each other, since one locks in several rounds, and a job whose event names two
//! payments both of them; PostgreSQL ends that, and the group it ends comes apart.

mod look;
mod write;

use std::collections::BTreeMap;

use super::Conn;
use crate::{
    domain::*,
    ledger::{rows::*, sql_types::Sha256},
};

pub use look::*;
pub use write::*;

/// For each key the row that has it.
fn one_each<K: Ord, R: Clone>(
    keys: impl Iterator<Item = K>,
    rows: Vec<R>,
    key: impl Fn(&R) -> K,
) -> Vec<Option<R>> {
    let rows: BTreeMap<K, R> = rows.into_iter().map(|row| (key(&row), row)).collect();
    keys.map(|key| rows.get(&key).cloned()).collect()
}

/// For each key the rows that have it, in their order.
fn all_each<K: Ord, R: Clone>(
    keys: impl Iterator<Item = K>,
    rows: Vec<R>,
    key: impl Fn(&R) -> K,
) -> Vec<Vec<R>> {
    let mut by_key: BTreeMap<K, Vec<R>> = BTreeMap::new();
    for row in rows {
        by_key.entry(key(&row)).or_default().push(row);
    }
    keys.map(|key| by_key.get(&key).cloned().unwrap_or_default()).collect()
}

/// For each key whether the statement did something for it; of those that ask with the same key, the first gets it.
fn done_each<K: Ord>(keys: impl Iterator<Item = K>, done: Vec<K>) -> Vec<bool> {
    let mut done: std::collections::BTreeSet<K> = done.into_iter().collect();
    keys.map(|key| done.remove(&key)).collect()
}
