//! The contract, held against real servers over real sockets: each behaviour on SQLite and on PostgreSQL, with the
//! sandbox as the provider.

mod harness;

mod anomalies;
mod conformance;
mod doctor;
mod events;
mod first_payment;
mod inngest;
mod janitor;
mod journal;
mod ledger_rules;
mod ledger_schema;
mod ledger_writes;
mod openrpc;
mod ops;
mod orders;
mod parking;
mod procedures;
mod process;
mod refunds;
mod regressions;
mod reports;
mod retention;
mod return_page;
mod storms;
mod subscription;
mod together;
mod webhook_http;
mod webhook_signatures;
mod websocket;
