//! What diesel's errors mean, whichever database they come from.

use diesel::result::Error as DieselError;

use super::{failure::Failure, postgres, sqlite};
use crate::error::Error;

/// For statements of either database; the two have no code and no word in common.
impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        let failure = match postgres::errors::failure(&error) {
            Failure::Other => sqlite::errors::failure(&error),
            failure => failure,
        };
        failure.told(error)
    }
}
