//! Quittance.

pub mod listener;
pub mod ops;
