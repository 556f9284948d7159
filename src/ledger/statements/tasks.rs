//! Pages of todos and custom payment tasks: two tables with one way to be listed.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, Db};
use crate::{
    domain::{TaskStatus, TodoStatus},
    ledger::{
        HostPage,
        tables::{TaskRow, TodoRow},
    },
    schema::{custom_payment_tasks, todos},
};

/// A page of `$table`, newest first.
macro_rules! page {
    ($table:ident, $Row:ident, $conn:ident, $page:ident) => {{
        let mut query = $table::table
            .select($Row::as_select())
            .filter($table::agency_id.eq($page.agency))
            .order(($table::created_at.desc(), $table::id.desc()))
            .limit($page.limit)
            .into_boxed::<Db>();
        if let Some(status) = $page.status {
            query = query.filter($table::status.eq(status));
        }
        if let Some(tenancy) = &$page.tenancy {
            query = query.filter($table::tenancy_id.eq(tenancy));
        }
        if let Some((at, id)) = &$page.before {
            // The first condition is implied by the second; it is what lets the index be entered at the right place.
            let older = $table::created_at.lt(at).or($table::id.lt(id));
            query = query.filter($table::created_at.le(at)).filter(older);
        }
        query.load($conn).await
    }};
}

pub async fn todo_page(conn: &mut Conn, page: &HostPage<TodoStatus>) -> QueryResult<Vec<TodoRow>> {
    page!(todos, TodoRow, conn, page)
}

pub async fn task_page(conn: &mut Conn, page: &HostPage<TaskStatus>) -> QueryResult<Vec<TaskRow>> {
    page!(custom_payment_tasks, TaskRow, conn, page)
}
