//! `payment.createPaymentTask`: asks a tenant for money.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::Digest;

use super::{
    CheckoutLink,
    own_payment::{cause, newest_session},
    renew_checkout,
};
use crate::{
    checkout,
    domain::{
        AuditAction, Cause, HostId, IdempotencyKey, OneLine, PaymentAmount, PaymentId, PaymentMethod,
        PaymentStatus, PaymentType, Pence, SessionState, TaskStatus, Timestamp,
    },
    error::Error,
    ledger::{
        AuditEntry, Change, Tx,
        sql_types::Sha256,
        tables::{PaymentRow, SessionRow, TaskRow, TodoRow},
    },
    rpc::procedure::{Call, Example},
};

/// Creates a payment and its Calmony Pay checkout link. Where the outcome is unknown (`PROVIDER_UNAVAILABLE`), call
/// again with the same `idempotencyKey`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "CreatePaymentTaskInput")]
pub struct Input {
    /// How much, in pence: 1 to 99,999,999.
    amount_pence: PaymentAmount,
    /// What for.
    payment_type: PaymentType,
    /// Shown to the tenant on the checkout page. 1 to 500 characters, no card numbers.
    description: OneLine<500>,
    /// How the tenant is to pay; `card` unless said. Above the agency's card limit it is `open_banking` anyway.
    method: Option<PaymentMethod>,
    /// The host platform's tenancy.
    tenancy_id: Option<HostId>,
    /// A todo to complete when the money is there. It must exist.
    todo_id: Option<String>,
    /// A custom payment task to mark paid when the money is there. It must exist, be unpaid, and have no other
    /// payment under way.
    custom_payment_task_id: Option<String>,
    /// Makes the call safe to repeat: the same key with the same values answers the same payment. 1 to 64 visible
    /// ASCII characters. Over HTTP the header `Idempotency-Key` of a single call says the same; every other procedure
    /// ignores that header.
    #[serde(skip_serializing)]
    idempotency_key: Option<IdempotencyKey>,
}

/// See [`Input`].
pub async fn run(call: Call, input: Input) -> Result<CheckoutLink, Error> {
    let ledger = call.app.ledger.clone();
    let request_id = call.request_id.clone();
    let (app, repeated) = (call.app.clone(), call.clone());
    let entered = ledger.write(move |tx| async move { enter(tx, &call, input).await }.boxed()).await?;
    let (payment, link) = match entered {
        Entered::New(payment, session) => {
            let link = checkout::ask(&app, &payment, &session, Some(request_id.as_str())).await;
            (payment, link)
        }
        // Nobody should be sent to a link that no longer works.
        Entered::Known(payment)
            if payment.status.awaits_tenant() && link_is_dead(&repeated, payment.id).await? =>
        {
            return renew_checkout::live_link(repeated, payment.id).await;
        }
        Entered::Known(payment) => {
            let link = checkout::link(&app, &payment, request_id.as_str()).await;
            (payment, link)
        }
    };
    Ok(CheckoutLink { checkout_url: link?, ledger_entry_id: payment.id })
}

/// Whether the payment's link is over: expired, or used up.
async fn link_is_dead(call: &Call, id: PaymentId) -> Result<bool, Error> {
    let session = newest_session(call, id).await?;
    Ok(session.is_some_and(|session| match session.state {
        SessionState::Dead => true,
        SessionState::Open => session.expires_at.is_some_and(|at| at <= Timestamp::now()),
        SessionState::Creating | SessionState::Rejected => false,
    }))
}

/// Whether this call made the payment.
enum Entered {
    New(PaymentRow, Box<SessionRow>),
    Known(PaymentRow),
}

/// Enters the payment in the ledger, or finds the one made under the same key.
async fn enter(tx: &Tx, call: &Call, input: Input) -> Result<Entered, Error> {
    let agency_id = call.caller.agency_id;
    let params_sha256 = params_sha256(&input)?;
    if let Some(known) = find_known(tx, call, &input, params_sha256).await? {
        return Ok(Entered::Known(known));
    }
    let todo_id = match &input.todo_id {
        Some(sent) => Some(existing_todo(tx, call, sent, &input).await?.id),
        None => None,
    };
    let task_id = match &input.custom_payment_task_id {
        Some(sent) => match free_task(tx, call, sent, &input).await {
            Ok(task) => Some(task.id),
            Err(taken @ (Error::OpenPaymentExists { .. } | Error::AlreadyPaid { .. })) => {
                // Perhaps by a call with this key, while this one waited for the task.
                let known = find_known(tx, call, &input, params_sha256).await?;
                return known.map(Entered::Known).ok_or(taken);
            }
            Err(other) => return Err(other),
        },
        None => None,
    };
    let agency = tx.agency(agency_id).await?.ok_or_else(|| Error::internal("the caller's agency is gone"))?;
    let limit = agency.max_card_payment_pence;
    let (method, method_forced) = decide_method(input.method, input.amount_pence.0, limit);
    let id = PaymentId::new();
    let now = id.made_at();
    let payment = PaymentRow {
        id,
        agency_id,
        version: 1,
        status: PaymentStatus::Pending,
        payment_type: input.payment_type,
        method,
        method_forced,
        limit_applied_pence: limit,
        amount_pence: input.amount_pence.0,
        currency: "GBP".into(),
        description: input.description.clone(),
        tenancy_id: input.tenancy_id.clone(),
        todo_id,
        custom_payment_task_id: task_id.clone(),
        params_sha256: input.idempotency_key.as_ref().map(|_| params_sha256),
        idempotency_key: input.idempotency_key.clone(),
        latest_attempt: 1,
        cancelled_at: None,
        cancelled_by: None,
        manual_payments: 0,
        manually_paid: false,
        manual_payment_reference: None,
        refund_marked_at: None,
        refund_marked_by: None,
        refund_reference: None,
        refund_reason: None,
        payment_intent_id: None,
        paid_at: None,
        failure_reason: None,
        refunded_pence: Pence::ZERO,
        refunded_at: None,
        open_anomalies: 0,
        created_by: call.caller.actor.to_string(),
        created_at: now,
        updated_at: now,
    };
    if insert(tx, call, payment.clone()).await? {
        let session = checkout::new_session(&call.app, agency_id, id, payment.latest_attempt);
        tx.insert_session(&session).await?;
        return Ok(Entered::New(payment, Box::new(session)));
    }
    // Somebody else took the place since this transaction looked: the key's, or the task's.
    if let Some(known) = find_known(tx, call, &input, params_sha256).await? {
        return Ok(Entered::Known(known));
    }
    let open = match &task_id {
        Some(task) => tx.open_payment_of_task(agency_id, task).await?,
        None => None,
    };
    Err(Error::OpenPaymentExists { ledger_entry_id: open.map(|open| open.id) })
}

async fn insert(tx: &Tx, call: &Call, row: PaymentRow) -> Result<bool, Error> {
    let changes = json!({
        "amountPence": row.amount_pence,
        "paymentType": row.payment_type,
        "method": row.method,
        "methodForced": row.method_forced,
        "limitAppliedPence": row.limit_applied_pence,
        "tenancyId": row.tenancy_id,
        "todoId": row.todo_id,
        "customPaymentTaskId": row.custom_payment_task_id,
    });
    let created = AuditEntry { action: AuditAction::Created, from: None, to: row.status, changes };
    let cause = Cause { at: row.created_at, ..cause(call) };
    Change { before: None, row, entries: vec![created], cause }.insert(tx).await
}

/// The payment made before under the caller's key.
async fn find_known(
    tx: &Tx,
    call: &Call,
    input: &Input,
    params_sha256: Sha256,
) -> Result<Option<PaymentRow>, Error> {
    let Some(key) = &input.idempotency_key else { return Ok(None) };
    match tx.payment_by_key(call.caller.agency_id, key.clone()).await? {
        Some(row) if row.params_sha256 != Some(params_sha256) => {
            Err(Error::IdempotencyMismatch { what: "idempotencyKey", ledger_entry_id: Some(row.id) })
        }
        known => Ok(known),
    }
}

async fn existing_todo(tx: &Tx, call: &Call, sent: &str, input: &Input) -> Result<TodoRow, Error> {
    let absent = || Error::not_found("todo", sent);
    let id = HostId::parse(sent).ok_or_else(absent)?;
    let todo = tx.todo(call.caller.agency_id, id).await?.ok_or_else(absent)?;
    same_tenancy("todo", todo.tenancy_id.as_ref(), input)?;
    Ok(todo)
}

/// The task, locked, if it can take this payment.
async fn free_task(tx: &Tx, call: &Call, sent: &str, input: &Input) -> Result<TaskRow, Error> {
    let absent = || Error::not_found("custom payment task", sent);
    let id = HostId::parse(sent).ok_or_else(absent)?;
    let task = tx.lock_task(call.caller.agency_id, &id).await?.ok_or_else(absent)?;
    if let Some(pence) = task.amount_pence.filter(|pence| *pence != input.amount_pence.0) {
        return Err(Error::invalid("amountPence", format!("must be the task's amount, {pence}")));
    }
    same_tenancy("custom payment task", task.tenancy_id.as_ref(), input)?;
    if task.status == TaskStatus::Paid {
        return Err(Error::AlreadyPaid { ledger_entry_id: task.paid_by_payment_id });
    }
    match tx.open_payment_of_task(call.caller.agency_id, &id).await? {
        Some(open) => Err(Error::OpenPaymentExists { ledger_entry_id: Some(open.id) }),
        None => Ok(task),
    }
}

/// Where both name a tenancy they must agree.
fn same_tenancy(what: &str, theirs: Option<&HostId>, input: &Input) -> Result<(), Error> {
    match (theirs, &input.tenancy_id) {
        (Some(theirs), Some(ours)) if theirs != ours => {
            Err(Error::invalid("tenancyId", format!("must be the {what}'s tenancy, {theirs}")))
        }
        _ => Ok(()),
    }
}

/// An amount strictly above the limit is forced to Pay by Bank.
fn decide_method(
    asked: Option<PaymentMethod>,
    amount: Pence,
    card_limit: Option<Pence>,
) -> (PaymentMethod, bool) {
    match asked.unwrap_or(PaymentMethod::Card) {
        PaymentMethod::Card if card_limit.is_some_and(|limit| amount > limit) => {
            (PaymentMethod::OpenBanking, true)
        }
        method => (method, false),
    }
}

/// The SHA-256 of what is asked, without the key. Left-out and `null` are the same, and so are the default method
/// and leaving it out.
fn params_sha256(input: &Input) -> Result<Sha256, Error> {
    let mut meant = input.clone();
    meant.method.get_or_insert(PaymentMethod::Card);
    let text = serde_json::to_vec(&meant).map_err(|error| Error::internal(error.to_string()))?;
    Ok(Sha256(sha2::Sha256::digest(text).into()))
}

/// Examples for the published document.
pub const EXAMPLES: &[Example] = &[
    Example::new(
        "a holding deposit",
        r#"{
        "amountPence": 25000,
        "paymentType": "holding_deposit",
        "description": "Holding deposit, 12 Orchard Row",
        "tenancyId": "tenancy-77",
        "todoId": "todo-1201",
        "idempotencyKey": "offer-1201"
    }"#,
        r#"{
        "checkoutUrl": "https://pay.calmonypay.com/checkout/cs_ce9343adc69d066966f62b0b5c54a748",
        "ledgerEntryId": "01a22244-9ae3-757a-b1e9-c31af6e061d9"
    }"#,
    ),
    Example::new(
        "above the card limit",
        r#"{
        "amountPence": 180000,
        "paymentType": "move_in_balance",
        "description": "First month's rent",
        "method": "card"
    }"#,
        r#"{
        "checkoutUrl": "https://pay.calmonypay.com/checkout/cs_72aea32c9b825c63bd3884972d20a842",
        "ledgerEntryId": "01a22244-9b57-72d5-ae06-3b2e1c925edb"
    }"#,
    ),
];
