//! Tests of the fold. `examples` reads like docs/money.md, "Lifecycle", with `money` for wrong money, `withdrawals`
//! for manual marks that were mistakes and `tasks` for several payments of one task; `oracle` is that section written a
//! second time, as naively as possible; `orders`, `places` and `random` hold the fold against it; `requests` is what people
//! may ask for, `steps` the table of audited steps.
//!
//! Here: a payment that is asked for, and the sentences that tests tell it. No database, no clock.

mod examples;
mod money;
mod oracle;
mod orders;
mod places;
mod random;
mod requests;
mod steps;
mod tasks;
mod withdrawals;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::domain::{AnomalyKind, FreeText, Label};

/// What every payment of these tests asks for.
const AMOUNT: i64 = 90_000;
/// Intents that pay the right amount.
const A: &str = "pi_a";
const B: &str = "pi_b";
const E: &str = "pi_e";
/// Intents that are reported with the wrong amount or currency.
const C: &str = "pi_c";
const D: &str = "pi_d";

/// What Calmony Pay says about the payment. A plain value, so that the oracle needs nothing of the fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    what: What,
    intent: Option<&'static str>,
    attempt: Option<i32>,
    amount: Option<Amount>,
    currency: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Processing,
    Failed,
    Succeeded,
    /// The figure, or `None` where the event names none.
    Refunded(Option<i64>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Amount {
    Pence(i64),
    Unreadable,
}

/// What can happen to a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happened {
    Told(Told),
    /// A new link, so a new attempt.
    Renewed,
    Cancelled,
    PaidByHand,
    /// The standing manual mark was withdrawn.
    Withdrawn,
    RefundMarked,
    /// Money came through another payment of the same task, which was made before this one.
    OlderPaid,
    /// Or after it.
    NewerPaid,
}

/// The payments of a task, from old to new. A payment that tests look at by itself is the middle one.
const OLDER: usize = 0;
const OURS: usize = 1;
const NEWER: usize = 2;
/// The intents through which the others pay, where it is not told otherwise.
const OLDER_INTENT: &str = "pi_older";
const NEWER_INTENT: &str = "pi_newer";

const fn told(what: What) -> Told {
    Told { what, intent: None, attempt: None, amount: None, currency: None }
}

/// The money came through this intent, in the right amount and currency.
const fn success(intent: &'static str) -> Told {
    told(What::Succeeded).of(intent).pence(AMOUNT).currency("gbp")
}

/// All of the intent's money went back.
const fn full_refund(intent: &'static str) -> Told {
    told(What::Refunded(None)).of(intent).pence(AMOUNT).currency("gbp")
}

/// So much of the intent's money went back.
const fn refund(intent: &'static str, pence: i64) -> Told {
    told(What::Refunded(Some(pence))).of(intent).pence(AMOUNT).currency("gbp")
}

const fn processing(attempt: i32) -> Told {
    let mut told = told(What::Processing);
    told.attempt = Some(attempt);
    told
}

const fn failed(attempt: i32) -> Told {
    let mut told = told(What::Failed);
    told.attempt = Some(attempt);
    told
}

impl Told {
    const fn of(mut self, intent: &'static str) -> Self {
        self.intent = Some(intent);
        self
    }

    const fn pence(mut self, pence: i64) -> Self {
        self.amount = Some(Amount::Pence(pence));
        self
    }

    const fn unreadable(mut self) -> Self {
        self.amount = Some(Amount::Unreadable);
        self
    }

    const fn currency(mut self, currency: &'static str) -> Self {
        self.currency = Some(currency);
        self
    }

    /// The same report, naming no money.
    const fn silent(mut self) -> Self {
        self.amount = None;
        self.currency = None;
        self
    }

    fn evidence(self) -> Evidence {
        Evidence {
            intent: self.intent.map(intent_id),
            attempt: self.attempt,
            amount: match self.amount {
                None => Reported::Absent,
                Some(Amount::Pence(amount)) => Reported::Pence(pence(amount)),
                Some(Amount::Unreadable) => Reported::Unreadable,
            },
            currency: self.currency.map(str::to_owned),
            report: match self.what {
                What::Processing => Report::Processing,
                What::Failed => Report::Failed,
                What::Succeeded => Report::Succeeded,
                What::Refunded(figure) => Report::Refunded(figure.map(pence)),
            },
        }
    }
}

/// A payment just asked for: one attempt, nothing reported.
fn asked() -> Facts {
    asked_as(OURS)
}

fn asked_as(payment: usize) -> Facts {
    Facts {
        attempts: BTreeMap::from([(1, AttemptBest::Pending)]),
        ..Facts::new(payment_id(payment), pence(AMOUNT))
    }
}

/// A payment with this past.
fn with_past(past: &[Happened]) -> Facts {
    past.iter().fold(asked(), |facts, happened| facts.then(*happened))
}

impl Facts {
    fn then(mut self, happened: Happened) -> Self {
        match happened {
            Happened::Told(told) => self.record(&told.evidence()),
            Happened::Renewed => {
                let newest = self.attempts.last_key_value().map_or(0, |(number, _)| *number);
                self.renew(newest + 1);
            }
            Happened::Cancelled => self.cancel(),
            Happened::PaidByHand => _ = self.mark_manually_paid(None),
            Happened::Withdrawn => _ = self.withdraw_manual_payment(reason("a mistake")),
            Happened::RefundMarked => self.mark_refunded(label("BACS 2")),
            Happened::OlderPaid => self.other_paid(OLDER, OLDER_INTENT),
            Happened::NewerPaid => self.other_paid(NEWER, NEWER_INTENT),
        }
        self
    }

    fn other_paid(&mut self, payment: usize, intent: &str) {
        self.others.task_proofs.insert((payment_id(payment), Proof::Intent(intent_id(intent))));
        self.others.todo_has_proof = true;
    }

    fn told(self, told: Told) -> Self {
        self.then(Happened::Told(told))
    }

    fn renewed(self) -> Self {
        self.then(Happened::Renewed)
    }

    fn cancelled(self) -> Self {
        self.then(Happened::Cancelled)
    }

    fn paid_by_hand(self) -> Self {
        self.then(Happened::PaidByHand)
    }

    fn withdrawn(self) -> Self {
        self.then(Happened::Withdrawn)
    }

    fn refund_marked(self) -> Self {
        self.then(Happened::RefundMarked)
    }

    /// The payment's own anomalies as lines: the kind, then what it is about.
    fn strange(&self) -> Vec<String> {
        let own = self.anomalies().into_iter().filter(|anomaly| anomaly.payment == self.payment);
        own.map(|Anomaly { kind, reference, .. }| format!("{kind} {reference}").trim_end().to_owned())
            .collect()
    }
}

/// Everything that follows from the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct View {
    /// Status and refunded pence of each payment that is looked at.
    payments: Vec<(PaymentStatus, i64)>,
    todo_complete: bool,
    task_paid_by: Option<usize>,
    anomalies: BTreeSet<(usize, AnomalyKind, String)>,
}

fn view(facts: &Facts) -> View {
    View {
        payments: vec![(facts.status(), facts.refunded().get())],
        todo_complete: facts.completes_todo(),
        task_paid_by: facts.task_paid_by().map(number_of),
        anomalies: numbered(facts.anomalies()),
    }
}

fn numbered(anomalies: impl IntoIterator<Item = Anomaly>) -> BTreeSet<(usize, AnomalyKind, String)> {
    let number = |Anomaly { payment, kind, reference }| (number_of(payment), kind, reference);
    anomalies.into_iter().map(number).collect()
}

fn pence(pence: i64) -> Pence {
    Pence::new(pence).expect("tests use no negative amounts")
}

fn intent_id(id: &str) -> IntentId {
    IntentId::parse(id).expect("tests use well-formed ids")
}

/// The id of a payment of a task: later ones have larger ids.
fn payment_id(number: usize) -> PaymentId {
    PaymentId(uuid::Uuid::from_u128(number as u128))
}

fn number_of(payment: PaymentId) -> usize {
    usize::try_from(payment.0.as_u128()).expect("tests use small ids")
}

fn label(text: &str) -> Label<200> {
    Label::parse(text).expect("tests use short references")
}

fn reason(text: &str) -> FreeText<500> {
    FreeText::parse(text).expect("tests use short reasons")
}
