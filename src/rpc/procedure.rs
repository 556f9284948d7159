//! A procedure: a name, who may call it, what it takes and gives, and the function that does it.
//!
//! The table of procedures is the one source of dispatch, authorisation and the published schema; each namespace
//! (`payment.rs`, `todo.rs`, …) lists its own lines of it. What a procedure does is said once, in the doc comment of
//! its input. Not here: JSON-RPC itself (`envelope`, `module`), and how params become an input (`input`).

use std::{any::Any, borrow::Cow, collections::BTreeSet, panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::BoxStream};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, value::RawValue};
use tracing::Instrument;

use super::{idempotency, input::InputFields};
use crate::{
    App,
    auth::Caller,
    domain::Role,
    error::{Error, Kind},
    listener::RequestId,
};

/// What a procedure is called with, besides its input.
#[derive(Clone)]
pub struct Call {
    /// The server.
    pub app: Arc<App>,
    /// Who asks.
    pub caller: Caller,
    /// The request, for the audit log.
    pub request_id: RequestId,
}

/// What a call of a procedure does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It only looks.
    Query,
    /// It changes something, and finishes even if its caller hangs up.
    Mutation,
    /// It begins a stream of notifications, on a connection that stays.
    Subscription(Channel),
}

/// The other two names of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The method of its notifications.
    pub notification: &'static str,
    /// The method that ends it.
    pub unsubscribe: &'static str,
}

/// What a call comes to, or what a notification tells, encoded.
pub type Outcome = Result<Box<RawValue>, Error>;
/// What a subscription will tell.
pub type Feed = BoxStream<'static, Outcome>;

/// An input before it has its type.
type Object = Map<String, Value>;
type Work<T> = dyn Fn(Call, Object) -> BoxFuture<'static, Result<T, Error>> + Send + Sync;

#[derive(Clone)]
enum Handler {
    Answers(Arc<Work<Box<RawValue>>>),
    Tells(Arc<Work<Feed>>),
}

/// One line of the table.
#[derive(Clone)]
pub struct Procedure {
    /// As callers write it.
    pub name: &'static str,
    /// What a call of it does.
    pub effect: Effect,
    /// Who may call it.
    pub role: Role,
    /// What it can fail with, besides what every procedure can.
    pub errors: &'static [Kind],
    /// The optional field of the input without which a mutation must not be repeated blindly.
    pub repeat_key: Option<&'static str>,
    /// The fields of the input, or of a mutation's answer, whose ids the log keeps of a call.
    pub logged: &'static [&'static str],
    /// Calls with their answers, for the reader of the published document.
    pub examples: &'static [Example],
    /// The types of its input and output.
    pub shape: Shape,
    input: Arc<InputFields>,
    handler: Handler,
}

/// The types of a procedure, for the published schema.
#[derive(Clone, Copy)]
pub struct Shape {
    /// The input's name.
    pub input_name: fn() -> Cow<'static, str>,
    /// The input, in full.
    pub input: fn(&mut SchemaGenerator) -> Schema,
    /// The output, or a reference to it; of a subscription what each notification tells.
    pub output: fn(&mut SchemaGenerator) -> Schema,
}

/// A call with its answer, as JSON. Each procedure's stand in its own file; a test holds them against a server.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// What it shows.
    pub name: &'static str,
    /// The input.
    pub params: &'static str,
    /// The answer; of a subscription its number.
    pub result: &'static str,
    /// What the first notification of a subscription tells.
    pub notification: Option<&'static str>,
}

impl Example {
    /// A call with its answer.
    pub const fn new(name: &'static str, params: &'static str, result: &'static str) -> Self {
        Self { name, params, result, notification: None }
    }

    /// The same, of a subscription, with what it tells first.
    pub const fn telling(self, notification: &'static str) -> Self {
        Self { notification: Some(notification), ..self }
    }
}

/// What every procedure can fail with.
pub const COMMON_ERRORS: &[Kind] = &[
    Kind::InvalidParams,
    Kind::Unauthorized,
    Kind::Forbidden,
    Kind::RateLimited,
    Kind::Busy,
    Kind::Internal,
];

impl Procedure {
    /// A procedure that only looks.
    pub fn query<I, O, F, R>(name: &'static str, role: Role, errors: &'static [Kind], run: F) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Fn(Call, I) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, Error>> + Send + 'static,
    {
        Self::answering(name, Effect::Query, role, errors, run)
    }

    /// A procedure that changes something.
    pub fn mutation<I, O, F, R>(name: &'static str, role: Role, errors: &'static [Kind], run: F) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Fn(Call, I) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, Error>> + Send + 'static,
    {
        Self::answering(name, Effect::Mutation, role, errors, run)
    }

    /// A procedure that begins a stream. It ends with its first error, or when its caller ends it.
    pub fn subscription<I, O, F, R, S>(
        name: &'static str,
        channel: Channel,
        role: Role,
        errors: &'static [Kind],
        run: F,
    ) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Fn(Call, I) -> R + Send + Sync + 'static,
        R: Future<Output = Result<S, Error>> + Send + 'static,
        S: Stream<Item = Result<O, Error>> + Send + 'static,
    {
        let (input, run) = (Arc::new(InputFields::of::<I>()), Arc::new(run));
        let fields = Arc::clone(&input);
        let handler = move |call: Call, object: Object| {
            let (fields, run) = (Arc::clone(&fields), Arc::clone(&run));
            async move {
                let told = run(call, fields.decode(object)?).await?;
                Ok(told.map(|item| item.and_then(|item| encoded(&item))).boxed())
            }
            .boxed()
        };
        let handler = Handler::Tells(Arc::new(handler));
        Self::new::<I, O>(name, Effect::Subscription(channel), role, errors, input, handler)
    }

    fn answering<I, O, F, R>(
        name: &'static str,
        effect: Effect,
        role: Role,
        errors: &'static [Kind],
        run: F,
    ) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Fn(Call, I) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, Error>> + Send + 'static,
    {
        let (input, run) = (Arc::new(InputFields::of::<I>()), Arc::new(run));
        let fields = Arc::clone(&input);
        let handler = move |call: Call, object: Object| {
            let (fields, run) = (Arc::clone(&fields), Arc::clone(&run));
            async move { encoded(&run(call, fields.decode(object)?).await?) }.boxed()
        };
        Self::new::<I, O>(name, effect, role, errors, input, Handler::Answers(Arc::new(handler)))
    }

    fn new<I: JsonSchema, O: JsonSchema>(
        name: &'static str,
        effect: Effect,
        role: Role,
        errors: &'static [Kind],
        input: Arc<InputFields>,
        handler: Handler,
    ) -> Self {
        let output: fn(&mut SchemaGenerator) -> Schema = SchemaGenerator::subschema_for::<O>;
        let shape = Shape { input_name: I::schema_name, input: I::json_schema, output };
        Self {
            name,
            effect,
            role,
            errors,
            repeat_key: None,
            logged: &[],
            examples: &[],
            shape,
            input,
            handler,
        }
    }

    /// Says that only a call with this field of the input may be repeated blindly. Any other mutation may.
    pub fn repeatable_by(self, field: &'static str) -> Self {
        Self { repeat_key: Some(field), ..self }
    }

    /// Gives the published document its examples.
    pub fn with_examples(self, examples: &'static [Example]) -> Self {
        Self { examples, ..self }
    }

    /// Says which ids the log keeps of a call: the fields of these names, in the input, else in a mutation's answer.
    pub fn logging(self, fields: &'static [&'static str]) -> Self {
        Self { logged: fields, ..self }
    }

    /// Whether the HTTP header `Idempotency-Key` means something to it.
    pub(super) fn takes_idempotency_key(&self) -> bool {
        self.input.has(idempotency::FIELD)
    }

    /// The input's field names, in the order they are declared.
    pub fn fields(&self) -> &[String] {
        &self.input.known
    }

    /// Runs the procedure for a caller who was [admitted](Self::admit). A mutation runs in a task of its own, which the
    /// caller merely awaits, so it finishes even if the caller hangs up; a panic becomes an error in either case.
    pub(super) async fn call(&self, call: Call, input: Object) -> Outcome {
        let name = self.name;
        let Handler::Answers(handler) = &self.handler else {
            return Err(Error::internal(format!("{name} was called and not subscribed to")));
        };
        let logged_as = call.request_id.clone();
        let tasks = call.app.tasks.clone();
        let work = handler(call, input);
        // Logged in here, since nobody may be left to see how a mutation ends.
        let work = async move {
            let answer = AssertUnwindSafe(work).catch_unwind().await;
            let answer = answer.unwrap_or_else(|panic| Err(Error::internal(panic_story(name, &*panic))));
            answer.inspect_err(|error| log_fault(error, &logged_as))
        };
        match self.effect {
            Effect::Query | Effect::Subscription(_) => work.await,
            // A task that catches its panics is lost only with the runtime.
            Effect::Mutation => tasks
                .spawn(work.in_current_span())
                .await
                .unwrap_or_else(|_| Err(Error::internal(format!("{name} was cut off")))),
        }
    }

    /// Begins a subscription for a caller who was [admitted](Self::admit). A panic becomes an error, as does one of
    /// the stream, which then ends.
    pub(super) async fn subscribe(&self, call: Call, input: Object) -> Result<Feed, Error> {
        let name = self.name;
        let Handler::Tells(handler) = &self.handler else {
            return Err(Error::internal(format!("{name} was subscribed to and not called")));
        };
        let logged_as = call.request_id.clone();
        let work = handler(call, input);
        let feed = AssertUnwindSafe(work).catch_unwind().await;
        let feed = feed.unwrap_or_else(|panic| Err(Error::internal(panic_story(name, &*panic))));
        let feed = feed.inspect_err(|error| log_fault(error, &logged_as))?;
        let safe = AssertUnwindSafe(feed).catch_unwind();
        let told = safe.map(move |item| {
            let item = item.unwrap_or_else(|panic| Err(Error::internal(panic_story(name, &*panic))));
            item.inspect_err(|error| log_fault(error, &logged_as))
        });
        Ok(told.boxed())
    }

    /// The caller, if they may call this. Asked before anything they sent is looked at.
    pub(super) fn admit(&self, caller: Option<Caller>) -> Result<Caller, Error> {
        let caller = caller.filter(|caller| !caller.has_expired()).ok_or(Error::Unauthorized)?;
        if !caller.role.covers(self.role) {
            return Err(Error::Forbidden { required: self.role });
        }
        Ok(caller)
    }
}

fn encoded(value: &impl Serialize) -> Outcome {
    serde_json::value::to_raw_value(value)
        .map_err(|error| Error::internal(format!("an answer could not be encoded: {error}")))
}

/// Tells the log, and only the log, about a fault of ours.
pub(super) fn log_fault(error: &Error, request_id: &RequestId) {
    if error.kind() == Kind::Internal {
        tracing::error!(%request_id, story = error.story(), "internal error");
    }
}

/// What a panic said, for the log.
fn panic_story(name: &str, panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words");
    format!("{name} panicked: {said}")
}

/// Every procedure, by name. Fails on a name used twice.
pub fn table(procedures: Vec<Procedure>) -> std::collections::HashMap<&'static str, Procedure> {
    let names: BTreeSet<_> = procedures.iter().map(|procedure| procedure.name).collect();
    assert_eq!(names.len(), procedures.len(), "two procedures share a name");
    procedures.into_iter().map(|procedure| (procedure.name, procedure)).collect()
}
