//! The contract, held against real servers over real sockets: each behaviour on SQLite and on PostgreSQL, with the
//! sandbox as the provider.

mod harness;

mod anomalies;
mod audit_log;
mod batches;
mod conformance;
mod connections;
mod dev_restart;
mod doctor;
mod events;
mod first_payment;
mod inngest;
mod janitor;
mod ledger_agencies;
mod ledger_rules;
mod ledger_schema;
mod ledger_writes;
mod openrpc;
mod operation;
mod ops;
mod orders;
mod outages;
mod parking;
mod procedures;
mod process;
mod provider_answers;
mod refunds;
mod regressions;
mod reports;
mod retention;
mod return_page;
mod storms;
mod subscription;
mod webhook_http;
mod webhook_signatures;
mod websocket;
