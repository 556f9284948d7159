//! The audited steps between all pairs of statuses, and their actions.

use super::*;
use PaymentStatus::{Cancelled, Failed, Pending, Processing, Refunded, Succeeded};

#[test]
fn all_pairs() {
    const NONE: &[PaymentStatus] = &[];
    // Where each step leads, from the status on the left to the one above.
    #[rustfmt::skip]
    let table: [(PaymentStatus, [&[PaymentStatus]; 6]); 6] = [
        //            pending      processing      succeeded      failed      refunded                cancelled
        (Pending,    [NONE,       &[Processing], &[Succeeded], &[Failed], &[Succeeded, Refunded], &[Cancelled]]),
        (Processing, [&[Pending], NONE,          &[Succeeded], &[Failed], &[Succeeded, Refunded], &[Cancelled]]),
        (Succeeded,  [&[Pending], &[Processing], NONE,         &[Failed], &[Refunded],            &[Cancelled]]),
        (Failed,     [&[Pending], &[Processing], &[Succeeded], NONE,      &[Succeeded, Refunded], &[Cancelled]]),
        (Refunded,   [&[Pending], &[Processing], &[Succeeded], &[Failed], NONE,                   &[Cancelled]]),
        (Cancelled,  [&[Pending], &[Processing], &[Succeeded], &[Failed], &[Succeeded, Refunded], NONE]),
    ];
    for ((from, row), known) in table.into_iter().zip(PaymentStatus::ALL) {
        assert_eq!(from, *known);
        for (to, leads) in PaymentStatus::ALL.iter().zip(row) {
            let mut at = from;
            let expected: Vec<_> =
                leads.iter().map(|next| (std::mem::replace(&mut at, *next), *next)).collect();
            assert_eq!(at, *to, "the table's own row {from} → {to}");
            assert_eq!(steps(from, *to), expected, "{from} → {to}");
        }
    }
}

#[test]
fn the_action_tells_where_a_step_leads() {
    let words: Vec<_> = PaymentStatus::ALL.iter().map(|to| action_of(*to).as_str()).collect();
    assert_eq!(
        words,
        [
            "payment.checkout_renewed",
            "payment.processing",
            "payment.succeeded",
            "payment.failed",
            "payment.refunded",
            "payment.cancelled"
        ]
    );
}
