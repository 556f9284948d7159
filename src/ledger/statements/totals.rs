//! What the payments of agencies add up to.

use diesel::{
    QueryResult,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
};

use super::Db;
use crate::{domain::AgencyId, ledger::sql_types as st};

/// Totals and what has no number yet, in one statement, so that no change is missed or counted twice. Diesel's
/// query builder has no `union` inside `from`; a fragment with a static id is prepared once, which `sql_query` is not.
pub struct TotalsOf<'a>(pub &'a [AgencyId]);

impl QueryId for TotalsOf<'_> {
    type QueryId = TotalsOf<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for TotalsOf<'_> {
    type SqlType = (st::Uuid, st::Text, st::BigInt, st::BigInt);
}

impl QueryFragment<Db> for TotalsOf<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        out.push_sql(
            "select agency_id, status, cast(sum(payments) as bigint), cast(sum(pence) as bigint) from (\
             select agency_id, status, payments, total_pence as pence from agency_totals where agency_id ",
        );
        is_one_of!(out, st::Uuid, self.0);
        out.push_sql(
            " union all select agency_id, to_status, 1, amount_pence from audit_log \
             where sequence is null and to_status is not null and from_status is distinct from to_status \
             and agency_id ",
        );
        is_one_of!(out, st::Uuid, self.0);
        out.push_sql(
            " union all select agency_id, from_status, -1, -amount_pence from audit_log \
             where sequence is null and from_status is not null and from_status is distinct from to_status \
             and agency_id ",
        );
        is_one_of!(out, st::Uuid, self.0);
        out.push_sql(") changes group by agency_id, status");
        Ok(())
    }
}
