//! The sealer: gives each change of a status its number and folds it into the totals.
//!
//! It runs a moment behind the writes, so that no payment ever waits for a counter of its agency. Numbers are dense per
//! agency and agree with each payment's versions. One instance at a time seals; the others find the work locked.

use std::collections::{BTreeMap, btree_map::Entry};

use futures_util::FutureExt;

use crate::{
    App,
    domain::{AgencyId, PaymentStatus, Timestamp},
    error::Error,
    ledger::Tx,
};

/// The name of the lock.
const JOB: &str = "seal";
/// Rows sealed in one transaction: a few milliseconds of work.
const BATCH: i64 = 500;

/// Seals what is unsealed; says how many rows.
pub async fn seal_batch(app: &App) -> Result<usize, Error> {
    // Mostly there are none, and looking is cheaper than locking.
    if !app.ledger.read(|tx| async move { tx.has_unsealed().await }.boxed()).await? {
        return Ok(0);
    }
    let sealed = app.ledger.write(|tx| async move { seal(tx).await }.boxed()).await?;
    if sealed > 0 {
        app.news.sealed();
    }
    Ok(sealed)
}

async fn seal(tx: &mut Tx) -> Result<usize, Error> {
    if !tx.lock_job(JOB, Timestamp::now()).await? {
        return Ok(0);
    }
    let rows = tx.unsealed(BATCH).await?;
    let mut sequences: BTreeMap<AgencyId, i64> = BTreeMap::new();
    let mut totals: BTreeMap<(AgencyId, PaymentStatus), (i64, i64)> = BTreeMap::new();
    for row in &rows {
        let sequence = match sequences.entry(row.agency_id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(tx.last_sequence(row.agency_id).await?),
        };
        *sequence += 1;
        tx.seal(row.entry, *sequence).await?;
        let pence = row.amount_pence.unwrap_or_default().get();
        for (status, sign) in [(row.from_status, -1), (row.to_status, 1)] {
            if let Some(status) = status {
                let total = totals.entry((row.agency_id, status)).or_default();
                total.0 += sign;
                total.1 += sign * pence;
            }
        }
    }
    for ((agency, status), (payments, pence)) in totals {
        if (payments, pence) != (0, 0) {
            tx.add_to_totals(agency, status, payments, pence).await?;
        }
    }
    Ok(rows.len())
}
