//! The ledger's rows themselves.

use diesel::{
    dsl::SqlTypeOf,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::Bool,
};
use diesel_async::RunQueryDsl;

use super::{Conn, Db};
use crate::{
    domain::{AgencyId, HostId, IdempotencyKey, PaymentId},
    ledger::{
        PaymentPage,
        rows::{PaymentChange, PaymentRow, ShownPayment},
        sql_types as st,
    },
    schema::{checkout_sessions, payments_ledger::dsl},
};

pub async fn insert_payment(conn: &mut Conn, row: &PaymentRow) -> QueryResult<bool> {
    let insert = fixed!(diesel::insert_into(dsl::payments_ledger).values(row).on_conflict_do_nothing());
    Ok(insert.execute(conn).await? == 1)
}

pub async fn payment(conn: &mut Conn, agency: AgencyId, id: PaymentId) -> QueryResult<Option<ShownPayment>> {
    let found: Option<ShownPayment> = ShownByIds(&[id]).get_result(conn).await.optional()?;
    Ok(found.filter(|row| row.agency_id == agency))
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

pub async fn payment_page(conn: &mut Conn, page: &PaymentPage) -> QueryResult<Vec<ShownPayment>> {
    ShownPage(page).load(conn).await
}

pub async fn update_payment(conn: &mut Conn, row: &PaymentRow) -> QueryResult<()> {
    let change = PaymentChange::from(row);
    fixed!(diesel::update(dsl::payments_ledger.find(row.id)).set(change)).execute(conn).await.map(drop)
}

/// What is shown of `p`, a row of the ledger, in a status. Few payments have a link, and only for those is it looked up.
macro_rules! shown {
    ($in_status:literal) => {
        concat!(
            "p.id, p.agency_id, p.status, p.payment_type, p.method, p.method_forced, p.amount_pence, p.currency, \
             p.description, p.tenancy_id, p.todo_id, p.custom_payment_task_id, p.manually_paid_at, \
             p.manual_payment_reference, p.payment_intent_id, p.paid_at, p.failure_reason, p.refunded_pence, \
             p.refunded_at, p.open_anomalies, p.created_by, p.created_at, p.updated_at, case when ",
            $in_status,
            " in ('pending', 'failed') then (select url from checkout_sessions as s where s.payment_id = p.id \
             and s.attempt = p.latest_attempt and s.state = 'open') end, case when ",
            $in_status,
            " in ('pending', 'failed') then (select expires_at from checkout_sessions as s where s.payment_id = p.id \
             and s.attempt = p.latest_attempt and s.state = 'open') end"
        )
    };
}
pub(super) use shown;

/// The types of what is shown.
pub type Shown = (
    SqlTypeOf<dsl::id>,
    SqlTypeOf<dsl::agency_id>,
    SqlTypeOf<dsl::status>,
    SqlTypeOf<dsl::payment_type>,
    SqlTypeOf<dsl::method>,
    SqlTypeOf<dsl::method_forced>,
    SqlTypeOf<dsl::amount_pence>,
    SqlTypeOf<dsl::currency>,
    SqlTypeOf<dsl::description>,
    SqlTypeOf<dsl::tenancy_id>,
    SqlTypeOf<dsl::todo_id>,
    SqlTypeOf<dsl::custom_payment_task_id>,
    SqlTypeOf<dsl::manually_paid_at>,
    SqlTypeOf<dsl::manual_payment_reference>,
    SqlTypeOf<dsl::payment_intent_id>,
    SqlTypeOf<dsl::paid_at>,
    SqlTypeOf<dsl::failure_reason>,
    SqlTypeOf<dsl::refunded_pence>,
    SqlTypeOf<dsl::refunded_at>,
    SqlTypeOf<dsl::open_anomalies>,
    SqlTypeOf<dsl::created_by>,
    SqlTypeOf<dsl::created_at>,
    SqlTypeOf<dsl::updated_at>,
    SqlTypeOf<checkout_sessions::url>,
    SqlTypeOf<checkout_sessions::expires_at>,
);

/// Payments as they are shown, by their ids.
pub struct ShownByIds<'a>(pub &'a [PaymentId]);

impl QueryId for ShownByIds<'_> {
    type QueryId = ShownByIds<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for ShownByIds<'_> {
    type SqlType = Shown;
}

impl QueryFragment<Db> for ShownByIds<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        out.push_sql("select ");
        out.push_sql(shown!("p.status"));
        out.push_sql(" from payments_ledger as p where p.id ");
        is_one_of!(out, st::Uuid, self.0);
        Ok(())
    }
}

/// A page of payments as they are shown. Whatever it is filtered by, an index has exactly its rows in its order, so that
/// it is as quick where one row in a million matches as where all do. A tenancy has few payments, which are looked through.
pub struct ShownPage<'a>(pub &'a PaymentPage);

impl QueryId for ShownPage<'_> {
    type QueryId = ();
    // Its text depends on which filters there are. It is prepared once all the same, under its text.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for ShownPage<'_> {
    type SqlType = Shown;
}

impl QueryFragment<Db> for ShownPage<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        let page = self.0;
        out.push_sql("select ");
        out.push_sql(shown!("p.status"));
        out.push_sql(" from payments_ledger as p where p.agency_id = ");
        out.push_bind_param::<st::Uuid, _>(&page.agency)?;
        if let Some(tenancy) = &page.tenancy {
            out.push_sql(" and p.tenancy_id = ");
            out.push_bind_param::<st::Text, _>(tenancy)?;
        }
        // Not the column itself, so that the tenancy's index is taken and no other.
        let aside = if page.tenancy.is_some() { " || ''" } else { "" };
        if let Some(status) = &page.status {
            out.push_sql(" and p.status");
            out.push_sql(aside);
            out.push_sql(" = ");
            out.push_bind_param::<st::Text, _>(status)?;
        }
        if let Some(payment_type) = &page.payment_type {
            out.push_sql(" and p.payment_type");
            out.push_sql(aside);
            out.push_sql(" = ");
            out.push_bind_param::<st::Text, _>(payment_type)?;
        }
        if let Some(before) = &page.before {
            out.push_sql(" and p.id < ");
            out.push_bind_param::<st::Uuid, _>(before)?;
        }
        out.push_sql(" order by p.id desc limit ");
        out.push_bind_param::<st::BigInt, _>(&page.limit)
    }
}
