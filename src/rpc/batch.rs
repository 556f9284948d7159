//! The answers of a batch: all entries side by side, answered in their order, within the size of one answer.
//!
//! As tRPC's do: one entry waits for no other, so whoever needs an order sends one request after the other. There is
//! no bound of its own on how many run at once: a batch has at most [`BATCH_MAX_ENTRIES`](super::BATCH_MAX_ENTRIES).

use futures_util::future::{BoxFuture, join_all};
use jsonrpsee::{
    Extensions, MethodResponse,
    server::BatchResponseBuilder,
    types::{
        ErrorObject, Id,
        error::{OVERSIZED_RESPONSE_CODE, OVERSIZED_RESPONSE_MSG},
    },
};

use super::{REQUEST_MAX_BYTES, RESPONSE_MAX_BYTES};

/// What the answers may weigh together. The rest of an answer's size is kept for entries whose own does not fit
/// and who are told so; their ids came in a body no larger than what is kept.
const ANSWERS_MAX_BYTES: usize = (RESPONSE_MAX_BYTES - REQUEST_MAX_BYTES) as usize;

/// One entry at work: its answer under its id; `None` for a notification's.
pub(super) type Entry<'a> = BoxFuture<'a, Option<(Id<'static>, MethodResponse)>>;

/// Runs all entries and gives the whole answer; `None` where all were notifications. A batch without entries is an
/// invalid request.
pub(super) async fn answer(entries: Vec<Entry<'_>>) -> Option<MethodResponse> {
    let ran_any = !entries.is_empty();
    let answers: Vec<_> = join_all(entries).await.into_iter().flatten().collect();
    if answers.is_empty() && ran_any {
        return None;
    }
    let mut builder = BatchResponseBuilder::new_with_limit(RESPONSE_MAX_BYTES as usize);
    let mut kept_bytes = 0;
    for (id, mut response) in answers {
        let bytes = response.as_json().get().len() + 1;
        if kept_bytes + bytes > ANSWERS_MAX_BYTES {
            // The other answers stand. A mutation's, dropped with them, would leave its caller in the dark.
            let error = ErrorObject::borrowed(OVERSIZED_RESPONSE_CODE, OVERSIZED_RESPONSE_MSG, None);
            response = MethodResponse::error(id, error);
        } else {
            kept_bytes += bytes;
        }
        if let Err(too_large) = builder.append(response.with_extensions(Extensions::new())) {
            return Some(too_large);
        }
    }
    Some(MethodResponse::from_batch(builder.finish()))
}
