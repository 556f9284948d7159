//! Which job of a batch has locked which row. The database can't tell them apart, since their transaction is the same.

use std::collections::HashMap;

use super::statement::LockKey;

/// Who has locked what, by the job's place in the batch.
#[derive(Default)]
pub struct Locks {
    holders: HashMap<LockKey, usize>,
}

impl Locks {
    /// Takes the lock, unless another job has it.
    pub fn take(&mut self, key: &LockKey, job: usize) -> bool {
        match self.holders.get(key) {
            Some(holder) => *holder == job,
            None => self.holders.insert(key.clone(), job).is_none(),
        }
    }

    /// Gives back whatever the job has locked.
    pub fn release(&mut self, job: usize) {
        self.holders.retain(|_, holder| *holder != job);
    }
}
