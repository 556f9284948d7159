//! From the table of procedures to jsonrpsee's methods, and from an [`Error`] to its JSON-RPC form.
//!
//! Not here: order, rate and records of calls; those are the same for every method and stand in `counter`.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use jsonrpsee::{
    Extensions, Methods, RpcModule,
    server::MethodCallback,
    types::{ErrorObject, ErrorObjectOwned, Params},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    caller::Identity,
    params::parsed,
    procedure::{Answer, Effect, Procedure, table},
    record::note_payment,
    subscription,
};
use crate::{App, error::Error, error::Kind, listener::RequestId};

/// What a method is to whoever puts calls in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// It only looks: procedures that are queries, `rpc.discover`, and what does not exist.
    Query,
    /// It changes something.
    Mutation,
    /// It begins or ends a stream, so it needs a connection that stays.
    Subscription,
}

/// The methods, and what each is.
pub(super) fn methods(
    app: Arc<App>,
    procedures: Vec<Procedure>,
    others: Methods,
) -> (Methods, HashMap<&'static str, Nature>) {
    let mut module = RpcModule::from_arc(app);
    let mut natures: HashMap<_, _> =
        others.method_names().map(|name| (name, nature(&others, name))).collect();
    module.merge(others).expect("the module is empty: no name can be taken");
    for (name, procedure) in table(procedures) {
        let effect = procedure.effect;
        let procedure = Arc::new(procedure);
        let nature = match effect {
            Effect::Query => Nature::Query,
            Effect::Mutation => Nature::Mutation,
            Effect::Subscription(channel) => {
                natures.insert(channel.unsubscribe, Nature::Subscription);
                subscription::register(&mut module, procedure, channel);
                natures.insert(name, Nature::Subscription);
                continue;
            }
        };
        natures.insert(name, nature);
        let run = move |params: Params<'static>, app: Arc<App>, extensions: Extensions| {
            let procedure = Arc::clone(&procedure);
            async move { run(&procedure, app, &params, &extensions).await }
        };
        module.register_async_method(name, run).expect("a procedure has the name of another method");
    }
    (module.into(), natures)
}

fn nature(methods: &Methods, name: &str) -> Nature {
    match methods.method(name) {
        Some(MethodCallback::Subscription(_) | MethodCallback::Unsubscription(_)) => Nature::Subscription,
        Some(MethodCallback::Sync(_) | MethodCallback::Async(_)) | None => Nature::Query,
    }
}

/// How a call failed, told to `counter`, which sees only JSON. In the extensions of every call.
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

async fn run(
    procedure: &Procedure,
    app: Arc<App>,
    params: &Params<'static>,
    extensions: &Extensions,
) -> Result<Box<RawValue>, ErrorObjectOwned> {
    let request_id = extensions.get::<RequestId>().cloned().unwrap_or_default();
    let answer = attempt(procedure, app, params, extensions, request_id.clone()).await;
    answer.map_err(|error| {
        if let Some(failure) = extensions.get::<Failure>() {
            failure.note(&error);
        }
        error_object(&error, &request_id)
    })
}

async fn attempt(
    procedure: &Procedure,
    app: Arc<App>,
    params: &Params<'static>,
    extensions: &Extensions,
    request_id: RequestId,
) -> Answer {
    let caller = Identity::of(extensions).caller()?;
    let params = parsed(params)?;
    let named = params["paymentId"].as_str();
    note_payment(named);
    let makes_one = named.is_none() && procedure.effect == Effect::Mutation;
    let answer = procedure.call(app, caller, request_id, params).await?;
    if makes_one {
        note_payment(
            serde_json::from_str::<Made<'_>>(answer.get()).ok().and_then(|made| made.ledger_entry_id),
        );
    }
    Ok(answer)
}

/// The one field of a mutation's answer that is worth a record.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Made<'a> {
    ledger_entry_id: Option<&'a str>,
}

/// An error as callers see it.
pub fn error_object(error: &Error, request_id: &RequestId) -> ErrorObjectOwned {
    ErrorObject::owned(error.kind().code(), error.to_string(), Some(error.data(request_id.as_str())))
}
