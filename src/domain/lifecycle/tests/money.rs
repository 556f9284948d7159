//! The rule by example: what is wrong with the money, and a provider that contradicts itself.

use super::*;
use PaymentStatus::{Pending, Processing, Refunded, Succeeded};

#[test]
fn a_rejected_intent_never_pays_also_when_refunded() {
    for (wrong, line) in [
        (success(C).pence(AMOUNT - 1), "amount_mismatch pi_c"),
        (success(C).pence(AMOUNT + 1), "amount_mismatch pi_c"),
        (success(C).unreadable(), "amount_mismatch pi_c"),
        (success(C).currency("eur"), "currency_mismatch pi_c"),
    ] {
        let refund = Told { what: What::Refunded(None), ..wrong };
        for payment in
            [asked().told(wrong), asked().told(wrong).told(refund), asked().told(refund).told(wrong)]
        {
            assert_eq!(payment.status(), Pending);
            assert!(!payment.completes_todo());
            assert_eq!(payment.refunded(), Pence::ZERO);
            assert_eq!(payment.strange(), [line]);
            // Nor does it stand in the way of real money, or count beside it.
            let payment = payment.told(success(A));
            assert_eq!(payment.status(), Succeeded);
            assert_eq!(payment.strange(), [line]);
            assert_eq!(payment.told(full_refund(A)).status(), Refunded);
        }
    }
}

#[test]
fn currency_is_looked_at_before_amount() {
    let payment = asked().told(success(C).currency("usd").pence(1));
    assert_eq!(payment.strange(), ["currency_mismatch pi_c"]);
    assert_eq!(
        asked().mismatch(&success(C).currency("usd").unreadable().evidence()),
        Some(AnomalyKind::CurrencyMismatch)
    );
}

#[test]
fn currency_is_compared_without_case() {
    for currency in ["gbp", "GBP", "Gbp", "gBp"] {
        assert_eq!(asked().told(success(A).currency(currency)).status(), Succeeded, "{currency}");
    }
    for currency in ["", "gb", "gbpx", " gbp", "£", "ɢʙᴘ"] {
        let payment = asked().told(success(A).currency(currency));
        assert_eq!(payment.status(), Pending, "{currency}");
        assert_eq!(payment.strange(), ["currency_mismatch pi_a"], "{currency}");
    }
}

#[test]
fn absent_amount_or_currency_is_no_mismatch() {
    let no_currency = told(What::Succeeded).of(A).pence(AMOUNT);
    let no_amount = told(What::Succeeded).of(A).currency("gbp");
    for report in [no_currency, no_amount, success(A).silent()] {
        let payment = asked().told(report);
        assert_eq!(payment.status(), Succeeded, "{report:?}");
        assert!(payment.strange().is_empty());
    }
    // The other one is still looked at.
    assert_eq!(asked().told(no_currency.pence(1)).strange(), ["amount_mismatch pi_a"]);
    assert_eq!(asked().told(no_amount.currency("eur")).strange(), ["currency_mismatch pi_a"]);
}

#[test]
fn wrong_money_under_way_rejects_the_intent_and_moves_no_attempt() {
    for report in [processing(1), failed(1)] {
        let payment = asked().told(report.of(C).pence(1));
        assert_eq!(payment.status(), Pending);
        assert_eq!(payment.strange(), ["amount_mismatch pi_c"]);
        assert_eq!(payment.told(success(C).pence(1)).strange(), ["amount_mismatch pi_c"]);
    }
    // The same intent reported without its money still says how the attempt goes.
    assert_eq!(asked().told(success(C).pence(1)).told(processing(1).of(C)).status(), Processing);
}

#[test]
fn contradictory_amounts_keep_the_first_reading() {
    let right_first = asked().told(success(A)).told(success(A).pence(1));
    assert_eq!(right_first.status(), Succeeded);
    assert_eq!(right_first.strange(), ["amount_mismatch pi_a"]);

    let wrong_first = asked().told(success(A).pence(1)).told(success(A));
    assert_eq!(wrong_first.status(), Pending);
    assert_eq!(wrong_first.strange(), ["amount_mismatch pi_a"]);
    assert_eq!(wrong_first.told(full_refund(A)).status(), Pending);

    let currencies = asked().told(success(A)).told(success(A).currency("eur"));
    assert_eq!(currencies.status(), Succeeded);
    assert_eq!(currencies.strange(), ["currency_mismatch pi_a"]);
}

/// An absent amount is read as the right one, so an intent that names none and then a wrong one contradicts
/// itself. It can be no other way: the money counted and completed the links when it was first told, and nothing
/// undoes them.
#[test]
fn an_absent_amount_contradicts_a_wrong_one() {
    let silent_first = asked().told(success(A).silent()).told(success(A).pence(1));
    assert_eq!(silent_first.status(), Succeeded);
    assert!(silent_first.completes_todo());
    let wrong_first = asked().told(success(A).pence(1)).told(success(A).silent());
    assert_eq!(wrong_first.status(), Pending);
    for payment in [silent_first, wrong_first] {
        assert_eq!(payment.strange(), ["amount_mismatch pi_a"]);
    }
}

/// Only what decides is a reading: while money is on its way nothing has been counted.
#[test]
fn what_was_said_of_money_under_way_decides_nothing_where_it_was_right() {
    let payment = asked().told(processing(1).of(A).pence(AMOUNT)).told(success(A).pence(1));
    assert_eq!(payment.status(), Processing);
    assert_eq!(payment.intents[&intent_id(A)].state, IntentState::Rejected);
    assert_eq!(payment.strange(), ["amount_mismatch pi_a"]);
}

#[test]
fn an_intent_wrong_in_two_ways_has_both_anomalies_whichever_came_first() {
    let (amount, currency) = (success(C).pence(1), success(C).currency("eur"));
    for payment in [asked().told(amount).told(currency), asked().told(currency).told(amount)] {
        assert_eq!(payment.status(), Pending);
        assert_eq!(payment.strange(), ["amount_mismatch pi_c", "currency_mismatch pi_c"]);
    }
}

#[test]
fn a_refund_in_other_terms_is_noticed_and_counted() {
    let payment = asked().told(success(A)).told(full_refund(A).pence(1));
    assert_eq!(payment.status(), Refunded);
    assert_eq!(payment.strange(), ["amount_mismatch pi_a"]);
}
