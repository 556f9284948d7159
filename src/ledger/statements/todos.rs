//! Todos of the host platform.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, Db};
use crate::{
    domain::{AgencyId, HostId, Timestamp, TodoStatus},
    ledger::{HostPage, rows::TodoRow},
    schema::todos::dsl,
};

pub async fn insert_todo(conn: &mut Conn, row: &TodoRow) -> QueryResult<bool> {
    let added =
        fixed!(diesel::insert_into(dsl::todos).values(row).on_conflict_do_nothing()).execute(conn).await?;
    Ok(added == 1)
}

pub async fn todo(conn: &mut Conn, agency: AgencyId, id: &HostId) -> QueryResult<Option<TodoRow>> {
    dsl::todos.find((agency, id)).select(TodoRow::as_select()).first(conn).await.optional()
}

pub async fn lock_todo(conn: &mut Conn, agency: AgencyId, id: &HostId) -> QueryResult<Option<TodoRow>> {
    for_update!(dsl::todos.find((agency, id)).select(TodoRow::as_select())).first(conn).await.optional()
}

pub async fn todo_page(conn: &mut Conn, page: &HostPage<TodoStatus>) -> QueryResult<Vec<TodoRow>> {
    let mut query = dsl::todos
        .select(TodoRow::as_select())
        .filter(dsl::agency_id.eq(page.agency))
        .order((dsl::created_at.desc(), dsl::id.desc()))
        .limit(page.limit)
        .into_boxed::<Db>();
    if let Some(status) = page.status {
        query = query.filter(dsl::status.eq(status));
    }
    if let Some(tenancy) = &page.tenancy {
        query = query.filter(dsl::tenancy_id.eq(tenancy));
    }
    if let Some((at, id)) = &page.before {
        // The first condition is implied by the second; it is what lets the index be entered at the right place.
        query = query.filter(dsl::created_at.le(at)).filter(dsl::created_at.lt(at).or(dsl::id.lt(id)));
    }
    query.load(conn).await
}

pub async fn complete_todo(
    conn: &mut Conn,
    agency: AgencyId,
    id: &HostId,
    by: &str,
    at: Timestamp,
) -> QueryResult<()> {
    let open = dsl::todos.find((agency, id)).filter(dsl::status.eq(TodoStatus::Open));
    let change = (dsl::status.eq(TodoStatus::Complete), dsl::completed_at.eq(at), dsl::completed_by.eq(by));
    fixed!(diesel::update(open).set(change)).execute(conn).await.map(drop)
}
