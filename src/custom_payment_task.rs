//! The namespace `customPaymentTask`: one-off charges an agent drew up, each paid by at most one payment at a time.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        HostId, OneLine, PaymentAmount, Pence,
        Role::{Agent, Viewer},
        TaskStatus, Timestamp,
    },
    error::{
        Error,
        Kind::{IdempotencyMismatch, NotFound},
    },
    ledger::{HostPage, Tx, tables::TaskRow},
    pagination::{Cursor, Limit, List, Page},
    rpc::procedure::{Call, Example, Procedure},
};

/// The procedures of this namespace.
pub fn procedures() -> Vec<Procedure> {
    vec![
        Procedure::mutation("customPaymentTask.create", Agent, &[IdempotencyMismatch], create)
            .repeatable_by("id")
            .with_examples(CREATE_EXAMPLES),
        Procedure::query("customPaymentTask.get", Viewer, &[NotFound], get).with_examples(GET_EXAMPLES),
        Procedure::query("customPaymentTask.list", Viewer, &[], list).with_examples(LIST_EXAMPLES),
    ]
}

/// A one-off charge.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomPaymentTask {
    /// Its id.
    id: HostId,
    /// What is charged for.
    title: OneLine<200>,
    /// How much it is for, in pence: what a payment of it must be. Without one, any amount.
    amount_pence: Option<Pence>,
    /// The host platform's tenancy.
    tenancy_id: Option<HostId>,
    /// Whether it is paid.
    status: TaskStatus,
    /// When it was paid.
    paid_at: Option<Timestamp>,
    /// When it was created.
    created_at: Timestamp,
}

/// Creates a custom payment task. The same `id` with the same values answers the row again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "CreateCustomPaymentTaskInput")]
pub struct CreateInput {
    /// The host platform's own id; one is made where it is left out.
    id: Option<HostId>,
    /// What is charged for. 1 to 200 characters, no card numbers.
    title: OneLine<200>,
    /// How much, in pence: 1 to 99,999,999.
    amount_pence: Option<PaymentAmount>,
    /// The host platform's tenancy.
    tenancy_id: Option<HostId>,
}

/// Returns one custom payment task.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "GetCustomPaymentTaskInput")]
pub struct GetInput {
    /// The task's id.
    custom_payment_task_id: String,
}

/// Lists custom payment tasks, newest first, page by page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ListCustomPaymentTasksInput")]
pub struct ListInput {
    /// Only in this status.
    status: Option<TaskStatus>,
    /// Only of this tenancy.
    tenancy_id: Option<HostId>,
    /// Where the page before ended: its `nextCursor`.
    cursor: Option<Cursor>,
    /// How many at most: 1 to 100, 20 unless said.
    limit: Option<Limit>,
}

/// See [`CreateInput`].
async fn create(call: Call, input: CreateInput) -> Result<CustomPaymentTask, Error> {
    let ledger = call.app.ledger.clone();
    ledger.write(move |tx| async move { enter(tx, &call, input).await }.boxed()).await
}

async fn enter(tx: &Tx, call: &Call, input: CreateInput) -> Result<CustomPaymentTask, Error> {
    let row = TaskRow {
        agency_id: call.caller.agency_id,
        id: input.id.unwrap_or_else(HostId::generate),
        title: input.title,
        amount_pence: input.amount_pence.map(|amount| amount.0),
        tenancy_id: input.tenancy_id,
        status: TaskStatus::Pending,
        paid_at: None,
        paid_by_payment_id: None,
        created_at: Timestamp::now(),
    };
    if tx.insert_task(&row).await? {
        return Ok(CustomPaymentTask::from(row));
    }
    let same = |known: &TaskRow| {
        (&known.title, known.amount_pence, &known.tenancy_id)
            == (&row.title, row.amount_pence, &row.tenancy_id)
    };
    let known = tx.task(row.agency_id, &row.id).await?;
    let mismatch = Error::IdempotencyMismatch { what: "id", ledger_entry_id: None };
    known.filter(same).map(CustomPaymentTask::from).ok_or(mismatch)
}

/// See [`GetInput`].
async fn get(call: Call, input: GetInput) -> Result<CustomPaymentTask, Error> {
    let absent = Error::not_found("custom payment task", &input.custom_payment_task_id);
    let Some(id) = HostId::parse(&input.custom_payment_task_id) else { return Err(absent) };
    let agency = call.caller.agency_id;
    let found = call.app.ledger.read(move |tx| async move { tx.task(agency, id).await }.boxed()).await?;
    found.map(CustomPaymentTask::from).ok_or(absent)
}

/// See [`ListInput`].
async fn list(call: Call, input: ListInput) -> Result<Page<CustomPaymentTask>, Error> {
    let limit = input.limit.unwrap_or_default();
    let page = HostPage {
        agency: call.caller.agency_id,
        status: input.status,
        tenancy: input.tenancy_id,
        before: input.cursor.map(|cursor| cursor.host(List::CustomPaymentTasks)).transpose()?,
        limit: limit.and_one(),
    };
    let rows = call.app.ledger.read(move |tx| async move { tx.task_page(&page).await }.boxed()).await?;
    Ok(Page::of(
        rows,
        limit,
        |row| Cursor::of_host(List::CustomPaymentTasks, row.created_at, &row.id),
        CustomPaymentTask::from,
    ))
}

impl From<TaskRow> for CustomPaymentTask {
    fn from(row: TaskRow) -> Self {
        let TaskRow {
            agency_id: _,
            id,
            title,
            amount_pence,
            tenancy_id,
            status,
            paid_at,
            paid_by_payment_id: _,
            created_at,
        } = row;
        Self { id, title, amount_pence, tenancy_id, status, paid_at, created_at }
    }
}

/// Examples of `customPaymentTask.create` for the published document.
const CREATE_EXAMPLES: &[Example] = &[Example::new(
    "a one-off charge",
    r#"{
        "id": "task-88",
        "title": "Replacement keys",
        "amountPence": 4500
    }"#,
    r#"{
        "id": "task-88",
        "title": "Replacement keys",
        "amountPence": 4500,
        "tenancyId": null,
        "status": "pending",
        "paidAt": null,
        "createdAt": "2026-11-28T13:07:31.140Z"
    }"#,
)];

/// Examples of `customPaymentTask.get` for the published document.
const GET_EXAMPLES: &[Example] = &[Example::new(
    "one task",
    r#"{
        "customPaymentTaskId": "task-88"
    }"#,
    r#"{
        "id": "task-88",
        "title": "Replacement keys",
        "amountPence": 4500,
        "tenancyId": null,
        "status": "pending",
        "paidAt": null,
        "createdAt": "2026-11-28T13:07:31.140Z"
    }"#,
)];

/// Examples of `customPaymentTask.list` for the published document.
const LIST_EXAMPLES: &[Example] = &[Example::new(
    "what is unpaid",
    r#"{
        "status": "pending",
        "limit": 50
    }"#,
    r#"{
        "items": [
            {
                "id": "task-88",
                "title": "Replacement keys",
                "amountPence": 4500,
                "tenancyId": null,
                "status": "pending",
                "paidAt": null,
                "createdAt": "2026-11-28T13:07:31.140Z"
            }
        ],
        "nextCursor": null
    }"#,
)];
