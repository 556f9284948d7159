//! The rule a second time, declaratively: from the *set* of things that were told of each payment of a task, and people's
//! marks, to what follows. It shares no code with the fold and keeps no state; where the past matters (what a refund mark
//! covers, which manual mark was withdrawn, which attempts were known) it looks at the history of the one payment.
//!
//! Not covered: an intent reported both with the right and with the wrong money, which is outside the rule's claim
//! that order does not matter.

use super::*;

/// A proof of payment: 0, number and nothing, or 1, nothing and id. So marks sort before intents.
type Paid = (u8, usize, &'static str);

/// What the contract says of a payment with this history, in which others of its task may have been paid.
pub(super) fn expected(history: &[Happened]) -> View {
    let other = |paid, intent| match history.contains(&paid) {
        true => vec![Happened::Told(success(intent))],
        false => vec![],
    };
    let older = other(Happened::OlderPaid, OLDER_INTENT);
    let newer = other(Happened::NewerPaid, NEWER_INTENT);
    let mut view = expected_of_task(&[older, history.to_vec(), newer]);
    view.payments = vec![view.payments[OURS]];
    view
}

/// What the contract says of the payments of one task and one todo, from old to new, each with its own history. How the
/// histories were interleaved does not matter.
pub(super) fn expected_of_task(histories: &[Vec<Happened>]) -> View {
    let mut anomalies = BTreeSet::new();
    let mut paying = vec![];
    for (payment, history) in histories.iter().enumerate() {
        let proofs = proofs(history);
        if is_cancelled(history) {
            // They count for nothing but their own payment.
            for (at, proof) in proofs.iter().enumerate() {
                if at > 0 {
                    anomalies.insert((payment, AnomalyKind::DoublePayment, reference(*proof)));
                }
                if proof.0 == 1 {
                    anomalies.insert((payment, AnomalyKind::PaidAfterCancelled, String::new()));
                }
            }
        } else {
            paying.extend(proofs.into_iter().map(|proof| (payment, proof)));
        }
        for told in everything_told(history) {
            if let (Some(kind), Some(intent)) = (wrong(&told), told.intent) {
                anomalies.insert((payment, kind, intent.to_owned()));
            }
        }
    }
    for (payment, proof) in paying.iter().skip(1) {
        anomalies.insert((*payment, AnomalyKind::DoublePayment, reference(*proof)));
    }
    View {
        payments: histories.iter().map(|history| (status(history), refunded(history))).collect(),
        todo_complete: !paying.is_empty(),
        task_paid_by: paying.first().map(|(payment, _)| *payment),
        anomalies,
    }
}

fn reference((_, number, id): Paid) -> String {
    if id.is_empty() { format!("manual {number}") } else { id.to_owned() }
}

fn is_cancelled(history: &[Happened]) -> bool {
    history.contains(&Happened::Cancelled)
}

fn status(history: &[Happened]) -> PaymentStatus {
    let proofs = proofs(history);
    if proofs.iter().any(|proof| is_kept(*proof, history)) {
        PaymentStatus::Succeeded
    } else if !proofs.is_empty() {
        PaymentStatus::Refunded
    } else if is_cancelled(history) {
        PaymentStatus::Cancelled
    } else {
        newest_attempt(history)
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

/// Manual marks that nobody withdrew, and succeeded intents: a refund proves the success it refunds; a rejected one never
/// pays.
fn proofs(history: &[Happened]) -> BTreeSet<Paid> {
    let told = everything_told(history);
    let mut proofs: BTreeSet<_> = told
        .iter()
        .filter(|told| matches!(told.what, What::Succeeded | What::Refunded(_)))
        .filter_map(|told| told.intent)
        .filter(|intent| told.iter().all(|other| other.intent != Some(*intent) || wrong(other).is_none()))
        .map(|intent| (1, 0, intent))
        .collect();
    // People are let withdraw what stands only, so what is withdrawn is the mark before.
    let marks: Vec<_> = history
        .iter()
        .filter(|happened| matches!(happened, Happened::PaidByHand | Happened::Withdrawn))
        .collect();
    let mut number = 0;
    for (at, mark) in marks.iter().enumerate() {
        if **mark == Happened::PaidByHand {
            number += 1;
            if marks.get(at + 1) != Some(&&Happened::Withdrawn) {
                proofs.insert((0, number, ""));
            }
        }
    }
    proofs
}

/// Neither refunded in full nor covered by a refund mark.
fn is_kept(proof: Paid, history: &[Happened]) -> bool {
    let covered = (0..history.len())
        .any(|at| history[at] == Happened::RefundMarked && proofs(&history[..at]).contains(&proof));
    !covered && largest_refund(proof.2, history) < AMOUNT
}

/// The sum over the intents that paid.
fn refunded(history: &[Happened]) -> i64 {
    proofs(history).iter().map(|(_, _, intent)| largest_refund(intent, history)).sum()
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
