//! What is kept of one call: its span, its log line, its figures.
//!
//! Written when the call ends, however it ends, hence by `Drop`. Never holds params, results or tokens, and only
//! names of methods that exist: what a stranger sends must not become a label. Of what a call is about it holds the
//! ids that the procedure names for it ([`Procedure::logged`](super::procedure::Procedure::logged)).

use std::time::Instant;

use tracing::{Span, field::Empty};
use uuid::Uuid;

use super::caller::Identity;
use crate::listener::RequestId;

/// How a call ended that nobody waited for.
const ABANDONED: &str = "abandoned";

/// One call, from its start to its end.
pub(super) struct CallLog {
    span: Span,
    method: &'static str,
    started: Instant,
    outcome: &'static str,
    /// Worth a line at the usual level. Queries that succeed are too many and say too little.
    notable: bool,
}

impl CallLog {
    /// A call begins.
    pub(super) fn begin(
        method: &'static str,
        is_query: bool,
        identity: &Identity,
        request_id: &RequestId,
    ) -> Self {
        let span = tracing::info_span!(
            "call", method, %request_id,
            agency = Empty, token = Empty, subject = Empty, outcome = Empty, duration_ms = Empty,
        );
        if let Some(caller) = identity.known() {
            span.record("agency", tracing::field::display(caller.agency_id));
            span.record("token", tracing::field::display(caller.token_id));
        }
        Self { span, method, started: Instant::now(), outcome: ABANDONED, notable: !is_query }
    }

    /// The span to run the call in.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// The call ended: `"ok"`, or the kind of its error.
    pub(super) fn end(mut self, outcome: &'static str) {
        self.outcome = outcome;
        self.notable |= outcome != "ok";
    }
}

impl Drop for CallLog {
    fn drop(&mut self) {
        let (method, outcome, taken) = (self.method, self.outcome, self.started.elapsed());
        metrics::counter!("quittance_rpc_requests_total", "method" => method, "outcome" => outcome)
            .increment(1);
        metrics::histogram!("quittance_rpc_duration_seconds", "method" => method).record(taken.as_secs_f64());
        self.span.record("outcome", outcome);
        self.span.record("duration_ms", taken.as_secs_f64() * 1_000.0);
        self.span.in_scope(|| match self.notable {
            true => tracing::info!("answered"),
            false => tracing::debug!("answered"),
        });
    }
}

/// Notes in the current call's span which row it is about. Only what has the form of an id of ours: callers may send
/// anything under its name.
pub(super) fn note_subject(id: &str) {
    if let Ok(id) = Uuid::try_parse(id) {
        Span::current().record("subject", tracing::field::display(id));
    }
}
