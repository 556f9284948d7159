//! What SQLite's result codes mean.
//!
//! diesel passes on the text of an error and, but for constraints, not its code. For the codes that matter here SQLite has
//! one text each, which is part of its interface (`sqlite3_errstr`), is never translated, and is held to the library's own
//! by the test below.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use crate::ledger::failure::Failure;

/// `SQLITE_BUSY` and `SQLITE_LOCKED`: another process has the lock.
const BUSY: [&str; 2] = ["database is locked", "database table is locked"];
/// `SQLITE_FULL`.
const FULL: &str = "database or disk is full";
/// `SQLITE_READONLY`.
const READ_ONLY: &str = "attempt to write a readonly database";
/// `SQLITE_IOERR`.
const IO: &str = "disk I/O error";
/// `SQLITE_CANTOPEN`.
const CANT_OPEN: &str = "unable to open database file";

/// What an error means.
pub fn failure(error: &DieselError) -> Failure {
    match error {
        // What was not there when this transaction looked is there now, and will be seen.
        DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Failure::LostRace,
        DieselError::DatabaseError(DatabaseErrorKind::Unknown, info) => match info.message() {
            text if BUSY.contains(&text) => Failure::Busy,
            FULL => Failure::Full,
            READ_ONLY => Failure::ReadOnly,
            IO | CANT_OPEN => Failure::Away,
            _ => Failure::Other,
        },
        _ => Failure::Other,
    }
}

/// Whether a commit that failed so can still be found to stand: an I/O error may have come after the last page was
/// written. Where the disk is full, or another has the lock, it was not written.
pub fn leaves_in_doubt(error: &DieselError) -> bool {
    match failure(error) {
        Failure::Busy | Failure::LostRace | Failure::Full | Failure::ReadOnly => false,
        Failure::Away | Failure::Refusing | Failure::Other => true,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use libsqlite3_sys::{
        SQLITE_BUSY, SQLITE_CANTOPEN, SQLITE_FULL, SQLITE_IOERR, SQLITE_LOCKED, SQLITE_READONLY,
        sqlite3_errstr,
    };

    use super::*;

    #[test]
    fn the_texts_are_those_of_the_codes() {
        for (code, meant) in [
            (SQLITE_BUSY, Failure::Busy),
            (SQLITE_LOCKED, Failure::Busy),
            (SQLITE_FULL, Failure::Full),
            (SQLITE_READONLY, Failure::ReadOnly),
            (SQLITE_IOERR, Failure::Away),
            (SQLITE_CANTOPEN, Failure::Away),
        ] {
            // SAFETY: it answers a constant of the library for any code.
            let text = unsafe { CStr::from_ptr(sqlite3_errstr(code)) }.to_str().expect("ASCII").to_owned();
            let error = DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(text.clone()));
            assert_eq!(failure(&error), meant, "{text}");
        }
    }
}
