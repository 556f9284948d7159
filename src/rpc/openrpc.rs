//! The OpenRPC document: the table of procedures, for tools and other languages.
//!
//! OpenRPC 1.3 speaks JSON Schema draft-07. Inputs and outputs are described by two generators: an optional field of
//! an input may be left out, one of an output is `null`, never missing. A name that would so get two different
//! schemas fails the build of the document. OpenRPC knows no schema for `error.data`; we put it where the data is and
//! say so with the method's `x-error-data-schema`, and one error stands for each code, as the specification asks. Nor
//! does it know notifications: a subscription's are in its `x-notification`, and `x-unsubscribe` ends it.

use std::collections::BTreeMap;

use jsonrpsee::{Methods, RpcModule, types::ErrorObjectOwned};
use schemars::{
    Schema, SchemaGenerator,
    generate::SchemaSettings,
    transform::{RecursiveTransform, Transform},
};
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    BATCH_MAX_ENTRIES,
    procedure::{COMMON_ERRORS, Channel, Effect, Example, Procedure},
};
use crate::error::{Error, Kind};

/// Where references point.
const SCHEMAS: &str = "/components/schemas";

/// Describes the procedures. Fails where two types share a name, a procedure lacks a description, or an example is no
/// JSON.
pub fn document(procedures: &[Procedure]) -> Result<Value, String> {
    let mut types = Types::new();
    let errors = types.errors();
    let mut methods = Vec::new();
    for procedure in procedures {
        methods.push(types.method(procedure, &errors)?);
        if let Effect::Subscription(channel) = procedure.effect {
            methods.push(ending(procedure, channel)?);
        }
    }
    Ok(json!({
        "openrpc": "1.3.2",
        "info": {
            "title": "Quittance",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The payments server a letting agency's platform runs beside its web app. Params are \
                given by name. Money is whole pence, times are RFC 3339 in UTC, ids are strings; where a field is \
                optional, null equals absent.",
        },
        "methods": methods,
        "components": { "schemas": types.finish(errors)? },
        "x-batch-max": BATCH_MAX_ENTRIES,
    }))
}

/// `rpc.discover`, which answers the document to anyone.
pub fn discovery(document: &'static str) -> Methods {
    let mut module = RpcModule::new(());
    let registered = module.register_method("rpc.discover", move |_, (), _| {
        Ok::<_, ErrorObjectOwned>(serde_json::from_str::<&RawValue>(document).expect("the document is JSON"))
    });
    registered.expect("the module is empty: no name can be taken");
    module.into()
}

/// The error kinds' schemas, under their names.
type ErrorSchemas = Vec<(Kind, String, Value)>;

/// Describes types, each once.
struct Types {
    inputs: SchemaGenerator,
    outputs: SchemaGenerator,
}

impl Types {
    fn new() -> Self {
        let settings = SchemaSettings::draft07().with(|settings| {
            settings.definitions_path = SCHEMAS.into();
            settings.meta_schema = None;
        });
        Self {
            inputs: settings.clone().for_deserialize().into_generator(),
            outputs: settings.for_serialize().into_generator(),
        }
    }

    fn errors(&mut self) -> ErrorSchemas {
        let schemas = Error::data_schemas(&mut self.outputs).into_iter();
        schemas.map(|(kind, schema)| (kind, error_name(kind), finished(&mut self.outputs, schema))).collect()
    }

    fn method(&mut self, procedure: &Procedure, errors: &ErrorSchemas) -> Result<Value, String> {
        let name = procedure.name;
        let input = (procedure.shape.input)(&mut self.inputs).to_value();
        let input = finished(&mut self.inputs, input);
        let output = (procedure.shape.output)(&mut self.outputs).to_value();
        let output = finished(&mut self.outputs, output);
        let description = input["description"].as_str().ok_or(format!("{name} lacks a description"))?;
        let fields = fields(&input);
        let examples = procedure.examples.iter().map(|example| shown(example, name));
        let mut method = json!({
            "name": name,
            "summary": description.split_inclusive(". ").next().unwrap_or_default().trim().trim_end_matches('.'),
            "description": description,
            "paramStructure": "by-name",
            "params": fields,
            "result": match procedure.effect {
                Effect::Query | Effect::Mutation => json!({
                    "name": output["$ref"].as_str().and_then(|to| to.rsplit('/').next()).unwrap_or("result"),
                    "schema": output,
                }),
                Effect::Subscription(_) => subscription_id(),
            },
            "errors": method_errors(procedure, errors),
            "x-error-data-schema": true,
            "examples": examples.collect::<Result<Vec<_>, _>>()?,
            "x-kind": match procedure.effect {
                Effect::Query => "query",
                Effect::Mutation => "mutation",
                Effect::Subscription(_) => "subscription",
            },
            "x-role": procedure.role,
            "x-input": (procedure.shape.input_name)(),
        });
        if let Effect::Subscription(channel) = procedure.effect {
            method["x-notification"] = json!({ "method": channel.notification, "schema": output });
            method["x-unsubscribe"] = channel.unsubscribe.into();
        }
        let has = |wanted: &str| fields.iter().any(|field| field["name"] == wanted);
        if has("cursor") {
            method["x-paged"] = true.into();
        }
        if let Some(key) = procedure.repeat_key {
            if !has(key) {
                return Err(format!("{name} has no field {key}"));
            }
            method["x-repeatable-by"] = key.into();
        }
        Ok(method)
    }

    /// Every named schema.
    fn finish(mut self, errors: ErrorSchemas) -> Result<Value, String> {
        let mut named: BTreeMap<String, Value> = BTreeMap::new();
        let inputs = self.inputs.take_definitions(true);
        let outputs = self.outputs.take_definitions(true);
        let errors = errors.into_iter().map(|(_, name, schema)| (name, schema));
        for (name, schema) in inputs.into_iter().chain(outputs).chain(errors) {
            let schema = tidy(schema);
            match named.get(&name) {
                Some(known) if *known != schema => {
                    return Err(format!("{name} has two schemas: {known} and {schema}"));
                }
                _ => _ = named.insert(name, schema),
            }
        }
        Ok(named.into_iter().collect::<Map<_, _>>().into())
    }
}

/// What names a subscription on its socket.
fn subscription_id() -> Value {
    json!({
        "name": "subscription",
        "required": true,
        "description": "The subscription's number on its socket, which its notifications carry.",
        "schema": { "type": "integer", "minimum": 0 },
    })
}

/// The method that ends a subscription. jsonrpsee answers it, so no kind of ours comes of it.
fn ending(procedure: &Procedure, channel: Channel) -> Result<Value, String> {
    let name = procedure.name;
    let examples = procedure.examples.iter().map(|example| {
        let number = json_of(example.result, name)?;
        Ok(pairing("no more of it", json!([{ "name": "subscription", "value": number }]), true.into()))
    });
    let examples = examples.collect::<Result<Vec<_>, String>>()?;
    Ok(json!({
        "name": channel.unsubscribe,
        "summary": format!("Ends a subscription of `{name}`"),
        "description": format!(
            "Ends a subscription of `{name}`, on the socket that has it. Answers `false` where there is none."
        ),
        "paramStructure": "by-position",
        "params": [subscription_id()],
        "result": { "name": "ended", "schema": { "type": "boolean" } },
        "errors": [],
        "examples": examples,
        "x-kind": "subscription",
        "x-role": procedure.role,
        "x-ends": name,
    }))
}

/// An example as OpenRPC wants it. `method` is for the fault.
fn shown(example: &Example, method: &str) -> Result<Value, String> {
    let params = json_of(example.params, method)?;
    let params =
        params.as_object().ok_or_else(|| format!("an example of {method} has params that are no object"))?;
    let params = params.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let mut shown = pairing(example.name, params, json_of(example.result, method)?);
    if let Some(told) = example.notification {
        shown["x-notification"] = json_of(told, method)?;
    }
    Ok(shown)
}

fn pairing(name: &str, params: Value, result: Value) -> Value {
    json!({ "name": name, "params": params, "result": { "name": "result", "value": result } })
}

fn json_of(text: &str, method: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("an example of {method}: {error}"))
}

/// An input's fields as content descriptors, the required first, as OpenRPC wants them.
fn fields(input: &Value) -> Vec<Value> {
    let required = |name: &str| {
        let names = input["required"].as_array();
        names.is_some_and(|names| names.iter().any(|required| required == name))
    };
    let described = input["properties"].as_object().into_iter().flatten().map(|(name, schema)| {
        let mut field = json!({ "name": name, "required": required(name), "schema": schema });
        if let Some(text) = field["schema"].as_object_mut().and_then(|schema| schema.remove("description")) {
            field["description"] = text;
        }
        field
    });
    let mut fields: Vec<_> = described.collect();
    fields.sort_by_key(|field| field["required"] == false);
    fields
}

/// What a procedure can fail with, one entry for each code.
fn method_errors(procedure: &Procedure, errors: &ErrorSchemas) -> Vec<Value> {
    let kinds = || COMMON_ERRORS.iter().chain(procedure.errors);
    let mut codes: Vec<i32> = Vec::new();
    for kind in kinds() {
        if !codes.contains(&kind.code()) {
            codes.push(kind.code());
        }
    }
    let entry = |code: i32| {
        let told = kinds().filter(|kind| kind.code() == code);
        let told = told.filter_map(|kind| errors.iter().find(|(of, ..)| of == kind));
        let (texts, mut references): (Vec<_>, Vec<_>) = told
            .map(|(_, name, schema)| {
                let text = schema["description"].as_str().unwrap_or_default();
                (text, json!({ "$ref": format!("#{SCHEMAS}/{name}") }))
            })
            .unzip();
        let data = match references.len() {
            1 => references.remove(0),
            _ => json!({ "oneOf": references }),
        };
        json!({ "code": code, "message": texts.join(" Or: "), "data": data })
    };
    codes.into_iter().map(entry).collect()
}

/// `NOT_FOUND` is described by `NotFoundErrorData`.
fn error_name(kind: Kind) -> String {
    let capitalised = |word: &str| format!("{}{}", &word[..1], word[1..].to_ascii_lowercase());
    kind.as_str().split('_').map(capitalised).collect::<String>() + "ErrorData"
}

/// Does to a schema what its generator does to those it names.
fn finished(generator: &mut SchemaGenerator, schema: Value) -> Value {
    let Ok(mut schema) = Schema::try_from(schema) else { return Value::Null };
    for transform in generator.transforms_mut() {
        transform.transform(&mut schema);
    }
    tidy(schema.to_value())
}

/// Draft-07 knows no formats of integers, and strict validators refuse what they don't know. Line breaks within a
/// paragraph are the source's.
fn tidy(schema: Value) -> Value {
    let Ok(mut schema) = Schema::try_from(schema) else { return Value::Null };
    let strip = |schema: &mut Schema| {
        let is_integer = match schema.get("type") {
            Some(Value::String(name)) => name == "integer",
            Some(Value::Array(names)) => names.iter().any(|name| name == "integer"),
            _ => false,
        };
        if is_integer {
            schema.remove("format");
        }
        if let Some(Value::String(text)) = schema.get_mut("description") {
            let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
            *text = paragraphs.collect::<Vec<_>>().join("\n\n");
        }
    };
    RecursiveTransform(strip).transform(&mut schema);
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::domain::Role;

    /// Shows a toy.
    #[derive(Deserialize, JsonSchema)]
    #[allow(dead_code, reason = "only described")]
    struct ToyInput {
        /// Of it.
        colour: Option<Colour>,
    }

    /// A colour.
    #[derive(Deserialize, Serialize, JsonSchema)]
    struct Colour {
        name: Option<String>,
    }

    #[derive(Deserialize, JsonSchema)]
    struct Undescribed {}

    fn toy<I, O>(output: fn() -> O) -> Procedure
    where
        I: serde::de::DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + Send + 'static,
    {
        Procedure::query("toy.show", Role::Agent, &[], move |_, _: I| async move { Ok(output()) })
    }

    #[test]
    fn a_name_with_two_schemas_is_refused() {
        // What goes in may lack its name, what comes out has one or `null`.
        let fault = document(&[toy::<ToyInput, _>(|| Colour { name: None })]).unwrap_err();
        assert!(fault.starts_with("Colour has two schemas"), "{fault}");
        assert!(document(&[toy::<ToyInput, _>(|| true)]).is_ok());
    }

    #[test]
    fn a_procedure_must_be_described_and_its_examples_be_json() {
        const BROKEN: &[Example] = &[Example::new("x", "{}", "tru")];
        const LISTED: &[Example] = &[Example::new("x", "[]", "true")];
        let fault = document(&[toy::<Undescribed, _>(|| true)]).unwrap_err();
        assert_eq!(fault, "toy.show lacks a description");
        let broken = toy::<ToyInput, _>(|| true).with_examples(BROKEN);
        let fault = document(&[broken]).unwrap_err();
        assert!(fault.starts_with("an example of toy.show: "), "{fault}");
        let listed = toy::<ToyInput, _>(|| true).with_examples(LISTED);
        assert_eq!(document(&[listed]).unwrap_err(), "an example of toy.show has params that are no object");
        let keyless = toy::<ToyInput, _>(|| true).repeatable_by("key");
        assert_eq!(document(&[keyless]).unwrap_err(), "toy.show has no field key");
    }
}
