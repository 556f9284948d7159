//! Calmony Pay, spoken here: the client of its API, the signature of its webhooks, the form of its events.
//!
//! Only this room and the sandbox know the provider's words. Everything it says is checked as hostile input: size,
//! form, ids, links. What an event *means* for a payment is not decided here but in `inbox` and `payment_sync`.

mod answer;
pub mod client;
pub mod event;
mod json;
pub mod signature;
