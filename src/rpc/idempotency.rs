//! The HTTP header `Idempotency-Key`: the field `idempotencyKey` of a single call, said in the head.
//!
//! For platforms whose tools set the header as they do with other payment services. It counts for procedures whose
//! input has the field and is ignored for all others. What form a key has is the field's affair.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::error::Error;

/// The header.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The field of an input that it stands for.
pub(super) const FIELD: &str = "idempotencyKey";

/// The header's lines, in the extensions of a call that came with it.
#[derive(Clone, Debug)]
pub(super) struct IdempotencyHeader(Vec<HeaderValue>);

impl IdempotencyHeader {
    /// The header of a request; `None` where it has none.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let lines: Vec<_> = headers.get_all(IDEMPOTENCY_KEY).into_iter().cloned().collect();
        (!lines.is_empty()).then_some(Self(lines))
    }

    /// Puts the key into an input. An input that says another one is refused: which was meant can't be told.
    pub(super) fn apply(&self, input: &mut Map<String, Value>) -> Result<(), Error> {
        let refused = |reason| Err(Error::invalid(FIELD, reason));
        let [line] = self.0.as_slice() else {
            return refused("the header Idempotency-Key stands more than once");
        };
        let Ok(key) = line.to_str() else {
            return refused("the header Idempotency-Key must be 1 to 64 visible ASCII characters");
        };
        match input.get(FIELD) {
            None | Some(Value::Null) => {
                input.insert(FIELD.to_owned(), key.into());
                Ok(())
            }
            Some(said) if said == key => Ok(()),
            Some(_) => refused("differs from the header Idempotency-Key"),
        }
    }
}
