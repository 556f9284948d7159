//! Calmony Pay, spoken here.
//!
//! Lives here: the room's parts, one line each. Does not live here: the provider's twin for trying things out
//! (`sandbox/`), and what a payment does with what the provider said (`payment_sync`).

pub mod signature;
