//! JSON Schema to TypeScript types: the shapes our schemas have, and no others.

use std::{collections::BTreeSet, fmt::Write};

use serde_json::{Map, Value};

/// The names a module has given out.
pub(super) struct Names(BTreeSet<String>);

impl Default for Names {
    fn default() -> Self {
        // What the files hold besides the schemas.
        let ours = [
            "Client",
            "Errors",
            "Inputs",
            "JsonObject",
            "Mutation",
            "Outputs",
            "PagedQuery",
            "Query",
            "Subscription",
        ];
        Self(ours.map(str::to_owned).into())
    }
}

impl Names {
    /// Gives a name out, once.
    pub(super) fn take(&mut self, name: &str) -> Result<(), String> {
        let fresh = self.0.insert(name.to_owned());
        if fresh { Ok(()) } else { Err(format!("the name {name} is used twice")) }
    }
}

/// Keywords that narrow or describe a value, but not its TypeScript type.
const ANNOTATIONS: &[&str] = &[
    "default",
    "description",
    "examples",
    "format",
    "maxLength",
    "maximum",
    "minLength",
    "minimum",
    "pattern",
    "title",
    "writeOnly",
];
/// Formats whose values are plain strings to the client.
const FORMATS: &[&str] = &["date-time", "uri", "uuid"];

/// The type of a schema within another; `at` says where, for errors.
pub(super) fn of(schema: &Value, at: &str) -> Result<String, String> {
    let unknown = || format!("{at}: no TypeScript for {schema}");
    let object = schema.as_object().ok_or_else(unknown)?;
    if let Some(format) = object.get("format")
        && !FORMATS.iter().any(|known| format == known)
    {
        return Err(unknown());
    }
    match shape(object).as_slice() {
        ["$ref"] => reference(&object["$ref"]).ok_or_else(unknown),
        ["allOf"] => match object["allOf"].as_array().map(Vec::as_slice) {
            Some([one]) => of(one, at),
            _ => Err(unknown()),
        },
        ["anyOf"] => union(&object["anyOf"], at).ok_or_else(unknown)?,
        ["oneOf"] => union(&object["oneOf"], at).ok_or_else(unknown)?,
        ["const"] | ["const", "type"] => literal(&object["const"]).ok_or_else(unknown),
        ["enum"] | ["enum", "type"] => {
            let words = object["enum"].as_array().ok_or_else(unknown)?.iter();
            let words = words.map(literal).collect::<Option<Vec<_>>>().ok_or_else(unknown)?;
            Ok(words.join(" | "))
        }
        ["items", "type"] if object["type"] == "array" => Ok(match of(&object["items"], at)? {
            item if item.contains(' ') => format!("({item})[]"),
            item => format!("{item}[]"),
        }),
        ["additionalProperties", "type"]
            if object["type"] == "object" && object["additionalProperties"] == true =>
        {
            Ok("JsonObject".to_owned())
        }
        ["type"] => plain(&object["type"]).ok_or_else(unknown),
        _ => Err(unknown()),
    }
}

/// Declares a named schema: an interface, or a set of words that is also a value.
pub(super) fn declare(
    name: &str,
    schema: &Value,
    types: &mut String,
    values: &mut String,
) -> Result<(), String> {
    let unknown = || format!("{name}: no TypeScript for {schema}");
    let object = schema.as_object().ok_or_else(unknown)?;
    let description = schema["description"].as_str().unwrap_or_default();
    match shape(object).as_slice() {
        ["properties", "required", "type"] | ["properties", "type"] | ["type"]
            if object["type"] == "object" =>
        {
            let required = object.get("required").and_then(Value::as_array);
            let is_required =
                |field: &str| required.is_some_and(|names| names.iter().any(|name| name == field));
            _ = write!(types, "\n{}export interface {name} {{\n", doc(description, ""));
            for (field, schema) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let mark = if is_required(field) { "" } else { "?" };
                types.push_str(&doc(schema["description"].as_str().unwrap_or_default(), "  "));
                _ = writeln!(types, "  {field}{mark}: {};", of(schema, &format!("{name}.{field}"))?);
            }
            types.push_str("}\n");
        }
        ["oneOf"] => {
            let words = object["oneOf"].as_array().ok_or_else(unknown)?;
            let literals = words.iter().map(|word| match shape(word.as_object()?).as_slice() {
                ["const", "type"] => literal(&word["const"]),
                _ => None,
            });
            let literals = literals.collect::<Option<Vec<_>>>().ok_or_else(unknown)?;
            let mut about = description.to_owned() + "\n";
            for (word, literal) in words.iter().zip(&literals) {
                _ = write!(about, "\n- `{literal}`: {}", word["description"].as_str().unwrap_or_default());
            }
            words_declared(name, &about, &literals, types, values);
        }
        ["enum", "type"] => {
            let words = object["enum"].as_array().ok_or_else(unknown)?.iter();
            let literals = words.map(literal).collect::<Option<Vec<_>>>().ok_or_else(unknown)?;
            words_declared(name, description, &literals, types, values);
        }
        _ => return Err(unknown()),
    }
    Ok(())
}

fn words_declared(name: &str, about: &str, literals: &[String], types: &mut String, values: &mut String) {
    let list = literals.join(", ");
    let about = doc(about, "");
    _ = write!(values, "\nexport const {name} = [{list}];\n");
    _ = write!(types, "\n{about}export type {name} = (typeof {name})[number];\n");
    _ = writeln!(types, "{about}export declare const {name}: readonly [{list}];");
}

/// An input, from OpenRPC's content descriptors. Whatever may be left out may also be `undefined` or `null`.
pub(super) fn interface(name: &str, description: &str, params: &[Value]) -> Result<String, String> {
    let mut written = format!("\n{}export interface {name} {{\n", doc(description, ""));
    for param in params {
        let field = text(param, "name")?;
        let (mark, or_nothing) = if param["required"] == true { ("", "") } else { ("?", " | undefined") };
        let of = of(&param["schema"], &format!("{name}.{field}"))?;
        written.push_str(&doc(param["description"].as_str().unwrap_or_default(), "  "));
        _ = writeln!(written, "  {field}{mark}: {of}{or_nothing};");
    }
    // An empty interface would take anything.
    if params.is_empty() {
        written.push_str("  [field: string]: never;\n");
    }
    written.push_str("}\n");
    Ok(written)
}

/// A comment for whoever hovers.
pub(super) fn doc(text: &str, indent: &str) -> String {
    let text = text.trim().replace("*/", "*\\/");
    if text.is_empty() {
        return String::new();
    }
    if !text.contains('\n') {
        return format!("{indent}/** {text} */\n");
    }
    let lines = text.lines().map(|line| format!("{indent} * {line}").trim_end().to_owned() + "\n");
    format!("{indent}/**\n{}{indent} */\n", lines.collect::<String>())
}

/// A text that must be there.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    value[key].as_str().ok_or_else(|| format!("{key} is missing in {value}"))
}

/// The keywords that make the type, sorted.
fn shape(schema: &Map<String, Value>) -> Vec<&str> {
    let keys = schema.keys().map(String::as_str).filter(|key| !ANNOTATIONS.contains(key));
    let mut keys: Vec<_> = keys.collect();
    keys.sort_unstable();
    keys
}

fn reference(to: &Value) -> Option<String> {
    to.as_str()?.strip_prefix("#/components/schemas/").map(str::to_owned)
}

fn union(members: &Value, at: &str) -> Option<Result<String, String>> {
    let members = members.as_array()?.iter();
    let members: Result<Vec<_>, _> = members.map(|member| of(member, at)).collect();
    Some(members.map(|members| members.join(" | ")))
}

/// Words and `null` only: no other literal occurs.
fn literal(value: &Value) -> Option<String> {
    (value.is_string() || value.is_null()).then(|| value.to_string())
}

fn plain(names: &Value) -> Option<String> {
    let one = |name: &Value| match name.as_str()? {
        "string" => Some("string"),
        "integer" | "number" => Some("number"),
        "boolean" => Some("boolean"),
        "null" => Some("null"),
        _ => None,
    };
    match names {
        Value::Array(names) => {
            names.iter().map(one).collect::<Option<Vec<_>>>().map(|names| names.join(" | "))
        }
        name => one(name).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shapes_that_are_known() {
        for (schema, wanted) in [
            (json!({ "type": "string", "format": "uuid" }), "string"),
            (json!({ "type": ["integer", "null"], "minimum": 0 }), "number | null"),
            (json!({ "allOf": [{ "$ref": "#/components/schemas/Role" }], "description": "x" }), "Role"),
            (
                json!({ "anyOf": [{ "$ref": "#/components/schemas/Role" }, { "type": "null" }] }),
                "Role | null",
            ),
            (json!({ "type": "array", "items": { "type": ["string", "null"] } }), "(string | null)[]"),
            (json!({ "type": "object", "additionalProperties": true }), "JsonObject"),
            (json!({ "type": "string", "const": "GBP" }), "\"GBP\""),
        ] {
            assert_eq!(of(&schema, "here").as_deref(), Ok(wanted));
        }
    }

    #[test]
    fn shapes_that_are_not() {
        for schema in [
            json!(true),
            json!({}),
            json!({ "type": "object" }),
            json!({ "type": "object", "properties": {} }),
            json!({ "type": "string", "format": "binary" }),
            json!({ "type": "array" }),
            json!({ "allOf": [{ "type": "string" }, { "type": "null" }] }),
            json!({ "type": "string", "contentEncoding": "base64" }),
            json!({ "const": 7 }),
            json!({ "$ref": "https://example.org/schema" }),
            json!({ "not": {} }),
        ] {
            let outcome = of(&schema, "here");
            assert!(outcome.is_err_and(|why| why.starts_with("here: ")), "{schema}");
        }
    }

    #[test]
    fn a_comment_cannot_be_closed_by_its_text() {
        assert_eq!(doc("ends */ here", ""), "/** ends *\\/ here */\n");
    }
}
