//! The audited steps between all pairs of statuses, their actions, and the rows that a change of the facts leaves.

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

/// The rows of a change as `action from to`.
fn rows(recorded: Recorded, before: &Facts, after: &Facts) -> Vec<String> {
    let line = |AuditStep { action, from, to }| format!("{action} {from} {to}");
    audit_steps(recorded, before, after).into_iter().map(line).collect()
}

fn rows_of_report(before: &Facts, told: Told) -> Vec<String> {
    rows(Recorded::Evidence, before, &before.clone().told(told))
}

#[test]
fn a_withdrawal_is_told_by_one_row_with_the_true_statuses() {
    let marked = asked().paid_by_hand();
    for (before, row) in [
        (marked.clone(), "payment.manual_payment_withdrawn succeeded pending"),
        (asked().told(failed(1)).paid_by_hand(), "payment.manual_payment_withdrawn succeeded failed"),
        (marked.clone().told(processing(1)), "payment.manual_payment_withdrawn succeeded processing"),
        (marked.clone().told(success(A)), "payment.manual_payment_withdrawn succeeded succeeded"),
        (marked.clone().told(full_refund(A)), "payment.manual_payment_withdrawn succeeded refunded"),
    ] {
        assert_eq!(rows(Recorded::Withdrawal, &before, &before.clone().withdrawn()), [row]);
    }
}

#[test]
fn marks_and_links_are_told_by_their_own_actions() {
    let (pending, failed_once) = (asked(), asked().told(failed(1)));
    for (recorded, before, after, expected) in [
        (Recorded::ManualPayment, &pending, Happened::PaidByHand, "payment.manually_paid pending succeeded"),
        (Recorded::Cancellation, &failed_once, Happened::Cancelled, "payment.cancelled failed cancelled"),
        (Recorded::Renewal, &failed_once, Happened::Renewed, "payment.checkout_renewed failed pending"),
        (Recorded::Renewal, &pending, Happened::Renewed, "payment.checkout_renewed pending pending"),
    ] {
        assert_eq!(rows(recorded, before, &before.clone().then(after)), [expected]);
    }
    let paid = asked().told(success(A)).told(refund(A, 1));
    assert_eq!(
        rows(Recorded::RefundMark, &paid, &paid.clone().refund_marked()),
        ["payment.refunded succeeded refunded"]
    );
}

#[test]
fn money_never_goes_back_unseen() {
    let paid = asked().told(success(A));
    assert_eq!(rows_of_report(&paid, refund(A, 1)), ["payment.refunded succeeded succeeded"]);
    assert_eq!(rows_of_report(&paid, full_refund(A)), ["payment.refunded succeeded refunded"]);
    // A refund that comes before its success: the success is told first.
    assert_eq!(
        rows_of_report(&asked(), refund(A, 1)),
        ["payment.succeeded pending succeeded", "payment.refunded succeeded succeeded"]
    );
    assert_eq!(
        rows_of_report(&asked(), full_refund(A)),
        ["payment.succeeded pending succeeded", "payment.refunded succeeded refunded"]
    );
    // Told again, told of less, told of what never paid: no money went back.
    let part = paid.clone().told(refund(A, 2));
    for told in [refund(A, 2), refund(A, 1), refund(C, 5).pence(1), success(A)] {
        assert!(rows_of_report(&part, told).is_empty(), "{told:?}");
    }
    // The surplus of two.
    let twice = paid.clone().told(success(B));
    assert_eq!(rows_of_report(&twice, full_refund(B)), ["payment.refunded succeeded succeeded"]);
    // An unknown intent on a refunded payment: no transition, yet more went back.
    let refunded = paid.told(full_refund(A));
    assert_eq!(rows_of_report(&refunded, full_refund(B)), ["payment.refunded refunded refunded"]);
    assert_eq!(
        rows_of_report(&refunded, refund(B, 1)),
        ["payment.succeeded refunded succeeded", "payment.refunded succeeded succeeded"]
    );
}
