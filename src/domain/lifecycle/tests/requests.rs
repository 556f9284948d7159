//! What people may ask for, from every status, and what a repeat finds.

use super::*;
use crate::domain::lifecycle::requests::{
    Decision::{self, Do, Refused, RowAgain},
    Refusal, TaskPlace, cancel, checkout_link, mark_manually_paid, mark_refunded, withdraw_manual_payment,
};
use PaymentStatus::{Cancelled, Failed, Pending, Processing, Refunded, Succeeded};

const IN_FLIGHT: Decision = Refused(Refusal::PaymentInFlight);

const fn not_from(from: PaymentStatus) -> Decision {
    Refused(Refusal::InvalidTransition { from })
}

/// A payment told by what people asked, each answered `Do`.
struct Asked(Facts);

impl Asked {
    fn mark(&mut self, reference: Option<&str>) -> Decision {
        let reference = reference.map(label);
        let decision = mark_manually_paid(self.0.status(), &self.0.marks, reference.as_ref(), false);
        if decision == Do {
            self.0.mark_manually_paid(reference);
        }
        decision
    }

    fn withdraw(&mut self, why: &str) -> Decision {
        let decision = withdraw_manual_payment(self.0.status(), &self.0.marks, &reason(why));
        if decision == Do {
            self.0.withdraw_manual_payment(reason(why)).expect("a standing mark");
        }
        decision
    }

    fn refund(&mut self, reference: &str) -> Decision {
        let decision = mark_refunded(self.0.status(), &self.0.marks, &label(reference));
        if decision == Do {
            self.0.mark_refunded(label(reference));
        }
        decision
    }
}

#[test]
fn each_request_from_each_status() {
    let free = TaskPlace::default();
    let none = Marks::default();
    #[rustfmt::skip]
    let table = [
        //           cancel                mark                  withdraw              refund                link
        (Pending,    [Do,                  Do,                   not_from(Pending),    not_from(Pending),    Do]),
        (Processing, [IN_FLIGHT,           IN_FLIGHT,            not_from(Processing), not_from(Processing), IN_FLIGHT]),
        (Succeeded,  [not_from(Succeeded), not_from(Succeeded),  not_from(Succeeded),  Do,                   not_from(Succeeded)]),
        (Failed,     [Do,                  Do,                   not_from(Failed),     not_from(Failed),     Do]),
        (Refunded,   [not_from(Refunded),  not_from(Refunded),   not_from(Refunded),   not_from(Refunded),   not_from(Refunded)]),
        (Cancelled,  [RowAgain,            not_from(Cancelled),  not_from(Cancelled),  not_from(Cancelled),  not_from(Cancelled)]),
    ];
    for ((status, expected), known) in table.into_iter().zip(PaymentStatus::ALL) {
        assert_eq!(status, *known);
        let answers = [
            cancel(status, false),
            mark_manually_paid(status, &none, Some(&label("BACS 1")), false),
            withdraw_manual_payment(status, &none, &reason("a mistake")),
            mark_refunded(status, &none, &label("BACS 2")),
            checkout_link(status, free),
        ];
        assert_eq!(answers, expected, "{status}");
        // What is stuck may be settled; in every other status that changes nothing.
        let stuck = [cancel(status, true), mark_manually_paid(status, &none, None, true)];
        let expected = if status == Processing { [Do, Do] } else { [expected[0], expected[1]] };
        assert_eq!(stuck, expected, "{status}");
    }
}

#[test]
fn a_repeated_mark_is_the_row_again() {
    let mut payment = Asked(asked());
    assert_eq!(payment.mark(Some("BACS 1")), Do);
    assert_eq!(payment.mark(Some("BACS 1")), RowAgain);
    assert_eq!(payment.mark(Some("BACS 2")), not_from(Succeeded));
    assert_eq!(payment.mark(None), not_from(Succeeded));
    // Money that came as well changes nothing about it; money that went back does.
    let mut both = Asked(payment.0.clone().told(success(A)));
    assert_eq!(both.mark(Some("BACS 1")), RowAgain);
    assert_eq!(payment.refund("BACS 9"), Do);
    assert_eq!(payment.mark(Some("BACS 1")), not_from(Refunded));

    let mut payment = Asked(asked());
    assert_eq!((payment.mark(None), payment.mark(None)), (Do, RowAgain));
    assert_eq!(payment.mark(Some("BACS 1")), not_from(Succeeded));
    // Paid by card: there is no mark to repeat.
    assert_eq!(Asked(asked().told(success(A))).mark(None), not_from(Succeeded));
}

#[test]
fn a_late_repeat_of_a_withdrawn_mark_changes_nothing() {
    for reference in [Some("BACS 1"), None] {
        let mut payment = Asked(asked());
        assert_eq!(payment.mark(reference), Do);
        assert_eq!(payment.withdraw("wrong tenant"), Do);
        assert_eq!(payment.mark(reference), not_from(Pending));
        // Another reference is another mark; the first stays withdrawn for ever.
        assert_eq!(payment.mark(Some("BACS 2")), Do);
        assert_eq!(payment.mark(reference), not_from(Succeeded));
        assert_eq!(payment.withdraw("wrong again"), Do);
        for withdrawn in [reference, Some("BACS 2")] {
            assert_eq!(payment.mark(withdrawn), not_from(Pending));
        }
        let stuck = payment.0.told(processing(1));
        let reference = reference.map(label);
        let answer = mark_manually_paid(Processing, &stuck.marks, reference.as_ref(), true);
        assert_eq!(answer, not_from(Processing));
    }
}

#[test]
fn a_repeated_withdrawal_is_the_row_again_until_something_is_marked() {
    let mut payment = Asked(asked());
    assert_eq!(payment.withdraw("wrong tenant"), not_from(Pending), "nothing stands");
    assert_eq!((payment.mark(Some("BACS 1")), payment.withdraw("wrong tenant")), (Do, Do));
    assert_eq!(payment.withdraw("wrong tenant"), RowAgain);
    assert_eq!(payment.withdraw("wrong month"), not_from(Pending));

    assert_eq!(payment.mark(Some("BACS 2")), Do);
    assert_eq!(payment.withdraw("wrong tenant"), not_from(Succeeded), "a late repeat");
    assert_eq!(payment.withdraw("wrong month"), Do);
    assert_eq!(payment.withdraw("wrong month"), RowAgain);
    assert_eq!(payment.withdraw("wrong tenant"), not_from(Pending), "not the last withdrawal's");

    // Whatever else happened since: nothing was marked.
    let mut paid = Asked(payment.0.clone().told(success(A)));
    assert_eq!(paid.withdraw("wrong month"), RowAgain);
    let mut cancelled = Asked(payment.0.clone().cancelled());
    assert_eq!(cancelled.withdraw("wrong month"), RowAgain);

    assert_eq!((payment.mark(Some("BACS 3")), payment.refund("BACS 9")), (Do, Do));
    for why in ["wrong month", "wrong tenant", "something else"] {
        assert_eq!(
            payment.withdraw(why),
            not_from(Refunded),
            "what is covered by a refund mark does not stand"
        );
    }
}

#[test]
fn a_repeated_refund_mark_is_the_row_again() {
    let mut payment = Asked(asked().told(success(A)));
    assert_eq!((payment.refund("BACS 9"), payment.refund("BACS 9")), (Do, RowAgain));
    assert_eq!(payment.refund("BACS 10"), not_from(Refunded));
    // New money is another refund. Of two marks the newest is the one that is repeated.
    let mut payment = Asked(payment.0.told(success(B)));
    assert_eq!((payment.refund("BACS 10"), payment.refund("BACS 10")), (Do, RowAgain));
    assert_eq!(payment.refund("BACS 9"), not_from(Refunded));
    // Refunded by Calmony Pay: nobody marked it.
    assert_eq!(Asked(asked().told(full_refund(A))).refund("BACS 9"), not_from(Refunded));
}

#[test]
fn a_link_is_refused_for_the_status_before_the_task() {
    let (by, other) = (payment_id(OLDER), payment_id(NEWER));
    let paid = TaskPlace { paid_by: Some(by), taken_by: None };
    let taken = TaskPlace { paid_by: None, taken_by: Some(other) };
    let both = TaskPlace { paid_by: Some(by), taken_by: Some(other) };
    for status in [Pending, Failed] {
        assert_eq!(checkout_link(status, paid), Refused(Refusal::AlreadyPaid { by }));
        assert_eq!(checkout_link(status, both), Refused(Refusal::AlreadyPaid { by }));
        assert_eq!(checkout_link(status, taken), Refused(Refusal::OpenPaymentExists { other }));
    }
    assert_eq!(checkout_link(Processing, both), IN_FLIGHT);
    for status in [Succeeded, Refunded, Cancelled] {
        assert_eq!(checkout_link(status, both), not_from(status));
    }
}
