//! JSON-RPC's envelope where jsonrpsee reads it wrongly: the one place that knows those gaps.
//!
//! jsonrpsee takes whatever it can't parse as a request, but could as a notification, for a notification: a call
//! with the id -1, 1.5 or `"\ud800"`, or with two ids, would be executed and never answered. So each message is looked
//! at before it is parsed. Not here: anything about the methods.

use std::{borrow::Cow, collections::HashMap};

use hyper::body::Bytes;
use jsonrpsee::{
    MethodResponse,
    types::{ErrorCode, ErrorObject, Id, Notification, Request},
};
use serde_json::value::RawValue;

use super::BATCH_MAX_ENTRIES;

/// What is to be done with a body.
pub(super) enum Examined {
    /// jsonrpsee reads it right; the white space before it, which it does not expect, is gone.
    Fine(Bytes),
    /// It is one message, and no request, or none at all.
    Refused(Box<RawValue>),
}

/// Looks at a whole body. Broken JSON counts as fine: jsonrpsee answers it with -32700. What is no UTF-8 is no JSON
/// either, but jsonrpsee would say that it is no request.
pub(super) fn examine(body: Bytes) -> Examined {
    let white = body.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
    let body = body.slice(white..);
    let Ok(text) = std::str::from_utf8(&body) else {
        let error = ErrorObject::from(ErrorCode::ParseError);
        return Examined::Refused(MethodResponse::error(Id::Null, error).into_json());
    };
    if is_batch(&body) {
        let mended = mended(text).map(Bytes::from);
        return Examined::Fine(mended.unwrap_or(body));
    }
    let is_object = text.starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok();
    match is_object.then(|| misread(text)).flatten() {
        Some(id) => Examined::Refused(invalid_request(id, ErrorCode::InvalidRequest.message())),
        None => Examined::Fine(body),
    }
}

/// Whether a body without white space before it is a batch, or would be one if it were JSON.
pub(super) fn is_batch(body: &Bytes) -> bool {
    body.first() == Some(&b'[')
}

/// A batch with the entries jsonrpsee would misread replaced by ones that it answers with -32600 and the same
/// id; `None` where there is nothing to mend.
fn mended(batch: &str) -> Option<String> {
    let entries: Vec<&RawValue> = serde_json::from_str(batch).ok()?;
    if entries.len() > BATCH_MAX_ENTRIES {
        return None;
    }
    let ids: Vec<_> = entries.iter().map(|entry| misread(entry.get())).collect();
    if ids.iter().all(Option::is_none) {
        return None;
    }
    let entries = entries.iter().zip(ids).map(|(entry, id)| match id {
        None => Cow::Borrowed(entry.get()),
        Some(id) => {
            let id = serde_json::to_string(&id).unwrap_or_else(|_| "null".into());
            Cow::Owned(format!(r#"{{"id":{id}}}"#))
        }
    });
    Some(format!("[{}]", entries.collect::<Vec<_>>().join(",")))
}

/// Whether a message is neither request nor notification; then the id to say so under, null where it has none
/// that can be given back. The tests are jsonrpsee's own types, so they can't differ from what it will do.
fn misread(message: &str) -> Option<Id<'_>> {
    if serde_json::from_str::<Request<'_>>(message).is_ok() {
        return None;
    }
    let Ok(members) = serde_json::from_str::<HashMap<String, &RawValue>>(message) else {
        return Some(Id::Null);
    };
    match members.get("id") {
        Some(id) => Some(serde_json::from_str(id.get()).unwrap_or(Id::Null)),
        None => {
            let notification = serde_json::from_str::<Notification<'_, Option<&RawValue>>>(message);
            notification.is_err().then_some(Id::Null)
        }
    }
}

/// The answer -32600, with its reason.
pub(super) fn invalid_request(id: Id<'_>, reason: &'static str) -> Box<RawValue> {
    let error = ErrorObject::borrowed(ErrorCode::InvalidRequest.code(), reason, None);
    MethodResponse::error(id, error).into_json()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body_after(sent: &'static str) -> String {
        match examine(Bytes::from_static(sent.as_bytes())) {
            Examined::Fine(body) => String::from_utf8(body.to_vec()).unwrap(),
            Examined::Refused(answer) => answer.get().to_owned(),
        }
    }

    #[test]
    fn what_jsonrpsee_reads_right_passes_unchanged() {
        for sent in [
            r#"{"jsonrpc":"2.0","method":"m","id":18446744073709551615}"#,
            r#"{"jsonrpc":"2.0","method":"m","params":[1],"id":"\u00e9\n"}"#,
            r#"{"jsonrpc":"2.0","method":"m","id":null,"extra":{"id":-1}}"#,
            r#"{"jsonrpc":"2.0","method":"m"}"#,
            r#"[{"jsonrpc":"2.0","method":"m"},{"jsonrpc":"2.0","method":"m","id":0}]"#,
            r#"{"jsonrpc":"2.0","method":"#,
            r#"[{"jsonrpc":"2.0"},"#,
            "[]",
            "hello",
            "",
        ] {
            assert_eq!(body_after(sent), sent);
        }
        assert_eq!(body_after(" \r\n\t[]"), "[]");
    }

    #[test]
    fn what_is_no_utf_8_is_no_json() {
        let Examined::Refused(answer) = examine(Bytes::from_static(b"{\"id\":7,\"method\":\"\xff\"}")) else {
            panic!("taken")
        };
        assert!(answer.get().contains("-32700"), "{answer}");
    }

    #[test]
    fn only_the_offending_entries_of_a_batch_are_replaced() {
        let sent = r#"[ {"jsonrpc":"2.0","method":"a","id":-1}, {"jsonrpc":"2.0", "method":"b","id":2},
            {"jsonrpc":"2.0","method":1,"id":"x"}, 7 ]"#;
        let expected = r#"[{"id":null},{"jsonrpc":"2.0", "method":"b","id":2},{"id":"x"},{"id":null}]"#;
        assert_eq!(body_after(sent), expected);
    }
}
