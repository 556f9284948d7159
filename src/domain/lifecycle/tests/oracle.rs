//! The rule a second time, declaratively: from the *set* of things that were told, and the marks, to what follows.
//! It shares no code with the fold and keeps no state; where the past matters (what a refund mark covers, which
//! attempts were known) it looks at the beginning of the history.
//!
//! Not covered: an intent reported both with the right and with the wrong money, which is outside the rule's claim
//! that order does not matter.

use super::*;

/// What the contract says of a payment with this history.
pub(super) fn expected(history: &[Happened]) -> View {
    let cancelled = history.contains(&Happened::Cancelled);
    let paid_elsewhere = history.contains(&Happened::TaskPaidElsewhere);
    let proofs = proofs(history);
    let intents_that_paid: Vec<_> = proofs.iter().filter(|proof| **proof != "manual").collect();

    let mut anomalies = BTreeSet::new();
    for proof in &proofs {
        if paid_elsewhere || proofs.iter().any(|other| is_before(other, proof)) {
            anomalies.insert((AnomalyKind::DoublePayment, (*proof).to_owned()));
        }
    }
    if cancelled && !intents_that_paid.is_empty() {
        anomalies.insert((AnomalyKind::PaidAfterCancelled, String::new()));
    }
    for told in everything_told(history) {
        if let (Some(kind), Some(intent)) = (wrong(&told), told.intent) {
            anomalies.insert((kind, intent.to_owned()));
        }
    }

    View {
        status: if proofs.iter().any(|proof| is_kept(proof, history)) {
            PaymentStatus::Succeeded
        } else if !proofs.is_empty() {
            PaymentStatus::Refunded
        } else if cancelled {
            PaymentStatus::Cancelled
        } else {
            newest_attempt(history)
        },
        links: !proofs.is_empty() && !cancelled,
        refunded: intents_that_paid.iter().map(|intent| largest_refund(intent, history)).sum(),
        anomalies,
    }
}

fn everything_told(history: &[Happened]) -> BTreeSet<Told> {
    history
        .iter()
        .filter_map(|happened| if let Happened::Told(told) = happened { Some(*told) } else { None })
        .collect()
}

/// Currency first, then amount; what is absent is not wrong.
fn wrong(told: &Told) -> Option<AnomalyKind> {
    if !["gbp", "GBP", "Gbp"].contains(&told.currency.unwrap_or("gbp")) {
        Some(AnomalyKind::CurrencyMismatch)
    } else if told.amount.unwrap_or(Amount::Pence(AMOUNT)) != Amount::Pence(AMOUNT) {
        Some(AnomalyKind::AmountMismatch)
    } else {
        None
    }
}

/// Succeeded intents (a refund proves the success it refunds; a rejected one never pays) and the manual mark.
fn proofs(history: &[Happened]) -> BTreeSet<&'static str> {
    let told = everything_told(history);
    let mut proofs: BTreeSet<_> = told
        .iter()
        .filter(|told| matches!(told.what, What::Succeeded | What::Refunded(_)))
        .filter_map(|told| told.intent)
        .filter(|intent| told.iter().all(|other| other.intent != Some(*intent) || wrong(other).is_none()))
        .collect();
    if history.contains(&Happened::PaidByHand) {
        proofs.insert("manual");
    }
    proofs
}

/// Which of two proofs counts as the first: the one by hand, else the intent with the smaller id.
fn is_before(one: &str, other: &str) -> bool {
    one != other && (one == "manual" || (other != "manual" && one < other))
}

/// Neither refunded in full nor covered by a refund mark.
fn is_kept(proof: &'static str, history: &[Happened]) -> bool {
    let covered = (0..history.len())
        .any(|at| history[at] == Happened::RefundMarked && proofs(&history[..at]).contains(proof));
    !covered && largest_refund(proof, history) < AMOUNT
}

fn largest_refund(intent: &str, history: &[Happened]) -> i64 {
    let figure = |told: &Told| match told.what {
        What::Refunded(figure) if told.intent == Some(intent) => figure.unwrap_or(AMOUNT),
        What::Refunded(_) | What::Processing | What::Failed | What::Succeeded => 0,
    };
    everything_told(history).iter().map(figure).max().unwrap_or(0)
}

/// The best of pending < processing < failed reported for the newest attempt since it was made.
fn newest_attempt(history: &[Happened]) -> PaymentStatus {
    let renewals: Vec<_> = (0..history.len()).filter(|at| history[*at] == Happened::Renewed).collect();
    let newest = i32::try_from(renewals.len()).unwrap() + 1;
    let since = renewals.last().map_or(0, |at| at + 1);
    let told = everything_told(&history[since..]);
    let any = |what| {
        told.iter().any(|told| told.what == what && told.attempt == Some(newest) && wrong(told).is_none())
    };
    if any(What::Failed) {
        PaymentStatus::Failed
    } else if any(What::Processing) {
        PaymentStatus::Processing
    } else {
        PaymentStatus::Pending
    }
}
