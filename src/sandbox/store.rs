//! What outlives a restart: sessions, intents and idempotency keys, in one JSON file that is replaced as a whole.
//!
//! Lives here: the file. Does not live here: what is kept, and when it has changed (`state`, `sandbox`).

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::model::{Intent, Session};

/// A file beyond this is none of ours: what is written stays far below.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// What is kept.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Oldest first.
    pub(super) sessions: Vec<Session>,
    pub(super) intents: Vec<Intent>,
    /// Idempotency keys and what was answered under them.
    pub(super) keys: Vec<(String, KeptAnswer)>,
}

/// What an `Idempotency-Key` stood for.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct KeptAnswer {
    pub(super) body: Value,
    pub(super) answer: Value,
    pub(super) created: i64,
}

/// The file.
pub(super) struct Store(pub(super) PathBuf);

impl Store {
    /// What was kept. A file that can't be read is no reason not to start: then it begins anew, and says so.
    pub(super) fn read(&self) -> Kept {
        match self.try_read() {
            Ok(kept) => kept,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
            Err(error) => {
                let file = self.0.display();
                tracing::warn!(%file, %error, "the sandbox's sessions can't be read: it begins anew");
                Kept::default()
            }
        }
    }

    fn try_read(&self) -> io::Result<Kept> {
        if fs::metadata(&self.0)?.len() > MAX_FILE_BYTES {
            return Err(io::Error::other("the file is too large"));
        }
        Ok(serde_json::from_slice(&fs::read(&self.0)?)?)
    }

    /// Replaces the file: whoever reads it finds the old one or the new one, whole.
    pub(super) fn write(&self, kept: &Kept) -> io::Result<()> {
        if let Some(folder) = self.0.parent() {
            fs::create_dir_all(folder)?;
        }
        let beside = self.0.with_extension("new");
        fs::write(&beside, serde_json::to_vec(kept)?)?;
        fs::rename(beside, &self.0)
    }
}
