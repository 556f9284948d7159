//! The rule by example: manual marks that are numbered, withdrawn and made again.

use super::*;
use PaymentStatus::{Failed, Pending, Processing, Refunded, Succeeded};

#[test]
fn a_withdrawn_mark_is_no_proof_and_never_was() {
    let payment = asked().paid_by_hand().withdrawn();
    assert_eq!(view(&payment), view(&asked()));
    assert_eq!(payment.marks.manual_payment(), None);
    assert!(!payment.has_proof());
    // Money that comes is the first, not a double payment.
    assert_eq!(view(&payment.told(success(A))), view(&asked().told(success(A))));
}

#[test]
fn after_a_withdrawal_the_payment_stands_where_it_would_without_the_mark() {
    for (told, status) in [
        (vec![], Pending),
        (vec![processing(1)], Processing),
        (vec![failed(1)], Failed),
        (vec![success(A)], Succeeded),
        (vec![full_refund(A)], Refunded),
    ] {
        let without = told.iter().fold(asked(), |facts, told| facts.told(*told));
        let with = told.iter().fold(asked().paid_by_hand(), |facts, told| facts.told(*told)).withdrawn();
        assert_eq!(with.status(), status);
        assert_eq!(view(&with), view(&without));
    }
}

#[test]
fn marks_are_numbered_and_each_is_strange_by_itself() {
    let payment = asked().paid_by_hand().withdrawn().paid_by_hand();
    assert_eq!(payment.marks.manual_payment().map(|(number, _)| number), Some(2));
    let older = || payment.clone().then(Happened::OlderPaid);
    assert_eq!(older().strange(), ["double_payment manual 2"]);
    assert_eq!(older().withdrawn().paid_by_hand().strange(), ["double_payment manual 3"]);
}

#[test]
fn withdrawing_makes_the_next_proof_the_first() {
    let payment = asked().paid_by_hand().told(success(A)).told(success(B));
    assert_eq!(payment.strange(), ["double_payment pi_a", "double_payment pi_b"]);
    let withdrawn = payment.clone().withdrawn();
    assert_eq!(withdrawn.strange(), ["double_payment pi_b"]);
    let diff = diff(&payment, &withdrawn);
    assert!(diff.raised.is_empty());
    assert_eq!(numbered(diff.lapsed), BTreeSet::from([(OURS, AnomalyKind::DoublePayment, A.to_owned())]));
}

/// Both ways for one proof: it was a surplus, then the only money, then a surplus again.
#[test]
fn what_lapsed_within_a_payment_can_be_strange_again() {
    let payment = asked().paid_by_hand().told(success(B)).withdrawn();
    assert!(payment.strange().is_empty());
    assert_eq!(payment.told(success(A)).strange(), ["double_payment pi_b"]);
}

#[test]
fn only_a_standing_mark_is_withdrawn() {
    let covered = asked().paid_by_hand().refund_marked();
    assert_eq!(covered.clone().withdrawn(), covered);
    assert_eq!(asked().withdraw_manual_payment(reason("nothing there")), None);
    let mut twice = asked().paid_by_hand().withdrawn();
    assert_eq!(twice.withdraw_manual_payment(reason("again")), None);
    assert_eq!(twice, asked().paid_by_hand().withdrawn());
    assert_eq!(asked().paid_by_hand().withdraw_manual_payment(reason("a mistake")), Some(1));
}

#[test]
fn a_refund_mark_covers_no_withdrawn_mark_and_none_made_later() {
    let payment = asked().paid_by_hand().told(success(A)).withdrawn().refund_marked();
    assert_eq!(payment.status(), Refunded);
    assert!(matches!(payment.marks.manual[&1].state, ManualState::Withdrawn(_)));
    let mut payment = asked();
    payment.mark_refunded(label("BACS 2"));
    assert_eq!(payment.paid_by_hand().status(), Succeeded);
}

#[test]
fn what_paid_follows_what_is_left() {
    let (a, b) = (intent_id(A), intent_id(B));
    assert_eq!(asked().paid_by(None), None);
    let payment = asked().paid_by_hand();
    assert_eq!(payment.paid_by(None), Some(Proof::Manual(1)));
    // `pi_b` came before `pi_a`; the mark before both.
    let payment = payment.told(success(B)).told(success(A));
    assert_eq!(payment.paid_by(Some(&b)), Some(Proof::Manual(1)));
    let payment = payment.withdrawn();
    assert_eq!(payment.paid_by(Some(&b)), Some(Proof::Intent(b)));
    assert_eq!(payment.paid_by(Some(&a)), Some(Proof::Intent(a)));
    let payment = asked().paid_by_hand().withdrawn();
    assert_eq!(payment.paid_by(None), None);
    assert_eq!(payment.paid_by_hand().paid_by(None), Some(Proof::Manual(2)));
}
