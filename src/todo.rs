//! The namespace `todo`: todos of the host platform, mirrored here so that a payment completes one in its own
//! transaction.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        HostId, OneLine,
        Role::{Agent, Viewer},
        Timestamp, TodoStatus,
    },
    error::{
        Error,
        Kind::{IdempotencyMismatch, NotFound},
    },
    ledger::{HostPage, Tx, tables::TodoRow},
    pagination::{Cursor, Limit, List, Page},
    rpc::procedure::{Call, Example, Procedure},
};

/// The procedures of this namespace.
pub fn procedures() -> Vec<Procedure> {
    vec![
        Procedure::mutation("todo.create", Agent, &[IdempotencyMismatch], create)
            .repeatable_by("id")
            .with_examples(CREATE_EXAMPLES),
        Procedure::query("todo.get", Viewer, &[NotFound], get).with_examples(GET_EXAMPLES),
        Procedure::query("todo.list", Viewer, &[], list).with_examples(LIST_EXAMPLES),
    ]
}

/// Something to be done, which a payment may complete.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Todo {
    /// Its id.
    id: HostId,
    /// What is to be done.
    title: OneLine<200>,
    /// The host platform's tenancy.
    tenancy_id: Option<HostId>,
    /// Whether it is done.
    status: TodoStatus,
    /// When it was done.
    completed_at: Option<Timestamp>,
    /// Who did it: the actor of the first proof of payment.
    completed_by: Option<String>,
    /// When it was created.
    created_at: Timestamp,
}

/// Creates a todo. The same `id` with the same values answers the row again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "CreateTodoInput")]
pub struct CreateInput {
    /// The host platform's own id; one is made where it is left out.
    id: Option<HostId>,
    /// What is to be done. 1 to 200 characters, no card numbers.
    title: OneLine<200>,
    /// The host platform's tenancy.
    tenancy_id: Option<HostId>,
}

/// Returns one todo.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "GetTodoInput")]
pub struct GetInput {
    /// The todo's id.
    todo_id: String,
}

/// Lists todos, newest first, page by page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ListTodosInput")]
pub struct ListInput {
    /// Only in this status.
    status: Option<TodoStatus>,
    /// Only of this tenancy.
    tenancy_id: Option<HostId>,
    /// Where the page before ended: its `nextCursor`.
    cursor: Option<Cursor>,
    /// How many at most: 1 to 100, 20 unless said.
    limit: Option<Limit>,
}

/// See [`CreateInput`].
async fn create(call: Call, input: CreateInput) -> Result<Todo, Error> {
    let ledger = call.app.ledger.clone();
    ledger.write(move |tx| async move { enter(tx, &call, input).await }.boxed()).await
}

async fn enter(tx: &Tx, call: &Call, input: CreateInput) -> Result<Todo, Error> {
    let row = TodoRow {
        agency_id: call.caller.agency_id,
        id: input.id.unwrap_or_else(HostId::generate),
        title: input.title,
        tenancy_id: input.tenancy_id,
        status: TodoStatus::Open,
        completed_at: None,
        completed_by: None,
        created_at: Timestamp::now(),
    };
    if tx.insert_todo(&row).await? {
        return Ok(Todo::from(row));
    }
    let known = tx.todo(row.agency_id, &row.id).await?;
    known
        .filter(|known| (&known.title, &known.tenancy_id) == (&row.title, &row.tenancy_id))
        .map(Todo::from)
        .ok_or(Error::IdempotencyMismatch { what: "id", ledger_entry_id: None })
}

/// See [`GetInput`].
async fn get(call: Call, input: GetInput) -> Result<Todo, Error> {
    let absent = Error::not_found("todo", &input.todo_id);
    let Some(id) = HostId::parse(&input.todo_id) else { return Err(absent) };
    let agency = call.caller.agency_id;
    let found = call.app.ledger.read(move |tx| async move { tx.todo(agency, id).await }.boxed()).await?;
    found.map(Todo::from).ok_or(absent)
}

/// See [`ListInput`].
async fn list(call: Call, input: ListInput) -> Result<Page<Todo>, Error> {
    let limit = input.limit.unwrap_or_default();
    let page = HostPage {
        agency: call.caller.agency_id,
        status: input.status,
        tenancy: input.tenancy_id,
        before: input.cursor.map(|cursor| cursor.host(List::Todos)).transpose()?,
        limit: limit.and_one(),
    };
    let rows = call.app.ledger.read(move |tx| async move { tx.todo_page(&page).await }.boxed()).await?;
    Ok(Page::of(rows, limit, |row| Cursor::of_host(List::Todos, row.created_at, &row.id), Todo::from))
}

impl From<TodoRow> for Todo {
    fn from(row: TodoRow) -> Self {
        let TodoRow { agency_id: _, id, title, tenancy_id, status, completed_at, completed_by, created_at } =
            row;
        Self { id, title, tenancy_id, status, completed_at, completed_by, created_at }
    }
}

/// Examples of `todo.create` for the published document.
const CREATE_EXAMPLES: &[Example] = &[Example::new(
    "a todo of the platform",
    r#"{
        "id": "todo-1201",
        "title": "Collect the holding deposit",
        "tenancyId": "tenancy-77"
    }"#,
    r#"{
        "id": "todo-1201",
        "title": "Collect the holding deposit",
        "tenancyId": "tenancy-77",
        "status": "open",
        "completedAt": null,
        "completedBy": null,
        "createdAt": "2026-11-28T13:07:31.122Z"
    }"#,
)];

/// Examples of `todo.get` for the published document.
const GET_EXAMPLES: &[Example] = &[Example::new(
    "one todo",
    r#"{
        "todoId": "todo-1201"
    }"#,
    r#"{
        "id": "todo-1201",
        "title": "Collect the holding deposit",
        "tenancyId": "tenancy-77",
        "status": "open",
        "completedAt": null,
        "completedBy": null,
        "createdAt": "2026-11-28T13:07:31.122Z"
    }"#,
)];

/// Examples of `todo.list` for the published document.
const LIST_EXAMPLES: &[Example] = &[Example::new(
    "what is to be done",
    r#"{
        "status": "open"
    }"#,
    r#"{
        "items": [
            {
                "id": "todo-1201",
                "title": "Collect the holding deposit",
                "tenancyId": "tenancy-77",
                "status": "open",
                "completedAt": null,
                "completedBy": null,
                "createdAt": "2026-11-28T13:07:31.122Z"
            }
        ],
        "nextCursor": null
    }"#,
)];
