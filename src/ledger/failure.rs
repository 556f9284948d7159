//! What a database's error means for whoever asked. Which of its codes mean what is in `postgres::errors` and
//! `sqlite::errors`.

use crate::error::{Error, Fault};

/// What went wrong with a statement, or with getting a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is no connection, it broke, or nothing comes from it.
    Away,
    /// The server is there and takes no more, or is about to stop.
    Refusing,
    /// Somebody else holds what was asked for, or it took too long.
    Busy,
    /// Another transaction was faster; run again from its start, this one may well pass.
    LostRace,
    /// It takes no writes (any more).
    ReadOnly,
    /// There is no room for more.
    Full,
    /// A fault of the statement, or of the database's files.
    Other,
}

impl Failure {
    /// As a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Refusing => "refusing",
            Self::Busy => "busy",
            Self::LostRace => "lost_race",
            Self::ReadOnly => "read_only",
            Self::Full => "full",
            Self::Other => "other",
        }
    }

    /// Whether it is about the database, and not about one statement.
    pub const fn is_outage(self) -> bool {
        match self {
            Self::Away | Self::Refusing | Self::ReadOnly | Self::Full => true,
            Self::Busy | Self::LostRace | Self::Other => false,
        }
    }

    /// The error that its caller gets; nothing was written.
    pub fn told(self, cause: impl std::fmt::Display) -> Error {
        match self {
            Self::Away | Self::Refusing | Self::Busy | Self::ReadOnly | Self::Full => {
                tracing::debug!(%cause, failure = self.as_str(), "the database can't do this now");
                Error::busy()
            }
            Self::LostRace => Error::Internal { cause: Fault::LostRace(cause.to_string()) },
            Self::Other => Error::Internal { cause: Fault::Database(cause.to_string()) },
        }
    }
}

/// The error of whoever waits for a commit that may stand or not. It must not be tried again: it may have been done.
pub fn in_doubt(cause: impl std::fmt::Display) -> Error {
    Error::Internal { cause: Fault::InDoubt(cause.to_string()) }
}
