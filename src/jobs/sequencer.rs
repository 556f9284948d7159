//! The sequencer: gives each change of a status its number and folds it into the totals.
//!
//! It runs a moment behind the writes, so that no payment ever waits for a counter of its agency. Numbers are dense per
//! agency and agree with each payment's versions. One instance at a time does it; the others find the work locked.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt;

use crate::{
    App,
    domain::{AgencyId, PaymentStatus, Timestamp},
    error::Error,
    ledger::{
        Tx,
        tables::{Numbered, TotalRow},
    },
};

/// The name of the lock.
const JOB: &str = "sequence";
/// Rows numbered in one transaction: a few milliseconds of work.
const BATCH: i64 = 1_000;

/// The same where more has piled up: finding the oldest costs as much as there is, so it is done less often.
const BACKLOG_BATCH: i64 = 10_000;

/// Numbers what has no number; says how many rows, where there may be more of them. Whatever came meanwhile waits for the
/// next time, since one large batch costs less than many small ones.
pub async fn sequence_batch(app: &App) -> Result<usize, Error> {
    // Mostly there are none, and looking is cheaper than locking.
    if !app.ledger.read(|tx| async move { tx.has_unnumbered().await }.boxed()).await? {
        return Ok(0);
    }
    let numbered = app.ledger.write(|tx| async move { sequence(tx).await }.boxed()).await?;
    if numbered > 0 {
        app.change_feed.numbered();
    }
    Ok(if numbered < BATCH as usize { 0 } else { numbered })
}

async fn sequence(tx: &Tx) -> Result<usize, Error> {
    if !tx.lock_job(JOB, Timestamp::now()).await? {
        return Ok(0);
    }
    let mut rows = tx.unnumbered(BATCH).await?;
    if rows.len() == BATCH as usize {
        rows = tx.unnumbered(BACKLOG_BATCH).await?;
    }
    let agencies: BTreeSet<AgencyId> = rows.iter().map(|row| row.agency_id).collect();
    let agencies: Vec<AgencyId> = agencies.into_iter().collect();
    let mut last: BTreeMap<AgencyId, i64> = tx.last_sequences(&agencies).await?.into_iter().collect();
    let mut totals: BTreeMap<(AgencyId, PaymentStatus), (i64, i64)> = BTreeMap::new();
    let mut numbered = Vec::with_capacity(rows.len());
    for row in &rows {
        let sequence = last.entry(row.agency_id).or_default();
        *sequence += 1;
        numbered.push(Numbered { agency_id: row.agency_id, entry: row.entry, sequence: *sequence });
        let pence = row.amount_pence.unwrap_or_default().get();
        for (status, sign) in [(row.from_status, -1), (row.to_status, 1)] {
            if let Some(status) = status {
                let total = totals.entry((row.agency_id, status)).or_default();
                total.0 += sign;
                total.1 += sign * pence;
            }
        }
    }
    tx.write_sequences(&numbered).await?;
    let changes = totals.into_iter().filter(|(_, change)| *change != (0, 0));
    let changes: Vec<TotalRow> = changes
        .map(|((agency_id, status), (payments, total_pence))| TotalRow {
            agency_id,
            status,
            payments,
            total_pence,
        })
        .collect();
    tx.add_to_totals(&changes).await?;
    Ok(rows.len())
}
