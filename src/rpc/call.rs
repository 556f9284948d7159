//! What a call of any kind begins and ends with: who calls and what they sent; how it failed, and the error in its JSON-RPC
//! form. Not here: what runs between (`module` and `subscription`).

use std::sync::{Arc, OnceLock};

use jsonrpsee::{
    Extensions,
    types::{ErrorObject, ErrorObjectOwned, Params},
};
use serde_json::{Map, Value};

use super::{
    call_log::note_subject,
    caller::Identity,
    idempotency::IdempotencyHeader,
    params,
    procedure::{Call, Procedure},
};
use crate::{App, error::Error, error::Kind, listener::RequestId};

/// How a call failed, told to `middleware`, which sees only JSON. In the extensions of every call.
#[derive(Clone, Default)]
pub(super) struct Failure(Arc<OnceLock<(Kind, Option<u64>)>>);

impl Failure {
    /// Notes the error.
    pub(super) fn note(&self, error: &Error) {
        // A call fails once.
        let _ = self.0.set((error.kind(), error.retry_after_ms()));
    }

    /// The kind, and when to try again.
    pub(super) fn get(&self) -> Option<(Kind, Option<u64>)> {
        self.0.get().copied()
    }
}

/// Who calls, once they may, and what they sent. In this order: nobody learns from a refusal what is known of params.
pub(super) fn prepare(
    procedure: &Procedure,
    app: Arc<App>,
    sent: &Params<'static>,
    extensions: &Extensions,
    request_id: RequestId,
) -> Result<(Call, Map<String, Value>), Error> {
    let caller = procedure.admit(Identity::of(extensions).caller()?)?;
    let mut input = params::object(sent)?;
    if let Some(header) = extensions.get::<IdempotencyHeader>()
        && procedure.takes_idempotency_key()
    {
        header.apply(&mut input)?;
    }
    Ok((Call { app, caller, request_id }, input))
}

/// Notes in the log which row a call is about, as far as the procedure says where that stands and it is there.
pub(super) fn note_subject_of(procedure: &Procedure, fields: &Map<String, Value>) -> bool {
    let named = procedure.logged.iter().find_map(|field| fields.get(*field)?.as_str());
    named.inspect(|id| note_subject(id)).is_some()
}

/// An error as callers see it.
pub fn error_object(error: &Error, request_id: &RequestId) -> ErrorObjectOwned {
    ErrorObject::owned(error.kind().code(), error.to_string(), Some(error.data(request_id.as_str())))
}
