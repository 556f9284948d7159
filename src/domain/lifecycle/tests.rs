//! Tests of the fold. `examples` reads like the README's section "Lifecycle", with `money` for wrong money;
//! `oracle` is that section written a second time, as naively as possible; `orders` and `random` hold the fold
//! against it; `steps` is the table of audited steps.
//!
//! Here: a payment that is asked for, and the sentences that tests tell it. No database, no clock.

mod examples;
mod money;
mod oracle;
mod orders;
mod random;
mod steps;

use super::*;

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
    RefundMarked,
    /// Another payment paid the same custom task.
    TaskPaidElsewhere,
}

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
    Facts {
        amount: pence(AMOUNT),
        intents: BTreeMap::new(),
        attempts: BTreeMap::from([(1, AttemptBest::Pending)]),
        marks: Marks::default(),
        task_paid_by_other: false,
        contradicted: BTreeSet::new(),
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
                self.attempts.insert(newest + 1, AttemptBest::Pending);
            }
            Happened::Cancelled => self.marks.cancelled = true,
            Happened::PaidByHand => self.marks.manually_paid = true,
            Happened::RefundMarked => self.mark_refunded(),
            Happened::TaskPaidElsewhere => self.task_paid_by_other = true,
        }
        self
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

    fn refund_marked(self) -> Self {
        self.then(Happened::RefundMarked)
    }

    /// The anomalies as lines: the kind, then what it is about.
    fn strange(&self) -> Vec<String> {
        let line = |(kind, about): &(AnomalyKind, String)| format!("{kind} {about}").trim_end().to_owned();
        self.anomalies().iter().map(line).collect()
    }
}

/// Everything that follows from the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct View {
    status: PaymentStatus,
    links: bool,
    refunded: i64,
    anomalies: BTreeSet<(AnomalyKind, String)>,
}

fn view(facts: &Facts) -> View {
    View {
        status: facts.status(),
        links: facts.completes_links(),
        refunded: facts.refunded().get(),
        anomalies: facts.anomalies(),
    }
}

fn pence(pence: i64) -> Pence {
    Pence::new(pence).expect("tests use no negative amounts")
}

fn intent_id(id: &str) -> IntentId {
    IntentId::parse(id).expect("tests use well-formed ids")
}
