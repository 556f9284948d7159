//! The lifecycle once more, as naively as it can be said: from everything that was told, in whatever order, to what
//! must be seen. It shares nothing with the server.

use std::collections::BTreeSet;

pub const AMOUNT: i64 = 25_000;

/// What the provider tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    Processing,
    Failed,
    Succeeded(&'static str),
    Refunded(&'static str, i64),
    /// The success of an intent with a penny too much.
    Wrong(&'static str),
    /// The refund of that intent.
    WrongRefunded(&'static str),
}

/// Where a payment stands before anything of the sequence is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Pending,
    Failed,
    Cancelled,
    PaidByHand,
    PaidByHandAndRefunded,
    RefundedInFull,
}

impl Start {
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Failed,
        Self::Cancelled,
        Self::PaidByHand,
        Self::PaidByHandAndRefunded,
        Self::RefundedInFull,
    ];

    /// What the provider told to get there.
    pub fn told(self) -> Vec<Told> {
        match self {
            Self::Failed => vec![Told::Failed],
            Self::RefundedInFull => vec![Told::Succeeded("s"), Told::Refunded("s", AMOUNT)],
            Self::Pending | Self::Cancelled | Self::PaidByHand | Self::PaidByHandAndRefunded => vec![],
        }
    }

    fn by_hand(self) -> bool {
        matches!(self, Self::PaidByHand | Self::PaidByHandAndRefunded)
    }
}

/// What is seen of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub status: &'static str,
    pub refunded: i64,
    pub todo_complete: bool,
    /// Kinds, sorted.
    pub anomalies: Vec<&'static str>,
}

/// What must be seen after all of `told`, start included.
pub fn expected(start: Start, told: &[Told]) -> Seen {
    let told: BTreeSet<Told> = told.iter().copied().collect();
    let refund_of = |intent: &str| {
        let figures = told.iter().map(|told| match told {
            Told::Refunded(of, pence) if *of == intent => *pence,
            _ => 0,
        });
        figures.max().unwrap_or(0)
    };
    let paying: BTreeSet<&str> = told
        .iter()
        .filter_map(|told| match told {
            Told::Succeeded(intent) | Told::Refunded(intent, _) => Some(*intent),
            _ => None,
        })
        .collect();
    let wrong: BTreeSet<&str> = told
        .iter()
        .filter_map(|told| match told {
            Told::Wrong(intent) | Told::WrongRefunded(intent) => Some(*intent),
            _ => None,
        })
        .collect();
    let cancelled = start == Start::Cancelled;
    let proofs = paying.len() + usize::from(start.by_hand());
    let kept = start == Start::PaidByHand || paying.iter().any(|intent| refund_of(intent) < AMOUNT);
    let mut anomalies = vec!["amount_mismatch"; wrong.len()];
    anomalies.extend(vec!["double_payment"; proofs.saturating_sub(1)]);
    anomalies.extend((cancelled && !paying.is_empty()).then_some("paid_after_cancelled"));
    Seen {
        status: match () {
            () if kept => "succeeded",
            () if proofs > 0 => "refunded",
            () if cancelled => "cancelled",
            () if told.contains(&Told::Failed) => "failed",
            () if told.contains(&Told::Processing) => "processing",
            () => "pending",
        },
        refunded: paying.iter().map(|intent| refund_of(intent)).sum(),
        todo_complete: proofs > 0 && !cancelled,
        anomalies,
    }
}

/// The transitions that the trail must tell of between two statuses.
pub fn steps(from: &'static str, to: &'static str) -> Vec<(&'static str, &'static str)> {
    match (from, to) {
        (from, to) if from == to => vec![],
        ("succeeded", "refunded") => vec![(from, to)],
        (from, "refunded") => vec![(from, "succeeded"), ("succeeded", "refunded")],
        _ => vec![(from, to)],
    }
}
