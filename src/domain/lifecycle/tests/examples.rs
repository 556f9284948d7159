//! The rule by example, one payment: proofs, marks, refunds and attempts.

use super::*;
use PaymentStatus::{Cancelled, Failed, Pending, Processing, Refunded, Succeeded};

#[test]
fn a_payment_just_asked_for_is_pending() {
    let payment = asked();
    assert_eq!(payment.status(), Pending);
    assert!(!payment.completes_todo());
    assert!(payment.strange().is_empty());
    // Before its session is written there is no attempt, and nothing else to say either.
    assert_eq!(Facts { attempts: BTreeMap::new(), ..asked() }.status(), Pending);
}

#[test]
fn the_first_success_pays_and_completes_the_links() {
    let payment = asked().told(processing(1).of(A)).told(success(A));
    assert_eq!(payment.status(), Succeeded);
    assert!(payment.completes_todo());
    assert!(payment.strange().is_empty());
}

#[test]
fn repeated_evidence_changes_nothing() {
    let reports = [
        processing(1).of(A),
        failed(1).of(A),
        success(A),
        refund(A, 30_000),
        full_refund(A),
        success(C).pence(1),
        full_refund(C).pence(1),
        success(D).currency("usd"),
        success(A).pence(1),
        success(E).unreadable(),
    ];
    let payment = reports.iter().fold(asked(), |payment, report| payment.told(*report));
    for report in reports {
        assert_eq!(payment.clone().told(report), payment, "{report:?}");
        let once = asked().told(report);
        assert_eq!(once.clone().told(report), once, "{report:?}");
    }
}

#[test]
fn money_after_a_cancellation_is_money_but_completes_no_links() {
    let payment = asked().cancelled();
    assert_eq!(payment.status(), Cancelled);
    let payment = payment.told(success(A));
    assert_eq!(payment.status(), Succeeded);
    assert!(!payment.completes_todo());
    assert_eq!(payment.strange(), ["paid_after_cancelled"]);
    // Once a payment, however much more comes.
    let payment = payment.told(success(B));
    assert_eq!(payment.strange(), ["double_payment pi_b", "paid_after_cancelled"]);
    // Given back, it is refunded, not cancelled again.
    let payment = payment.told(full_refund(A)).told(full_refund(B));
    assert_eq!(payment.status(), Refunded);
    assert!(!payment.completes_todo());
    assert_eq!(payment.strange(), ["double_payment pi_b", "paid_after_cancelled"]);
}

#[test]
fn reports_short_of_success_leave_a_cancelled_payment_cancelled() {
    let payment = asked().cancelled().told(processing(1).of(A)).told(failed(1).of(A));
    assert_eq!(payment.status(), Cancelled);
    assert!(payment.strange().is_empty());
    let payment = payment.told(success(C).pence(1));
    assert_eq!(payment.status(), Cancelled);
    assert_eq!(payment.strange(), ["amount_mismatch pi_c"]);
}

#[test]
fn money_after_a_manual_mark_is_a_double_payment() {
    let payment = asked().paid_by_hand();
    assert_eq!(payment.status(), Succeeded);
    assert!(payment.completes_todo());
    assert!(payment.strange().is_empty());
    let payment = payment.told(success(A));
    assert_eq!(payment.status(), Succeeded);
    assert_eq!(payment.strange(), ["double_payment pi_a"]);
    // The tenant gets the surplus back: what was paid by hand still stands.
    let payment = payment.told(full_refund(A));
    assert_eq!(payment.status(), Succeeded);
    assert_eq!(payment.refunded().get(), AMOUNT);
}

#[test]
fn refunding_the_surplus_of_a_double_payment_never_un_pays() {
    for surplus in [A, B] {
        let payment = asked().told(success(A)).told(success(B));
        assert_eq!(payment.strange(), ["double_payment pi_b"]);
        let payment = payment.told(full_refund(surplus));
        assert_eq!(payment.status(), Succeeded);
        assert_eq!(payment.strange(), ["double_payment pi_b"]);
        let payment = payment.told(full_refund(A)).told(full_refund(B));
        assert_eq!(payment.status(), Refunded);
        assert_eq!(payment.refunded().get(), 2 * AMOUNT);
        assert!(payment.completes_todo(), "giving money back undoes no link");
    }
}

#[test]
fn which_of_two_proofs_is_the_surplus_does_not_depend_on_their_order() {
    for order in [[A, B, E], [E, B, A], [B, A, E]] {
        let payment = order.iter().fold(asked(), |payment, intent| payment.told(success(intent)));
        assert_eq!(payment.strange(), ["double_payment pi_b", "double_payment pi_e"]);
    }
}

#[test]
fn a_refund_proves_the_success_it_refunds() {
    let payment = asked().told(full_refund(A));
    assert_eq!(payment.status(), Refunded);
    assert!(payment.completes_todo());
    assert_eq!(steps(asked().status(), payment.status()), [(Pending, Succeeded), (Succeeded, Refunded)]);
    // The success that comes late finds nothing to change.
    assert_eq!(view(&payment.clone().told(success(A))), view(&payment));

    let part = asked().told(refund(A, 1));
    assert_eq!(part.status(), Succeeded);
    assert_eq!(steps(asked().status(), part.status()), [(Pending, Succeeded)]);
    assert_eq!(asked().cancelled().told(full_refund(A)).status(), Refunded);
}

#[test]
fn a_refund_of_an_unknown_intent_on_a_refunded_payment_makes_no_step() {
    let payment = asked().told(success(A)).told(full_refund(A));
    let after = payment.clone().told(full_refund(B));
    assert_eq!(after.status(), Refunded);
    assert_eq!(steps(payment.status(), after.status()), []);
    // It is recorded all the same.
    assert_eq!(after.refunded().get(), 2 * AMOUNT);
    assert_eq!(after.strange(), ["double_payment pi_b"]);
}

#[test]
fn a_partial_refund_keeps_the_payment_succeeded_up_to_the_last_penny() {
    let payment = asked().told(success(A)).told(refund(A, AMOUNT - 1));
    assert_eq!(payment.status(), Succeeded);
    assert_eq!(payment.refunded().get(), AMOUNT - 1);
    assert_eq!(payment.told(refund(A, AMOUNT)).status(), Refunded);
}

#[test]
fn of_partial_refunds_the_largest_figure_counts() {
    for order in [[20_000, 50_000], [50_000, 20_000]] {
        let payment = order.iter().fold(asked().told(success(A)), |p, figure| p.told(refund(A, *figure)));
        assert_eq!(payment.status(), Succeeded);
        assert_eq!(payment.refunded().get(), 50_000);
    }
    // Each intent by itself: two halves of two payments are no whole.
    let halves = asked().told(refund(A, AMOUNT / 2)).told(refund(B, AMOUNT / 2));
    assert_eq!(halves.status(), Succeeded);
    assert_eq!(halves.refunded().get(), AMOUNT);
}

#[test]
fn a_refund_without_a_figure_is_all_of_it_and_an_absurd_one_saturates() {
    assert_eq!(asked().told(full_refund(A).silent()).refunded().get(), AMOUNT);
    let absurd = asked().told(refund(A, i64::MAX)).told(refund(B, i64::MAX));
    assert_eq!(absurd.refunded().get(), i64::MAX);
    assert_eq!(absurd.status(), Refunded);
}

#[test]
fn a_refund_mark_covers_the_proofs_recorded_when_it_is_made() {
    let payment = asked().told(success(A)).refund_marked();
    assert_eq!(payment.status(), Refunded);
    assert_eq!(payment.refunded().get(), 0, "nothing went back through the provider");
    assert_eq!(payment.clone().told(success(A)).status(), Refunded, "told again is no new money");
    assert_eq!(payment.clone().told(refund(A, 1)).status(), Refunded);

    // New money is.
    let payment = payment.told(success(B));
    assert_eq!(payment.status(), Succeeded);
    assert_eq!(payment.strange(), ["double_payment pi_b"]);
    let payment = payment.refund_marked();
    assert_eq!(payment.status(), Refunded);
    assert_eq!(payment.told(success(E)).status(), Succeeded);
}

#[test]
fn a_refund_mark_covers_what_was_paid_by_hand() {
    let payment = asked().paid_by_hand().refund_marked();
    assert_eq!(payment.status(), Refunded);
    assert!(payment.completes_todo());
    assert_eq!(payment.clone().told(success(A)).status(), Succeeded);
    assert_eq!(payment.told(full_refund(A)).status(), Refunded);
}

#[test]
fn a_refund_mark_covers_nothing_that_was_only_under_way() {
    let payment = asked().told(processing(1).of(B)).told(success(A)).refund_marked();
    assert_eq!(payment.status(), Refunded);
    assert_eq!(payment.told(success(B)).status(), Succeeded);
}

#[test]
fn the_newest_attempt_counts() {
    let payment = asked().told(processing(1));
    assert_eq!(payment.status(), Processing);
    let payment = payment.told(failed(1));
    assert_eq!(payment.status(), Failed);
    assert_eq!(payment.clone().told(processing(1)).status(), Failed, "processing told late");
    let payment = payment.renewed();
    assert_eq!(payment.status(), Pending);
    let payment = payment.told(failed(1)).told(processing(1));
    assert_eq!(payment.status(), Pending, "attempt 1 is over");
    assert_eq!(payment.clone().told(processing(2)).status(), Processing);
    // Money counts through whichever link it came.
    let mut late = success(A);
    late.attempt = Some(1);
    assert_eq!(payment.told(late).status(), Succeeded);
}

#[test]
fn processing_or_failure_that_cannot_be_placed_changes_no_status() {
    for report in [processing(2), failed(7), failed(0), told(What::Processing), told(What::Failed)] {
        let payment = asked().told(report.of(A));
        assert_eq!(view(&payment), view(&asked()), "{report:?}");
        // The intent has become known, though.
        assert_eq!(payment.intents[&intent_id(A)].state, IntentState::Seen);
        assert!(!payment.attempts.contains_key(&2));
    }
}

#[test]
fn a_failure_told_after_the_money_came_takes_nothing_back() {
    let payment = asked().told(success(A));
    assert_eq!(view(&payment.clone().told(failed(1).of(A)).told(processing(1).of(B))), view(&payment));
}

#[test]
fn success_or_refund_of_no_intent_proves_nothing() {
    for what in [What::Succeeded, What::Refunded(None)] {
        assert_eq!(asked().told(told(what)), asked());
    }
}
