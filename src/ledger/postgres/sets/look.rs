//! The statements that look, and those that lock what they look at.

use diesel::{
    dsl::sql,
    prelude::*,
    sql_types::{Array, Bool, Text},
};
use diesel_async::RunQueryDsl;
use futures_util::future::try_join_all;

use super::{
    super::statements::{
        payments::{ShownByIds, ShownPage},
        totals::TotalsOf,
    },
    *,
};
use crate::{
    ledger::{PaymentPage, sql_types::Uuid},
    schema::{
        agencies, checkout_sessions, custom_payment_tasks, payment_intents, payments_ledger,
        processed_events, todos, tokens,
    },
};

/// `(a, b) in (select * from unnest($1, $2))`: rows whose two keys are given side by side.
macro_rules! pairs {
    ($columns:literal, $first:ty: $a:expr, $second:ty: $b:expr) => {
        sql::<Bool>(concat!("(", $columns, ") in (select * from unnest("))
            .bind::<Array<$first>, _>($a)
            .sql(", ")
            .bind::<Array<$second>, _>($b)
            .sql("))")
    };
}

pub async fn token_by_hash(conn: &mut &Conn, asked: &[Sha256]) -> QueryResult<Vec<Option<TokenRow>>> {
    let rows =
        tokens::table.filter(tokens::sha256.eq_any(asked)).select(TokenRow::as_select()).load(conn).await?;
    Ok(one_each(asked.iter().map(|sha256| sha256.0), rows, |row: &TokenRow| row.sha256.0))
}

pub async fn event(conn: &mut &Conn, asked: &[EventId]) -> QueryResult<Vec<Option<EventRow>>> {
    use processed_events::dsl;
    let rows = dsl::processed_events.filter(dsl::event_id.eq_any(asked)).select(EventRow::as_select());
    Ok(one_each(asked.iter().cloned(), rows.load(conn).await?, |row: &EventRow| row.event_id.clone()))
}

pub async fn intent(conn: &mut &Conn, asked: &[IntentId]) -> QueryResult<Vec<Option<IntentRow>>> {
    use payment_intents::dsl;
    let rows = dsl::payment_intents.filter(dsl::intent_id.eq_any(asked)).select(IntentRow::as_select());
    Ok(one_each(asked.iter().cloned(), rows.load(conn).await?, |row: &IntentRow| row.intent_id.clone()))
}

pub async fn intents_of(conn: &mut &Conn, asked: &[PaymentId]) -> QueryResult<Vec<Vec<IntentRow>>> {
    use payment_intents::dsl;
    let rows = dsl::payment_intents.filter(dsl::payment_id.eq_any(asked)).select(IntentRow::as_select());
    Ok(all_each(asked.iter().copied(), rows.load(conn).await?, |row: &IntentRow| row.payment_id))
}

pub async fn session(conn: &mut &Conn, asked: &[(PaymentId, i32)]) -> QueryResult<Vec<Option<SessionRow>>> {
    let payments: Vec<PaymentId> = asked.iter().map(|(payment, _)| *payment).collect();
    let rows = sessions_by_payment(conn, &payments).await?;
    Ok(one_each(asked.iter().copied(), rows, |row| (row.payment_id, row.attempt)))
}

pub async fn sessions_of(conn: &mut &Conn, asked: &[PaymentId]) -> QueryResult<Vec<Vec<SessionRow>>> {
    let rows = sessions_by_payment(conn, asked).await?;
    Ok(all_each(asked.iter().copied(), rows, |row| row.payment_id))
}

async fn sessions_by_payment(conn: &mut &Conn, payments: &[PaymentId]) -> QueryResult<Vec<SessionRow>> {
    use checkout_sessions::dsl;
    let rows =
        dsl::checkout_sessions.filter(dsl::payment_id.eq_any(payments)).select(SessionRow::as_select());
    rows.order((dsl::payment_id, dsl::attempt)).load(conn).await
}

pub async fn session_by_id(conn: &mut &Conn, asked: &[SessionId]) -> QueryResult<Vec<Option<SessionRow>>> {
    use checkout_sessions::dsl;
    let rows = dsl::checkout_sessions.filter(dsl::session_id.eq_any(asked)).select(SessionRow::as_select());
    let rows: Vec<SessionRow> = rows.load(conn).await?;
    Ok(one_each(asked.iter().map(|id| Some(id.clone())), rows, |row| row.session_id.clone()))
}

pub async fn payment(
    conn: &mut &Conn,
    asked: &[(AgencyId, PaymentId)],
) -> QueryResult<Vec<Option<ShownPayment>>> {
    let ids: Vec<PaymentId> = asked.iter().map(|(_, id)| *id).collect();
    let rows: Vec<ShownPayment> = ShownByIds(&ids).load(conn).await?;
    Ok(one_each(asked.iter().copied(), rows, |row| (row.agency_id, row.id)))
}

pub async fn payment_page(conn: &mut &Conn, asked: &[PaymentPage]) -> QueryResult<Vec<Vec<ShownPayment>>> {
    // Each has an index of its own, so there is no statement for many; they share the way there and back.
    let conn = *conn;
    try_join_all(asked.iter().map(|page| async move { ShownPage(page).load(&mut &*conn).await })).await
}

pub async fn lock_payment(conn: &mut &Conn, asked: &[PaymentId]) -> QueryResult<Vec<Option<PaymentRow>>> {
    use payments_ledger::dsl;
    let rows = dsl::payments_ledger.filter(dsl::id.eq_any(asked)).select(PaymentRow::as_select());
    let rows = rows.order(dsl::id).for_no_key_update().load(conn).await?;
    Ok(one_each(asked.iter().copied(), rows, |row: &PaymentRow| row.id))
}

pub async fn payment_by_key(
    conn: &mut &Conn,
    asked: &[(AgencyId, IdempotencyKey)],
) -> QueryResult<Vec<Option<PaymentRow>>> {
    let (agencies, keys): (Vec<AgencyId>, Vec<IdempotencyKey>) = asked.iter().cloned().unzip();
    let given = pairs!("agency_id, idempotency_key", Uuid: agencies, Text: keys);
    let rows = fixed!(payments_ledger::table.filter(given).select(PaymentRow::as_select()));
    let rows: Vec<PaymentRow> = rows.load(conn).await?;
    let key =
        |row: &PaymentRow| (row.agency_id, row.idempotency_key.as_ref().map(|key| key.as_str().to_owned()));
    Ok(one_each(asked.iter().map(|(agency, asked)| (*agency, Some(asked.as_str().to_owned()))), rows, key))
}

pub async fn open_payment_of_task(
    conn: &mut &Conn,
    asked: &[(AgencyId, HostId)],
) -> QueryResult<Vec<Option<PaymentId>>> {
    use payments_ledger::dsl;
    let (agencies, tasks): (Vec<AgencyId>, Vec<HostId>) = asked.iter().cloned().unzip();
    let given = pairs!("agency_id, custom_payment_task_id", Uuid: agencies, Text: tasks);
    // Literal, so that the planner sees that the partial index `payments_ledger_one_open_per_task` answers it.
    let open = sql::<Bool>("status in ('pending', 'processing')");
    let rows = dsl::payments_ledger.filter(given).filter(open).select((
        dsl::agency_id,
        dsl::custom_payment_task_id,
        dsl::id,
    ));
    let rows: Vec<(AgencyId, Option<HostId>, PaymentId)> = fixed!(rows).load(conn).await?;
    let found = one_each(asked.iter().map(|(agency, task)| (*agency, Some(task.clone()))), rows, |row| {
        (row.0, row.1.clone())
    });
    Ok(found.into_iter().map(|row| row.map(|(_, _, id)| id)).collect())
}

pub async fn todo(conn: &mut &Conn, asked: &[(AgencyId, HostId)]) -> QueryResult<Vec<Option<TodoRow>>> {
    let (agencies, ids): (Vec<AgencyId>, Vec<HostId>) = asked.iter().cloned().unzip();
    let rows =
        todos::table.filter(pairs!("agency_id, id", Uuid: agencies, Text: ids)).select(TodoRow::as_select());
    Ok(one_each(asked.iter().cloned(), fixed!(rows).load(conn).await?, |row: &TodoRow| {
        (row.agency_id, row.id.clone())
    }))
}

pub async fn lock_todo(conn: &mut &Conn, asked: &[(AgencyId, HostId)]) -> QueryResult<Vec<Option<TodoRow>>> {
    use todos::dsl;
    let (agencies, ids): (Vec<AgencyId>, Vec<HostId>) = asked.iter().cloned().unzip();
    let rows = dsl::todos
        .filter(pairs!("agency_id, id", Uuid: agencies, Text: ids))
        .select(TodoRow::as_select())
        .order((dsl::agency_id, dsl::id))
        .for_no_key_update();
    let rows = fixed!(rows).load(conn).await?;
    Ok(one_each(asked.iter().cloned(), rows, |row: &TodoRow| (row.agency_id, row.id.clone())))
}

pub async fn lock_task(conn: &mut &Conn, asked: &[(AgencyId, HostId)]) -> QueryResult<Vec<Option<TaskRow>>> {
    use custom_payment_tasks::dsl;
    let (agencies, ids): (Vec<AgencyId>, Vec<HostId>) = asked.iter().cloned().unzip();
    let rows = dsl::custom_payment_tasks
        .filter(pairs!("agency_id, id", Uuid: agencies, Text: ids))
        .select(TaskRow::as_select())
        .order((dsl::agency_id, dsl::id))
        .for_no_key_update();
    let rows = fixed!(rows).load(conn).await?;
    Ok(one_each(asked.iter().cloned(), rows, |row: &TaskRow| (row.agency_id, row.id.clone())))
}

pub async fn agency(conn: &mut &Conn, asked: &[AgencyId]) -> QueryResult<Vec<Option<AgencyRow>>> {
    let rows =
        agencies::table.filter(agencies::id.eq_any(asked)).select(AgencyRow::as_select()).load(conn).await?;
    Ok(one_each(asked.iter().copied(), rows, |row: &AgencyRow| row.id))
}

pub async fn payment_totals(
    conn: &mut &Conn,
    asked: &[AgencyId],
) -> QueryResult<Vec<Vec<(PaymentStatus, i64, i64)>>> {
    let rows: Vec<(AgencyId, PaymentStatus, i64, i64)> = TotalsOf(asked).load(conn).await?;
    let found = all_each(asked.iter().copied(), rows, |row| row.0);
    Ok(found
        .into_iter()
        .map(|rows| rows.into_iter().map(|(_, of, count, pence)| (of, count, pence)).collect())
        .collect())
}
