//! Quittance.
