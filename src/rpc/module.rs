//! From the table of procedures to jsonrpsee's methods.
//!
//! Not here: the rate and the log of calls; those are the same for every method and stand in `middleware`.

use std::{collections::HashMap, sync::Arc};

use jsonrpsee::{
    Extensions, Methods, RpcModule,
    types::{ErrorObjectOwned, Params},
};
use serde_json::value::RawValue;

use super::{
    call::{Failure, error_object, note_subject_of, prepare},
    procedure::{Effect, Procedure, table},
    subscription,
};
use crate::{App, listener::RequestId};

/// The methods, and what a call of each does. `others` only look.
pub(super) fn methods(
    app: Arc<App>,
    procedures: Vec<Procedure>,
    others: Methods,
) -> (Methods, HashMap<&'static str, Effect>) {
    let mut module = RpcModule::from_arc(app);
    let mut effects: HashMap<_, _> = others.method_names().map(|name| (name, Effect::Query)).collect();
    module.merge(others).expect("the module is empty: no name can be taken");
    for (name, procedure) in table(procedures) {
        let procedure = Arc::new(procedure);
        effects.insert(name, procedure.effect);
        if let Effect::Subscription(channel) = procedure.effect {
            effects.insert(channel.unsubscribe, procedure.effect);
            subscription::register(&mut module, procedure, channel);
            continue;
        }
        let run = move |params: Params<'static>, app: Arc<App>, extensions: Extensions| {
            let procedure = Arc::clone(&procedure);
            async move { run(&procedure, app, &params, &extensions).await }
        };
        module.register_async_method(name, run).expect("a procedure has the name of another method");
    }
    (module.into(), effects)
}

async fn run(
    procedure: &Procedure,
    app: Arc<App>,
    params: &Params<'static>,
    extensions: &Extensions,
) -> Result<Box<RawValue>, ErrorObjectOwned> {
    let request_id = extensions.get::<RequestId>().cloned().unwrap_or_default();
    let attempt = async {
        let (call, input) = prepare(procedure, app, params, extensions, request_id.clone())?;
        let names_subject = note_subject_of(procedure, &input);
        let answer = procedure.call(call, input).await?;
        if !names_subject && procedure.effect == Effect::Mutation && !procedure.logged.is_empty() {
            // What it made has its id since now.
            note_subject_of(procedure, &serde_json::from_str(answer.get()).unwrap_or_default());
        }
        Ok(answer)
    };
    attempt.await.map_err(|error| {
        if let Some(failure) = extensions.get::<Failure>() {
            failure.note(&error);
        }
        error_object(&error, &request_id)
    })
}
