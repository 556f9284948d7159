//! The ledger's rows themselves.

use diesel::{
    expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate},
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::Bool,
};
use diesel_async::RunQueryDsl;

use super::{Conn, Db};
use crate::{
    domain::{AgencyId, HostId, IdempotencyKey, PaymentId, PaymentStatus, PaymentType},
    ledger::{
        PaymentPage,
        rows::{PaymentChange, PaymentRow, SessionRow},
        sql_types as st,
    },
    schema::payments_ledger::dsl,
};

/// A payment beside its newest session: the link it carries.
macro_rules! with_newest_session {
    () => {
        $crate::schema::payments_ledger::table
            .left_join(
                $crate::schema::checkout_sessions::table.on($crate::schema::checkout_sessions::payment_id
                    .eq($crate::schema::payments_ledger::id)
                    .and(
                        $crate::schema::checkout_sessions::attempt
                            .eq($crate::schema::payments_ledger::latest_attempt),
                    )),
            )
            .select((PaymentRow::as_select(), Option::<SessionRow>::as_select()))
    };
}
#[allow(unused_imports, reason = "one of the databases asks for many at once")]
pub(in super::super) use with_newest_session;

pub async fn insert_payment(conn: &mut Conn, row: &PaymentRow) -> QueryResult<bool> {
    let insert = diesel::insert_into(dsl::payments_ledger).values(row).on_conflict_do_nothing();
    Ok(insert.execute(conn).await? == 1)
}

pub async fn payment(
    conn: &mut Conn,
    agency: AgencyId,
    id: PaymentId,
) -> QueryResult<Option<(PaymentRow, Option<SessionRow>)>> {
    with_newest_session!()
        .filter(dsl::id.eq(id))
        .filter(dsl::agency_id.eq(agency))
        .first(conn)
        .await
        .optional()
}

pub async fn payment_by_id(conn: &mut Conn, id: PaymentId) -> QueryResult<Option<PaymentRow>> {
    dsl::payments_ledger.find(id).select(PaymentRow::as_select()).first(conn).await.optional()
}

pub async fn lock_payment(conn: &mut Conn, id: PaymentId) -> QueryResult<Option<PaymentRow>> {
    for_update!(dsl::payments_ledger.find(id).select(PaymentRow::as_select())).first(conn).await.optional()
}

pub async fn payment_by_key(
    conn: &mut Conn,
    agency: AgencyId,
    key: &IdempotencyKey,
) -> QueryResult<Option<PaymentRow>> {
    dsl::payments_ledger
        .filter(dsl::agency_id.eq(agency))
        .filter(dsl::idempotency_key.eq(key))
        .select(PaymentRow::as_select())
        .first(conn)
        .await
        .optional()
}

pub async fn open_payment_of_task(
    conn: &mut Conn,
    agency: AgencyId,
    task: &HostId,
) -> QueryResult<Option<PaymentId>> {
    // Literal, so that the planner sees that the partial index `payments_ledger_one_open_per_task` answers it.
    let open = diesel::dsl::sql::<Bool>("status in ('pending', 'processing')");
    let payment = dsl::payments_ledger
        .filter(dsl::agency_id.eq(agency))
        .filter(dsl::custom_payment_task_id.eq(task))
        .filter(open)
        .select(dsl::id);
    fixed!(payment).get_result(conn).await.optional()
}

pub async fn payment_page(
    conn: &mut Conn,
    page: &PaymentPage,
) -> QueryResult<Vec<(PaymentRow, Option<SessionRow>)>> {
    let mut query = with_newest_session!()
        .filter(dsl::agency_id.eq(page.agency))
        .order(dsl::id.desc())
        .limit(page.limit)
        .into_boxed::<Db>();
    if let Some(before) = page.before {
        query = query.filter(dsl::id.lt(before));
    }
    match (&page.tenancy, page.status, page.payment_type) {
        (None, None, None) => {}
        (None, Some(status), Some(payment_type)) => {
            query = query.filter(dsl::status.eq(status)).filter(dsl::payment_type.eq(payment_type));
        }
        (None, Some(_), None) | (None, None, Some(_)) => query = query.filter(IsAmongNewest(page)),
        // A tenancy has few payments.
        (Some(tenancy), status, payment_type) => {
            query = query.filter(dsl::tenancy_id.eq(tenancy));
            if let Some(status) = status {
                query = query.filter(dsl::status.eq(status));
            }
            if let Some(payment_type) = payment_type {
                query = query.filter(dsl::payment_type.eq(payment_type));
            }
        }
    }
    query.load(conn).await
}

/// `id in (the newest of each status and type asked for)`. Each of these few is read from one place of the index
/// `payments_ledger_by_status` and no further than a page, so a list is as quick where one row in a million matches
/// as where all do.
struct IsAmongNewest<'a>(&'a PaymentPage);

impl QueryId for IsAmongNewest<'_> {
    type QueryId = ();
    // Its text depends on the page. It is prepared once all the same, under its text.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Expression for IsAmongNewest<'_> {
    type SqlType = Bool;
}

impl<Rows> AppearsOnTable<Rows> for IsAmongNewest<'_> {}

impl<Rows> SelectableExpression<Rows> for IsAmongNewest<'_> {}

impl<By> ValidGrouping<By> for IsAmongNewest<'_> {
    type IsAggregate = is_aggregate::Never;
}

impl QueryFragment<Db> for IsAmongNewest<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        let page = self.0;
        let statuses = page.status.as_ref().map_or(PaymentStatus::ALL, std::slice::from_ref);
        let types = page.payment_type.as_ref().map_or(PaymentType::ALL, std::slice::from_ref);
        out.push_sql("payments_ledger.id in (select id from (");
        let each = statuses.iter().flat_map(|status| types.iter().map(move |of| (status, of)));
        for (number, (status, payment_type)) in each.enumerate() {
            out.push_sql(if number == 0 { "" } else { " union all " });
            out.push_sql("select id from (select id from payments_ledger where agency_id = ");
            out.push_bind_param::<st::Uuid, _>(&page.agency)?;
            out.push_sql(" and status = ");
            out.push_bind_param::<st::Text, _>(status)?;
            out.push_sql(" and payment_type = ");
            out.push_bind_param::<st::Text, _>(payment_type)?;
            if let Some(before) = &page.before {
                out.push_sql(" and id < ");
                out.push_bind_param::<st::Uuid, _>(before)?;
            }
            out.push_sql(" order by id desc limit ");
            out.push_bind_param::<st::BigInt, _>(&page.limit)?;
            out.push_sql(") as newest");
        }
        out.push_sql(") as candidates order by id desc limit ");
        out.push_bind_param::<st::BigInt, _>(&page.limit)?;
        out.push_sql(")");
        Ok(())
    }
}

pub async fn update_payment(conn: &mut Conn, row: &PaymentRow) -> QueryResult<()> {
    let change = PaymentChange::from(row);
    fixed!(diesel::update(dsl::payments_ledger.find(row.id)).set(change)).execute(conn).await.map(drop)
}
