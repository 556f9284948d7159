//! The one status write with its audit inserts. No other code changes a payment's row.

use diesel::QueryResult;
use serde_json::Value;

use super::{
    Tx,
    rows::{AuditRow, PaymentRow},
    sql_types::Json,
};
use crate::domain::{AuditAction, AuditId, PaymentStatus, Timestamp};

/// A change of one payment: the row as it is to be, and the audit rows that tell of it.
pub struct Change {
    /// The row with every change but its version.
    pub row: PaymentRow,
    /// In order; each counts one version.
    pub entries: Vec<AuditEntry>,
    /// Who.
    pub actor: String,
    /// The request that asked, where one did.
    pub request_id: Option<String>,
    /// When.
    pub at: Timestamp,
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
    pub async fn write(mut self, tx: &mut Tx) -> QueryResult<PaymentRow> {
        let first_version = self.row.version + 1;
        self.row.version += i64::try_from(self.entries.len()).unwrap_or(i64::MAX);
        self.row.updated_at = self.at;
        tx.update_payment(&self.row).await?;
        self.write_entries(tx, first_version).await?;
        Ok(self.row)
    }

    /// Adds a new payment's row, whose version counts its entries already; `false` where its place is taken.
    pub async fn insert(self, tx: &mut Tx) -> QueryResult<bool> {
        let added = tx.insert_payment(&self.row).await?;
        if added {
            self.write_entries(tx, 1).await?;
        }
        Ok(added)
    }

    async fn write_entries(&self, tx: &mut Tx, first_version: i64) -> QueryResult<()> {
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
                actor: self.actor.clone(),
                at: self.at,
                request_id: self.request_id.clone(),
                changes: Json(entry.changes.clone()),
                sequence: None,
            };
            tx.insert_audit(&row).await?;
        }
        Ok(())
    }
}
