//! What PostgreSQL's SQLSTATE codes mean.
//!
//! While connecting the driver tells the code. Afterwards diesel-async stands between: it keeps the code only where
//! diesel has a kind for it, and of the others nothing is left but the server's text (its error type is private). So for
//! those the first words of the text have to do, as the server has them in English; under another `lc_messages` these
//! failures count as [`Failure::Other`], which is safe, but nothing is tried again; the log says so at the start.

use diesel::result::{DatabaseErrorKind as Kind, Error as DieselError};
use tokio_postgres::error::SqlState;

use crate::ledger::failure::Failure;

/// The text's beginning, for codes that diesel has no kind for.
const TEXTS: [(&str, SqlState); 9] = [
    ("deadlock detected", SqlState::T_R_DEADLOCK_DETECTED),
    ("canceling statement due to lock timeout", SqlState::LOCK_NOT_AVAILABLE),
    ("could not obtain lock on", SqlState::LOCK_NOT_AVAILABLE),
    ("canceling statement due to", SqlState::QUERY_CANCELED),
    ("terminating connection due to", SqlState::ADMIN_SHUTDOWN),
    ("the database system is", SqlState::CANNOT_CONNECT_NOW),
    ("could not extend file", SqlState::DISK_FULL),
    ("could not write to file", SqlState::DISK_FULL),
    // 40001 as PgBouncer and some of PostgreSQL's kin report it, without a code that diesel knows.
    ("could not serialize access", SqlState::T_R_SERIALIZATION_FAILURE),
];

/// What a code means.
pub fn of_code(code: &SqlState) -> Failure {
    match *code {
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        // What was not there when this transaction looked is there now, and will be seen.
        | SqlState::UNIQUE_VIOLATION => Failure::LostRace,
        SqlState::LOCK_NOT_AVAILABLE | SqlState::QUERY_CANCELED => Failure::Busy,
        SqlState::READ_ONLY_SQL_TRANSACTION => Failure::ReadOnly,
        SqlState::DISK_FULL => Failure::Full,
        SqlState::TOO_MANY_CONNECTIONS
        | SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW => Failure::Refusing,
        _ => Failure::Other,
    }
}

/// What an error means.
pub fn failure(error: &DieselError) -> Failure {
    let DieselError::DatabaseError(kind, info) = error else { return Failure::Other };
    match kind {
        Kind::ClosedConnection | Kind::UnableToSendCommand => Failure::Away,
        Kind::SerializationFailure | Kind::UniqueViolation => Failure::LostRace,
        Kind::ReadOnlyTransaction => Failure::ReadOnly,
        Kind::Unknown => {
            let known = TEXTS.iter().find(|(text, _)| info.message().starts_with(text));
            known.map_or(Failure::Other, |(_, code)| of_code(code))
        }
        _ => Failure::Other,
    }
}

/// Whether a commit that failed so can still be found to stand. Where the server says that it lost a race or broke a rule
/// it was rolled back; a server that is cancelled or stopped while it waits for its standby has committed already.
pub fn leaves_in_doubt(error: &DieselError) -> bool {
    match error {
        DieselError::DatabaseError(
            Kind::UniqueViolation
            | Kind::ForeignKeyViolation
            | Kind::CheckViolation
            | Kind::NotNullViolation
            | Kind::ExclusionViolation
            | Kind::RestrictViolation
            | Kind::SerializationFailure
            | Kind::ReadOnlyTransaction,
            _,
        ) => false,
        error => failure(error) != Failure::LostRace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> DieselError {
        DieselError::DatabaseError(Kind::Unknown, Box::new(text.to_owned()))
    }

    #[test]
    fn a_lock_that_did_not_come_and_a_statement_that_took_too_long_are_busy() {
        for text in
            ["canceling statement due to lock timeout", "canceling statement due to statement timeout"]
        {
            assert_eq!(failure(&told(text)), Failure::Busy, "{text}");
        }
        assert_eq!(failure(&told("deadlock detected")), Failure::LostRace);
        assert_eq!(failure(&told("terminating connection due to administrator command")), Failure::Refusing);
        assert_eq!(
            failure(&told("could not extend file \"base/1\": No space left on device")),
            Failure::Full
        );
        assert_eq!(failure(&told("column \"x\" does not exist")), Failure::Other);
    }

    #[test]
    fn a_commit_is_in_doubt_unless_the_server_says_that_it_was_rolled_back() {
        assert!(!leaves_in_doubt(&told("deadlock detected")));
        assert!(!leaves_in_doubt(&DieselError::DatabaseError(
            Kind::SerializationFailure,
            Box::new(String::new())
        )));
        assert!(leaves_in_doubt(&told("terminating connection due to administrator command")));
        assert!(leaves_in_doubt(&told("canceling statement due to user request")));
        assert!(leaves_in_doubt(&DieselError::DatabaseError(
            Kind::UnableToSendCommand,
            Box::new(String::new())
        )));
    }
}
