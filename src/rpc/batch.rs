//! The answers of a batch: run side by side, kept in the order of the entries, within the size of one answer.
//!
//! Not here: which entries may run beside which; `counter` says so by gathering before and after a mutation.

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use jsonrpsee::{
    Extensions, MethodResponse,
    server::BatchResponseBuilder,
    types::{
        ErrorObject, Id,
        error::{OVERSIZED_RESPONSE_CODE, OVERSIZED_RESPONSE_MSG},
    },
};

use super::{REQUEST_MAX_BYTES, RESPONSE_MAX_BYTES};

/// Entries of one batch that run at once. The pool has about so many connections; more would only queue.
const AT_ONCE: usize = 8;

/// What the answers may weigh together. The rest of an answer's size is kept for entries whose own does not fit
/// and who are told so; their ids came in a body no larger than what is kept.
const ANSWERS_MAX_BYTES: usize = (RESPONSE_MAX_BYTES - REQUEST_MAX_BYTES) as usize;

/// An answer, under the id of its entry; `None` for a notification's.
type Pending<'a> = BoxFuture<'a, Option<(Id<'static>, MethodResponse)>>;

/// The answers of one batch.
#[derive(Default)]
pub(super) struct Answers<'a> {
    pending: Vec<Pending<'a>>,
    kept: Vec<MethodResponse>,
    kept_bytes: usize,
    ran_any: bool,
}

impl<'a> Answers<'a> {
    /// One more entry, not begun yet. Without an id it is a notification, and its answer is dropped.
    pub(super) fn add(
        &mut self,
        id: Option<Id<'static>>,
        work: impl Future<Output = MethodResponse> + Send + 'a,
    ) {
        self.ran_any = true;
        self.pending.push(work.map(move |response| id.map(|id| (id, response))).boxed());
    }

    /// Runs what was added, to its end.
    pub(super) async fn gather(&mut self) {
        let mut done = stream::iter(std::mem::take(&mut self.pending)).buffered(AT_ONCE);
        while let Some(answer) = done.next().await {
            let Some((id, response)) = answer else { continue };
            let bytes = response.as_json().get().len() + 1;
            if self.kept_bytes + bytes > ANSWERS_MAX_BYTES {
                // The other answers stand. A mutation's, dropped with them, would leave its caller in the dark.
                let error = ErrorObject::borrowed(OVERSIZED_RESPONSE_CODE, OVERSIZED_RESPONSE_MSG, None);
                self.kept.push(MethodResponse::error(id, error));
            } else {
                self.kept_bytes += bytes;
                self.kept.push(response);
            }
        }
    }

    /// The whole answer, once the rest has run; `None` where all entries were notifications. A batch without
    /// entries is an invalid request.
    pub(super) async fn finish(mut self) -> Option<MethodResponse> {
        self.gather().await;
        if self.kept.is_empty() && self.ran_any {
            return None;
        }
        let mut builder = BatchResponseBuilder::new_with_limit(RESPONSE_MAX_BYTES as usize);
        for answer in self.kept {
            if let Err(too_large) = builder.append(answer.with_extensions(Extensions::new())) {
                return Some(too_large);
            }
        }
        Some(MethodResponse::from_batch(builder.finish()))
    }
}
