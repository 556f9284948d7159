//! Quittance.

pub mod calmony;
pub mod sandbox;
