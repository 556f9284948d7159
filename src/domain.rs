//! The nouns: ids, pence, texts, times, statuses, and what follows from the facts of a payment.
//!
//! Pure values and functions. Nothing here opens a socket, reads a clock (except [`Timestamp::now`] and the
//! making of ids) or knows SQL; the diesel derives only say which SQL type carries a value.

mod cause;
mod ids;
pub mod lifecycle;
mod pence;
mod text;
mod timestamp;
mod vocabulary;

pub use cause::{CALMONY_PAY, Cause, JANITOR};
pub use ids::{AgencyId, AnomalyId, AuditId, EventId, HostId, IntentId, PaymentId, SessionId, TokenId};
pub use pence::{CardLimit, PaymentAmount, Pence};
pub use text::{FreeText, IdempotencyKey, Label, OneLine};
pub use timestamp::Timestamp;
pub use vocabulary::{
    AnomalyKind, AnomalyStatus, AttemptBest, AuditAction, IntentState, PaymentMethod, PaymentStatus,
    PaymentType, Resolution, Role, SessionState, TaskStatus, TodoStatus, Verdict,
};
