//! Quittance.
pub mod domain;
pub mod error;
pub mod ledger;
#[path = "../schema.rs"]
#[allow(missing_docs)]
pub mod schema;
