//! The demo agency of `quittance dev`: some todos and custom payment tasks to pay for.

use futures_util::FutureExt;

use crate::{
    domain::{AgencyId, HostId, OneLine, Pence, TaskStatus, Timestamp, TodoStatus},
    error::Error,
    ledger::{
        Ledger, Tx,
        tables::{TaskRow, TodoRow},
    },
};

/// Its name, by which it is found again.
pub const AGENCY: &str = "Orchard Lettings (demo)";

const TODOS: &[(&str, &str)] = &[
    ("collect-deposit", "Collect the holding deposit for 12 Orchard Row"),
    ("collect-balance", "Collect the move-in balance for 12 Orchard Row"),
    ("renewal-fee", "Collect the renewal fee for Flat 3, Mill Lane"),
];
const TASKS: &[(&str, &str, i64)] = &[
    ("key-replacement", "Replacement keys, 12 Orchard Row", 25_000),
    ("late-check-out", "Late check-out, Flat 3, Mill Lane", 6_500),
];

/// The demo agency, if it is there already.
pub async fn agency(ledger: &Ledger) -> Result<Option<AgencyId>, Error> {
    ledger.read(|tx| async move { Ok(tx.agency_named(AGENCY).await?.map(|agency| agency.id)) }.boxed()).await
}

/// Gives a new demo agency something to be paid for.
pub async fn fill(ledger: &Ledger, agency: AgencyId) -> Result<(), Error> {
    ledger.write(move |tx| async move { insert(tx, agency).await }.boxed()).await
}

async fn insert(tx: &Tx, agency_id: AgencyId) -> Result<(), Error> {
    let title = |text| OneLine::parse(text).map_err(Error::internal);
    let id = |text| HostId::parse(text).ok_or_else(|| Error::internal("a demo id of the wrong form"));
    let created_at = Timestamp::now();
    for (todo, text) in TODOS {
        tx.insert_todo(&TodoRow {
            agency_id,
            id: id(todo)?,
            title: title(text)?,
            tenancy_id: None,
            status: TodoStatus::Open,
            completed_at: None,
            completed_by: None,
            created_at,
        })
        .await?;
    }
    for (task, text, pence) in TASKS {
        tx.insert_task(&TaskRow {
            agency_id,
            id: id(task)?,
            title: title(text)?,
            amount_pence: Pence::new(*pence),
            tenancy_id: None,
            status: TaskStatus::Pending,
            paid_at: None,
            paid_by_payment_id: None,
            created_at,
        })
        .await?;
    }
    Ok(())
}
