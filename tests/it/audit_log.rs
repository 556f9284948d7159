//! The audit log behind the writes: dense numbers per agency, and totals that are exact at every read.

use std::{collections::BTreeMap, time::Duration};

use futures_util::FutureExt;
use quittance::domain::Role;
use serde_json::json;

use crate::harness::{Event, TestApp, on_both};

/// Waits until each row of the audit log that is to have a number has one.
async fn sealed(app: &TestApp) {
    for _ in 0..500 {
        let unnumbered =
            app.ledger.read(|tx| async move { tx.has_unnumbered().await }.boxed()).await.unwrap();
        if !unnumbered {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the sequencer does not come");
}

on_both! {
    async fn numbers_are_dense_per_agency_and_agree_with_each_payment(app: TestApp) {
        let stranger = app.stranger(Role::Agent).await;
        let mut created = Vec::new();
        for _ in 0..10 {
            created.push(app.agent().create(10_000).await.id);
            stranger.create(10_000).await;
        }
        for id in &created {
            app.delivered(&Event::succeeded(&format!("pi_{id}"), id, 10_000)).await;
        }
        sealed(&app).await;
        let agency = app.agency_id;
        let rows = app.ledger.read(move |tx| async move { tx.agency_trail(agency, 0, 100).await }.boxed());
        let mut rows: Vec<_> = rows.await.unwrap().into_iter().map(|(_, row)| row).collect();
        rows.sort_by_key(|row| row.sequence);
        let sequences: Vec<_> = rows.iter().map(|row| row.sequence.unwrap()).collect();
        assert_eq!(sequences, (1..=20).collect::<Vec<i64>>());
        let mut versions = BTreeMap::new();
        for row in rows {
            let last = versions.insert(row.payment_id, row.version);
            assert!(last < Some(row.version), "a payment's changes are numbered in their order");
        }
    }

    async fn stats_are_exact_before_and_after_sealing(app: TestApp) {
        let stats = async || app.agent().ok("payment.stats", json!({})).await;
        let told = |pending: (i64, i64), succeeded: (i64, i64)| {
            json!({
                "pending": { "count": pending.0, "totalPence": pending.1 },
                "succeeded": { "count": succeeded.0, "totalPence": succeeded.1 },
            })
        };
        assert_eq!(stats().await, told((0, 0), (0, 0)));
        let mut ids = Vec::new();
        for n in 1..=10 {
            ids.push(app.agent().create(n * 100).await.id);
            assert_eq!(stats().await["pending"]["count"], n);
        }
        assert_eq!(stats().await, told((10, 5_500), (0, 0)));
        app.delivered(&Event::succeeded("pi_1", &ids[0], 100)).await;
        app.delivered(&Event::succeeded("pi_2", &ids[1], 200)).await;
        app.agent().ok("payment.cancelPayment", json!({ "paymentId": ids[2] })).await;
        assert_eq!(stats().await, told((7, 4_900), (2, 300)));
        sealed(&app).await;
        assert_eq!(stats().await, told((7, 4_900), (2, 300)));
        app.delivered(&Event::refunded("pi_1", &ids[0], 100, 100)).await;
        assert_eq!(stats().await, told((7, 4_900), (1, 200)));
        sealed(&app).await;
        assert_eq!(stats().await, told((7, 4_900), (1, 200)));
    }
}
