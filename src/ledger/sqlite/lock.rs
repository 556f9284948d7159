//! One server per file: a lock beside the database that lives as long as the server does.
//!
//! Administration commands do not take it; SQLite's own locks keep them apart from the server.

use std::{fs::File, path::Path};

use crate::error::Error;

/// Held by a running server. The operating system lets go of it when the process ends, however that happens.
#[derive(Debug)]
pub struct ServerLock(File);

impl Drop for ServerLock {
    fn drop(&mut self) {
        // Closing the file would do, but for a child process that is just being started: until it runs its own
        // program it has our files open, too. A lock that can't be let go ends with the process.
        let _ = self.0.unlock();
    }
}

impl ServerLock {
    /// Takes the lock, or says that another server has it.
    pub fn take(database: &Path) -> Result<Self, Error> {
        // The file itself, not a link to it, or a second server could come in by another name.
        let real = std::fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
        let path = real.with_added_extension("lock");
        if let Some(folder) = path.parent() {
            // Nothing to lock in a folder that can't be made; the next line says so.
            let _ = std::fs::create_dir_all(folder);
        }
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| Error::internal(format!("{}: {error}", path.display())))?;
        file.try_lock().map_err(|_| {
            Error::internal(format!("another server is running on {}: stop it first", database.display()))
        })?;
        Ok(Self(file))
    }
}
