//! The namespace `token`: a platform gives its signed-in agents short-lived tokens.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{Label, Role, Role::Admin, Timestamp, TokenId},
    error::{Error, Kind::NotFound},
    rpc::procedure::{Call, Example, Procedure},
};

/// The procedures of this namespace.
pub fn procedures() -> Vec<Procedure> {
    vec![
        Procedure::mutation("token.issue", Admin, &[], issue).with_examples(ISSUE_EXAMPLES),
        Procedure::mutation("token.revoke", Admin, &[NotFound], revoke).with_examples(REVOKE_EXAMPLES),
    ]
}

/// Issues a token of the caller's agency.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "IssueTokenInput")]
pub struct IssueInput {
    /// What it may do.
    role: Role,
    /// The name under which the audit log knows whoever carries it. 1 to 200 characters.
    actor: Label<200>,
    /// How long it counts, in seconds: 60 to 7,776,000 (90 days).
    expires_in_seconds: Lifetime,
}

/// How long a token counts.
#[derive(Debug)]
struct Lifetime(Duration);

/// The token, shown once.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "IssuedToken")]
pub struct Issued {
    /// Its public id, to revoke it by.
    token_id: TokenId,
    /// The token itself: `qt_…`. It is not stored and can't be shown again.
    token: String,
    /// When it stops counting.
    expires_at: Timestamp,
}

/// Revokes a token of the caller's agency. Repeating it is harmless. Counts within seconds on every instance.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RevokeTokenInput")]
pub struct RevokeInput {
    /// The token's id.
    token_id: String,
}

/// The token that was revoked.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RevokedToken")]
pub struct Revoked {
    /// Its id.
    token_id: TokenId,
}

/// See [`IssueInput`].
async fn issue(call: Call, input: IssueInput) -> Result<Issued, Error> {
    let expires_at = Timestamp::now().plus(input.expires_in_seconds.0);
    let IssueInput { role, actor, expires_in_seconds: _ } = input;
    let (token_id, token) =
        call.app.tokens.issue(call.caller.agency_id, role, actor, Some(expires_at)).await?;
    Ok(Issued { token_id, token: token.reveal().to_owned(), expires_at })
}

/// See [`RevokeInput`].
async fn revoke(call: Call, input: RevokeInput) -> Result<Revoked, Error> {
    let token_id =
        TokenId::parse(&input.token_id).ok_or_else(|| Error::not_found("token", &input.token_id))?;
    call.app.tokens.revoke(token_id, Some(call.caller.agency_id)).await?;
    Ok(Revoked { token_id })
}

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(deserializer)?
            .as_u64()
            .filter(|seconds| (60..=7_776_000).contains(seconds))
            .map(|seconds| Self(Duration::from_secs(seconds)))
            .ok_or_else(|| serde::de::Error::custom("must be a whole number of seconds from 60 to 7,776,000"))
    }
}

impl JsonSchema for Lifetime {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Lifetime".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "minimum": 60, "maximum": 7_776_000 })
    }
}

/// Examples of `token.issue` for the published document.
const ISSUE_EXAMPLES: &[Example] = &[Example::new(
    "an hour for a signed-in agent",
    r#"{
        "role": "agent",
        "actor": "Arthur Agent",
        "expiresInSeconds": 3600
    }"#,
    r#"{
        "tokenId": "01a22244-9d74-7006-ab81-afcde439f117",
        "token": "qt_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "expiresAt": "2026-11-28T14:07:31.828Z"
    }"#,
)];

/// Examples of `token.revoke` for the published document.
const REVOKE_EXAMPLES: &[Example] = &[Example::new(
    "signed out",
    r#"{
        "tokenId": "01a22244-9d74-7006-ab81-afcde439f117"
    }"#,
    r#"{
        "tokenId": "01a22244-9d74-7006-ab81-afcde439f117"
    }"#,
)];
