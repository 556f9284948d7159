//! The JSON-RPC surface: knows no payment.

pub mod procedure;
