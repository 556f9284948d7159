//! A procedure: a name, who may call it, what it takes and gives, and the function that does it.
//!
//! The table of procedures is the one source of dispatch, authorisation and the published schema; each namespace
//! (`payment.rs`, `todo.rs`, …) lists its own lines of it. What a procedure does is said once, in the doc comment of
//! its input. Not here: JSON-RPC itself, which is the envelope's.

use std::{any::Any, borrow::Cow, collections::BTreeSet, panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::BoxStream};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, value::RawValue};
use tracing::Instrument;

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

/// An answer, or what a notification tells, encoded.
pub type Answer = Result<Box<RawValue>, Error>;
/// What a subscription will tell.
pub type Feed = BoxStream<'static, Answer>;

type Work<T> = dyn Fn(Call, Value) -> BoxFuture<'static, Result<T, Error>> + Send + Sync;

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

/// The names of an input's fields, to tell an unknown or a missing one by name.
struct InputFields {
    known: Vec<String>,
    required: Vec<String>,
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

/// The longest reason given for a wrong field: room for every word of our longest vocabulary.
const REASON_MAX_CHARS: usize = 300;

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
        let handler = move |call: Call, params: Value| {
            let (fields, run) = (Arc::clone(&fields), Arc::clone(&run));
            async move {
                let told = run(call, fields.decode(params)?).await?;
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
        let handler = move |call: Call, params: Value| {
            let (fields, run) = (Arc::clone(&fields), Arc::clone(&run));
            async move { encoded(&run(call, fields.decode(params)?).await?) }.boxed()
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
        Self { name, effect, role, errors, repeat_key: None, shape, input, handler }
    }

    /// Says that only a call with this field of the input may be repeated blindly. Any other mutation may.
    pub fn repeatable_by(self, field: &'static str) -> Self {
        Self { repeat_key: Some(field), ..self }
    }

    /// The input's field names, in the order they are declared.
    pub fn fields(&self) -> &[String] {
        &self.input.known
    }

    /// Authorises the caller and runs the procedure. A mutation runs in a task of its own, which the caller
    /// merely awaits, so it finishes even if the caller hangs up; a panic becomes an error in either case.
    pub async fn call(
        &self,
        app: Arc<App>,
        caller: Option<Caller>,
        request_id: RequestId,
        params: Value,
    ) -> Answer {
        let caller = self.admitted(caller)?;
        let name = self.name;
        let Handler::Answers(handler) = &self.handler else {
            return Err(Error::internal(format!("{name} was called and not subscribed to")));
        };
        let logged_as = request_id.clone();
        let tasks = app.tasks.clone();
        let work = handler(Call { app, caller, request_id }, params);
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

    /// Authorises the caller and begins a subscription. A panic becomes an error, as does one of the stream, which
    /// then ends.
    pub async fn subscribe(
        &self,
        app: Arc<App>,
        caller: Option<Caller>,
        request_id: RequestId,
        params: Value,
    ) -> Result<Feed, Error> {
        let caller = self.admitted(caller)?;
        let name = self.name;
        let Handler::Tells(handler) = &self.handler else {
            return Err(Error::internal(format!("{name} was subscribed to and not called")));
        };
        let logged_as = request_id.clone();
        let work = handler(Call { app, caller, request_id }, params);
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

    fn admitted(&self, caller: Option<Caller>) -> Result<Caller, Error> {
        let caller = caller.filter(|caller| !caller.has_expired()).ok_or(Error::Unauthorized)?;
        if !caller.role.covers(self.role) {
            return Err(Error::Forbidden { required: self.role });
        }
        Ok(caller)
    }
}

fn encoded(value: &impl Serialize) -> Answer {
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

impl InputFields {
    fn of<I: JsonSchema>() -> Self {
        let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<I>().to_value();
        let known = schema["properties"].as_object().map(|fields| fields.keys().cloned().collect());
        let required = serde_json::from_value(schema["required"].clone());
        Self { known: known.unwrap_or_default(), required: required.unwrap_or_default() }
    }

    /// Params as JSON-RPC clients spell them, to the input object; then to the input itself.
    fn decode<I: DeserializeOwned>(&self, params: Value) -> Result<I, Error> {
        let object = as_object(params)?;
        if let Some(unknown) = object.keys().find(|key| !self.known.contains(key)) {
            let hint =
                self.nearest(unknown).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
            let shown: String = unknown.chars().take(64).collect();
            return Err(Error::invalid(shown, format!("is not a field of this procedure{hint}")));
        }
        if let Some(missing) = self.required.iter().find(|name| !object.contains_key(*name)) {
            return Err(Error::invalid(missing, "is required"));
        }
        serde_path_to_error::deserialize(Value::Object(object)).map_err(|error| {
            let path = error.path().to_string();
            let path = if path == "." { String::new() } else { path };
            // serde repeats an unknown word in full, however long it is.
            let reason: String = error.into_inner().to_string().chars().take(REASON_MAX_CHARS).collect();
            Error::invalid(path, reason)
        })
    }

    fn nearest(&self, unknown: &str) -> Option<&str> {
        let unknown = unknown.to_ascii_lowercase();
        let alike = |name: &&String| strsim::jaro_winkler(&name.to_ascii_lowercase(), &unknown);
        let best = self.known.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)))?;
        Some(best.as_str())
    }
}

/// The four spellings of params: the input object itself; absent, `null` or `[]`, which are `{}`; and `[ {…} ]`.
fn as_object(params: Value) -> Result<Map<String, Value>, Error> {
    match params {
        Value::Object(object) => Ok(object),
        Value::Null => Ok(Map::new()),
        Value::Array(mut items) if items.len() <= 1 => match items.pop() {
            None => Ok(Map::new()),
            Some(Value::Object(object)) => Ok(object),
            Some(_) => Err(Error::invalid("", "params must be an object")),
        },
        _ => Err(Error::invalid("", "params must be an object")),
    }
}

/// Every procedure, by name. Fails on a name used twice.
pub fn table(procedures: Vec<Procedure>) -> std::collections::HashMap<&'static str, Procedure> {
    let names: BTreeSet<_> = procedures.iter().map(|procedure| procedure.name).collect();
    assert_eq!(names.len(), procedures.len(), "two procedures share a name");
    procedures.into_iter().map(|procedure| (procedure.name, procedure)).collect()
}
