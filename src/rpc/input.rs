//! From params to the input of a procedure: which fields it knows, which it needs, and what may have been meant.
//!
//! Not here: JSON itself (`params`), and what a field may hold; its type says that.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::Error;

/// The longest reason given for a wrong field: room for every word of our longest vocabulary.
const REASON_MAX_CHARS: usize = 300;
/// How alike (Jaro-Winkler, 0 to 1) a known name must be to be suggested for an unknown one. A slip of the hand or a
/// missing ending is above, another word below.
const ALIKE: f64 = 0.85;

/// The names of an input's fields, to tell an unknown or a missing one by name.
pub(super) struct InputFields {
    /// All of them, in the order they are declared.
    pub(super) known: Vec<String>,
    required: Vec<String>,
}

impl InputFields {
    /// The fields of a type.
    pub(super) fn of<I: JsonSchema>() -> Self {
        let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<I>().to_value();
        let known = schema["properties"].as_object().map(|fields| fields.keys().cloned().collect());
        let required = serde_json::from_value(schema["required"].clone());
        Self { known: known.unwrap_or_default(), required: required.unwrap_or_default() }
    }

    /// Whether there is a field of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.known.iter().any(|known| known == name)
    }

    /// The input.
    pub(super) fn decode<I: DeserializeOwned>(&self, object: Map<String, Value>) -> Result<I, Error> {
        if let Some(unknown) = object.keys().find(|key| !self.has(key)) {
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

    /// The known name that may have been meant, if one is near.
    fn nearest(&self, unknown: &str) -> Option<&str> {
        let unknown = unknown.to_ascii_lowercase();
        let alike = |name: &str| strsim::jaro_winkler(&name.to_ascii_lowercase(), &unknown);
        let known = self.known.iter().map(|name| (alike(name), name.as_str()));
        let best = known.filter(|(alike, _)| *alike >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0));
        best.map(|(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_suggested() {
        let known = [
            "tenancyId",
            "status",
            "paymentType",
            "cursor",
            "limit",
            "amountPence",
            "paymentId",
            "metadata",
            "search",
            "createdFrom",
            "idempotencyKey",
        ];
        let fields = InputFields { known: known.map(str::to_owned).into(), required: Vec::new() };
        for (sent, meant) in [
            ("tenencyId", Some("tenancyId")),
            ("tenancyid", Some("tenancyId")),
            ("tenancy_id", Some("tenancyId")),
            ("stauts", Some("status")),
            ("amount", Some("amountPence")),
            ("payment", Some("paymentId")),
            ("idempotency_key", Some("idempotencyKey")),
            ("createdfrom", Some("createdFrom")),
            ("q", None),
            ("", None),
            ("x", None),
            ("id", None),
            ("query", None),
            ("page", None),
            ("offset", None),
            ("agencyId", None),
        ] {
            assert_eq!(fields.nearest(sent), meant, "{sent}");
        }
    }
}
