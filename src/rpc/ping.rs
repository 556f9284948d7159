//! `rpc.ping`: whether the line is alive. It looks at nothing, so it says nothing of the database (the ops listener's
//! `/readyz` does).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::procedure::{Call, Example};
use crate::error::Error;

/// Examples for the published document.
pub const EXAMPLES: &[Example] = &[Example::new("the line is alive", "{}", "{}")];

/// Answers at once: whether the line is alive and the token counts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PingInput")]
pub struct Input {}

/// Nothing but that there is an answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Pong")]
pub struct Output {}

/// See [`Input`].
pub async fn run(_: Call, _: Input) -> Result<Output, Error> {
    Ok(Output {})
}
