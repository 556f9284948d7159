//! Pages of the ledger.

use diesel::{
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
};

use super::Db;
use crate::ledger::{PaymentPage, sql_types as st, table::Selected, tables::ShownPayment};

/// A page of payments as they are shown. Whatever it is filtered by, an index has exactly its rows in its order, so that
/// it is as quick where one row in a million matches as where all do. A tenancy has few payments, which are looked through.
pub struct ShownPage<'a>(pub &'a PaymentPage);

impl QueryId for ShownPage<'_> {
    type QueryId = ();
    // Its text depends on which filters there are. It is prepared once all the same, under its text.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for ShownPage<'_> {
    type SqlType = <ShownPayment as Selected>::SqlType;
}

impl QueryFragment<Db> for ShownPage<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        let page = self.0;
        out.push_sql("select ");
        out.push_sql(ShownPayment::LIST);
        out.push_sql(" from payments_ledger as row where row.agency_id = ");
        out.push_bind_param::<st::Uuid, _>(&page.agency)?;
        if let Some(tenancy) = &page.tenancy {
            out.push_sql(" and row.tenancy_id = ");
            out.push_bind_param::<st::Text, _>(tenancy)?;
        }
        // Not the column itself, so that the tenancy's index is taken and no other.
        let aside = if page.tenancy.is_some() { " || ''" } else { "" };
        if let Some(status) = &page.status {
            out.push_sql(" and row.status");
            out.push_sql(aside);
            out.push_sql(" = ");
            out.push_bind_param::<st::Text, _>(status)?;
        }
        if let Some(payment_type) = &page.payment_type {
            out.push_sql(" and row.payment_type");
            out.push_sql(aside);
            out.push_sql(" = ");
            out.push_bind_param::<st::Text, _>(payment_type)?;
        }
        if let Some(before) = &page.before {
            out.push_sql(" and row.id < ");
            out.push_bind_param::<st::Uuid, _>(before)?;
        }
        out.push_sql(" order by row.id desc limit ");
        out.push_bind_param::<st::BigInt, _>(&page.limit)
    }
}
