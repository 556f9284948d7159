//! The contract, held against real servers over real sockets: each behaviour on SQLite and on PostgreSQL, with the
//! sandbox as the provider.

mod harness;

mod first_payment;
mod janitor;
mod journal;
mod openrpc;
