//! Long random histories, marks among them, of one payment and of several of one task, against the oracle; and what holds
//! even where the provider contradicts itself.
//!
//! `FOLD_CASES=200000 PROPTEST_RNG_SEED=7 cargo test --release --lib lifecycle` is a long run that can be repeated.

use proptest::{prelude::*, sample::select};

use super::{
    oracle::{expected, expected_of_task},
    world::{World, allowed},
    *,
};
use PaymentStatus::{Cancelled, Failed, Pending, Processing, Refunded, Succeeded};

fn what() -> impl Strategy<Value = What> {
    let figure = prop_oneof![Just(0), 1..AMOUNT, Just(AMOUNT - 1), Just(AMOUNT), Just(AMOUNT + 1)];
    prop_oneof![
        Just(What::Processing),
        Just(What::Failed),
        Just(What::Succeeded),
        proptest::option::of(figure).prop_map(What::Refunded),
    ]
}

/// Attempts 3 and up are never made here.
fn attempt() -> impl Strategy<Value = Option<i32>> {
    proptest::option::weighted(0.8, 0..5)
}

const RIGHT_AMOUNTS: [Option<Amount>; 2] = [None, Some(Amount::Pence(AMOUNT))];
const WRONG_AMOUNTS: [Option<Amount>; 4] = [
    Some(Amount::Pence(0)),
    Some(Amount::Pence(AMOUNT - 1)),
    Some(Amount::Pence(AMOUNT * 100)),
    Some(Amount::Unreadable),
];
const RIGHT_CURRENCIES: [Option<&str>; 4] = [None, Some("gbp"), Some("GBP"), Some("Gbp")];
const WRONG_CURRENCIES: [Option<&str>; 4] = [Some("eur"), Some("EUR"), Some(""), Some("gbp ")];

fn right_money() -> impl Strategy<Value = (Option<Amount>, Option<&'static str>)> {
    (select(&RIGHT_AMOUNTS), select(&RIGHT_CURRENCIES))
}

fn wrong_money() -> impl Strategy<Value = (Option<Amount>, Option<&'static str>)> {
    prop_oneof![
        (select(&WRONG_AMOUNTS), select(&RIGHT_CURRENCIES)),
        (select(&RIGHT_AMOUNTS), select(&WRONG_CURRENCIES)),
        (select(&WRONG_AMOUNTS), select(&WRONG_CURRENCIES)),
    ]
}

/// Reports in which an intent never has the right money once and the wrong money another time. What is only under
/// way or failed may leave the money of a wrong intent open.
fn consistent() -> impl Strategy<Value = Told> {
    let right = (select(&[None, Some(A), Some(B), Some(E)]), right_money());
    let wrong = (select(&[Some(C), Some(D)]), wrong_money());
    (what(), attempt(), prop_oneof![3 => right, 1 => wrong], any::<bool>()).prop_map(
        |(what, attempt, (intent, (amount, currency)), silent)| {
            let told = Told { what, intent, attempt, amount, currency };
            let undecided = matches!(what, What::Processing | What::Failed);
            if silent && undecided { told.silent() } else { told }
        },
    )
}

/// Any report at all.
fn contradictory() -> impl Strategy<Value = Told> {
    let intent = select(&[None, Some(A), Some(C)]);
    let money = prop_oneof![2 => right_money(), 1 => wrong_money()];
    (what(), attempt(), intent, money).prop_map(|(what, attempt, intent, (amount, currency))| Told {
        what,
        intent,
        attempt,
        amount,
        currency,
    })
}

fn happened(told: impl Strategy<Value = Told>) -> impl Strategy<Value = Happened> {
    prop_oneof![
        8 => told.prop_map(Happened::Told),
        1 => Just(Happened::Renewed),
        1 => Just(Happened::Cancelled),
        3 => Just(Happened::PaidByHand),
        2 => Just(Happened::Withdrawn),
        2 => Just(Happened::RefundMarked),
        1 => select(&[Happened::OlderPaid, Happened::NewerPaid]),
    ]
}

/// Plays what is allowed of the wishes, and hands each step to `check`: what was, what happened, what is.
fn play(
    wishes: &[Happened],
    mut check: impl FnMut(&Facts, &[Happened], &Facts) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let mut facts = asked();
    let mut history = vec![];
    for wish in wishes {
        if allowed(*wish, &facts) {
            let before = facts.clone();
            history.push(*wish);
            facts = facts.then(*wish);
            check(&before, &history, &facts)?;
        }
    }
    Ok(())
}

/// The changes that a report may make. To `pending` lead only people.
fn report_may_lead(from: PaymentStatus, to: PaymentStatus) -> bool {
    match (from, to) {
        (from, to) if from == to => true,
        (Pending, Processing | Failed) | (Processing, Failed) => true,
        (Pending | Processing | Failed | Cancelled | Refunded, Succeeded) => true,
        (Pending | Processing | Failed | Cancelled | Succeeded, Refunded) => true,
        (
            Pending | Processing | Failed | Cancelled | Refunded | Succeeded,
            Pending | Processing | Failed | Cancelled | Refunded | Succeeded,
        ) => false,
    }
}

/// What happens to which of three payments of a task. Each has intents of its own, as Calmony Pay gives an intent to one
/// session.
fn happened_to_some() -> impl Strategy<Value = (usize, Happened)> {
    const INTENTS: [[&str; 4]; 3] = [
        ["pi_k", "pi_m", "pi_o", "pi_wrong1"],
        ["pi_a", "pi_n", "pi_z", "pi_wrong2"],
        ["pi_b", "pi_l", "pi_p", "pi_wrong3"],
    ];
    let own = |payment: usize, happened| match happened {
        Happened::Told(told) => {
            let place = told.intent.map(|intent| match intent {
                A => INTENTS[payment][0],
                B => INTENTS[payment][1],
                E => INTENTS[payment][2],
                _ => INTENTS[payment][3],
            });
            // One wrong intent a payment: `C` and `D` may be wrong in different ways, which is noticed as well.
            Happened::Told(Told { intent: place, ..told })
        }
        other => other,
    };
    let happened = prop_oneof![
        6 => consistent().prop_map(Happened::Told),
        1 => Just(Happened::Renewed),
        1 => Just(Happened::Cancelled),
        4 => Just(Happened::PaidByHand),
        4 => Just(Happened::Withdrawn),
        1 => Just(Happened::RefundMarked),
    ];
    (0..3_usize, happened).prop_map(move |(payment, happened)| (payment, own(payment, happened)))
}

/// `FOLD_CASES` sets how many, for a long run.
fn cases() -> u32 {
    std::env::var("FOLD_CASES").ok().map_or(1_500, |cases| cases.parse().expect("FOLD_CASES is a number"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to the payments of a task: what was written after each step is what the oracle says of their
    /// histories, each by itself.
    #[test]
    fn payments_of_a_task_tell_what_the_oracle_says(
        wishes in proptest::collection::vec(happened_to_some(), 0..30)
    ) {
        let mut world = World::of(3);
        let mut histories = vec![vec![]; 3];
        for (payment, wish) in wishes {
            if allowed(wish, &world.payments[payment]) {
                world.happen(payment, wish);
                histories[payment].push(wish);
                prop_assert_eq!(world.view(), expected_of_task(&histories), "{:#?}", histories);
            }
        }
    }

    #[test]
    fn every_history_tells_what_the_oracle_says(
        wishes in proptest::collection::vec(happened(consistent()), 0..40)
    ) {
        play(&wishes, |_, history, after| {
            prop_assert_eq!(view(after), expected(history), "{:#?}", history);
            Ok(())
        })?;
    }

    /// Between two deeds of people, and from any past, reports may come in any order and number.
    #[test]
    fn shuffled_reports_tell_the_same(
        wishes in proptest::collection::vec(happened(consistent()), 0..12),
        (told, shuffled) in proptest::collection::vec(consistent(), 0..20)
            .prop_flat_map(|told| {
                let twice = told.iter().chain(&told).copied().collect::<Vec<_>>();
                (Just(told), Just(twice).prop_shuffle())
            }),
    ) {
        let mut facts = asked();
        play(&wishes, |_, _, after| { facts = after.clone(); Ok(()) })?;
        let one = told.iter().fold(facts.clone(), |facts, told| facts.told(*told));
        let other = shuffled.iter().fold(facts, |facts, told| facts.told(*told));
        prop_assert_eq!(view(&one), view(&other));
    }

    /// These hold for contradictory reports too.
    #[test]
    fn facts_are_only_added(
        wishes in proptest::collection::vec(happened(contradictory()), 0..40)
    ) {
        let mut told = vec![];
        play(&wishes, |before, history, after| {
            let (was, is) = (view(before), view(after));
            let ((from, gone_back), (to, goes_back)) = (was.payments[0], is.payments[0]);
            prop_assert!(gone_back <= goes_back);
            if history.last() != Some(&Happened::Withdrawn) {
                prop_assert!(was.anomalies.is_subset(&is.anomalies), "an anomaly lapsed: {:?} {:?}", was, is);
                prop_assert!(!was.todo_complete || is.todo_complete, "the todo is open again");
                prop_assert!(was.task_paid_by.is_none() || is.task_paid_by.is_some(), "the task is open again");
                prop_assert!(!before.has_proof() || matches!(to, Succeeded | Refunded), "un-paid");
            }
            for (id, intent) in &before.intents {
                let decided = intent.state != IntentState::Seen;
                prop_assert!(!decided || after.intents[id].state == intent.state, "an intent changed its mind");
            }
            match history.last() {
                Some(Happened::Told(report)) => {
                    told.push(*report);
                    prop_assert!(report_may_lead(from, to), "{} → {}", from, to);
                }
                // Nobody hears of an attempt before it is made, but these reports are random.
                Some(Happened::Renewed) => told.clear(),
                _ => {}
            }
            for report in &told {
                prop_assert_eq!(&after.clone().told(*report), after, "{:?} once more", report);
            }
            Ok(())
        })?;
    }

    /// Which of contradictory reports came first decides whether the intent pays, never whether it is noticed.
    #[test]
    fn no_wrong_money_goes_unnoticed(
        (told, shuffled) in proptest::collection::vec(contradictory(), 0..8)
            .prop_flat_map(|told| (Just(told.clone()), Just(told).prop_shuffle())),
    ) {
        let mismatches = |told: &[Told]| {
            let mut found = numbered(told.iter().fold(asked(), |facts, told| facts.told(*told)).anomalies());
            found.retain(|(_, kind, _)| *kind != AnomalyKind::DoublePayment);
            found
        };
        let found = mismatches(&told);
        prop_assert_eq!(&found, &mismatches(&shuffled));
        let noticed = |told: &Told| {
            let (Some(kind), Some(intent)) = (asked().mismatch(&told.evidence()), told.intent) else {
                return true;
            };
            found.contains(&(OURS, kind, intent.to_owned()))
        };
        prop_assert!(told.iter().all(noticed), "{:?}", found);
    }
}
