//! The audit log: the one function that writes a payment's status, with the rows that tell of it. No other code changes a
//! payment's row.

use serde_json::{Value, json};

use super::{
    Tx,
    sql_types::Json,
    tables::{AgencyRow, AuditRow, PaymentRow},
};
use crate::{
    domain::{AuditAction, AuditId, Cause, PaymentStatus, Pence},
    error::Error,
};

/// A change of one payment: the row as it is to be, and the audit rows that tell of it.
pub struct Change {
    /// The row as it was read; `None` of a new payment.
    pub before: Option<PaymentRow>,
    /// The row with every change but its version.
    pub row: PaymentRow,
    /// In order; each counts one version.
    pub entries: Vec<AuditEntry>,
    /// Who says so, and when.
    pub cause: Cause,
}

/// What one audit row says.
pub struct AuditEntry {
    /// What happened.
    pub action: AuditAction,
    /// The status before; `None` on creation.
    pub from: Option<PaymentStatus>,
    /// The status after; as before where this is no transition.
    pub to: PaymentStatus,
    /// What matters besides: ids, pence, the todo and task it completed. No personal text.
    pub changes: Value,
}

impl Change {
    /// Writes the row and its audit rows. The row must be locked, or new.
    pub async fn write(mut self, tx: &Tx) -> Result<PaymentRow, Error> {
        let first_version = self.row.version + 1;
        self.row.version += i64::try_from(self.entries.len()).unwrap_or(i64::MAX);
        self.row.updated_at = self.cause.at;
        let before =
            self.before.take().ok_or_else(|| Error::internal("a change of a payment that is new"))?;
        tx.update_payment(&before, &self.row).await?;
        self.write_entries(tx, first_version).await?;
        Ok(self.row)
    }

    /// Adds a new payment's row, whose version counts its entries already; `false` where its place is taken.
    pub async fn insert(self, tx: &Tx) -> Result<bool, Error> {
        let added = tx.insert_payment(&self.row).await?;
        if added {
            self.write_entries(tx, 1).await?;
        }
        Ok(added)
    }

    async fn write_entries(&self, tx: &Tx, first_version: i64) -> Result<(), Error> {
        for (version, entry) in (first_version..).zip(&self.entries) {
            let row = AuditRow {
                id: AuditId::new(),
                agency_id: self.row.agency_id,
                payment_id: Some(self.row.id),
                version: Some(version),
                action: entry.action,
                from_status: entry.from,
                to_status: Some(entry.to),
                amount_pence: Some(self.row.amount_pence),
                actor: self.cause.actor.clone(),
                at: self.cause.at,
                request_id: self.cause.request_id.clone(),
                changes: Json(entry.changes.clone()),
                sequence: None,
            };
            tx.insert_audit(&row).await?;
        }
        Ok(())
    }
}

/// Writes the audit row of a changed card limit. Its resource is the agency.
pub async fn card_limit_changed(
    tx: &Tx,
    agency: &AgencyRow,
    limit: Option<Pence>,
    cause: Cause,
) -> Result<(), Error> {
    let changes = json!({
        "maxCardPaymentPence": { "from": agency.max_card_payment_pence, "to": limit },
    });
    tx.insert_audit(&AuditRow {
        id: AuditId::new(),
        agency_id: agency.id,
        payment_id: None,
        version: None,
        action: AuditAction::CardLimitUpdated,
        from_status: None,
        to_status: None,
        amount_pence: None,
        actor: cause.actor,
        at: cause.at,
        request_id: cause.request_id,
        changes: Json(changes),
        sequence: None,
    })
    .await
}
