//! Pages of the audit log, and its changes of statuses as followers read them.

use diesel::{
    dsl::SqlTypeOf,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
};
use diesel_async::RunQueryDsl;

use super::{Conn, Db};
use crate::{
    domain::{AgencyId, PaymentId},
    ledger::{
        ChangesAfter, sql_types as st,
        table::Selected,
        tables::{AuditRow, ChangeRow, ShownPayment},
    },
    schema::audit_log::dsl,
};

pub async fn payment_trail(
    conn: &mut Conn,
    agency: AgencyId,
    payment: PaymentId,
    after: i64,
    limit: i64,
) -> QueryResult<Vec<AuditRow>> {
    dsl::audit_log
        .filter(dsl::agency_id.eq(agency))
        .filter(dsl::payment_id.eq(payment))
        .filter(dsl::version.gt(after))
        .order(dsl::version)
        .limit(limit)
        .select(AuditRow::as_select())
        .load(conn)
        .await
}

pub async fn agency_trail(
    conn: &mut Conn,
    agency: AgencyId,
    after: i64,
    limit: i64,
) -> QueryResult<Vec<(i64, AuditRow)>> {
    dsl::audit_log
        .filter(dsl::agency_id.eq(agency))
        .filter(dsl::entry.gt(after))
        .order(dsl::entry)
        .limit(limit)
        .select((dsl::entry, AuditRow::as_select()))
        .load(conn)
        .await
}

pub async fn changes_after(
    conn: &mut Conn,
    after: &ChangesAfter,
) -> QueryResult<Vec<(ChangeRow, ShownPayment)>> {
    Changes::After(after).load(conn).await
}

pub async fn latest_change(
    conn: &mut Conn,
    agency: AgencyId,
    payment: PaymentId,
) -> QueryResult<Option<(ChangeRow, ShownPayment)>> {
    Changes::Latest(agency, payment).get_result(conn).await.optional()
}

/// Changes of statuses, each beside its payment as it now stands.
enum Changes<'a> {
    /// Those with numbers, in their order.
    After(&'a ChangesAfter),
    /// A payment's last, with a number or without.
    Latest(AgencyId, PaymentId),
}

impl QueryId for Changes<'_> {
    type QueryId = ();
    // It has three texts, and is prepared under each.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Changes<'_> {
    type SqlType = (
        (
            SqlTypeOf<dsl::entry>,
            SqlTypeOf<dsl::sequence>,
            SqlTypeOf<dsl::from_status>,
            SqlTypeOf<dsl::to_status>,
            SqlTypeOf<dsl::changes>,
        ),
        <ShownPayment as Selected>::SqlType,
    );
}

impl QueryFragment<Db> for Changes<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        out.push_sql("select c.entry, c.sequence, c.from_status, c.to_status, c.changes, ");
        out.push_sql(ShownPayment::LIST);
        out.push_sql(
            " from audit_log as c join payments_ledger as row \
             on row.agency_id = c.agency_id and row.id = c.payment_id where c.agency_id = ",
        );
        match self {
            Self::After(ChangesAfter { agency, payment, sequence, limit }) => {
                out.push_bind_param::<st::Uuid, _>(agency)?;
                // A payment has few rows and an agency many, so each is read through an index of its own. The orders agree.
                let order = match payment {
                    Some(payment) => {
                        out.push_sql(" and c.payment_id = ");
                        out.push_bind_param::<st::Uuid, _>(payment)?;
                        "c.version"
                    }
                    None => "c.sequence",
                };
                out.push_sql(" and c.sequence > ");
                out.push_bind_param::<st::BigInt, _>(sequence)?;
                out.push_sql(" order by ");
                out.push_sql(order);
                out.push_sql(" limit ");
                out.push_bind_param::<st::BigInt, _>(limit)
            }
            Self::Latest(agency, payment) => {
                out.push_bind_param::<st::Uuid, _>(agency)?;
                out.push_sql(" and c.payment_id = ");
                out.push_bind_param::<st::Uuid, _>(payment)?;
                out.push_sql(
                    " and c.from_status is distinct from c.to_status order by c.version desc limit 1",
                );
                Ok(())
            }
        }
    }
}
