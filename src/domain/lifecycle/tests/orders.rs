//! Order of arrival: from each starting point, every subset of a set of events in every order, and repeated.
//!
//! Two ways, because each could be wrong by itself. `paths_meet` shows for every subset of all events that
//! whichever arrives last, the facts are the same, which by induction on the size covers every order of every
//! subset; `orders` really plays every order of every small subset, repeats among them, and looks at
//! what follows only.

use super::{oracle::expected, *};

/// Every intent is reported with the same money each time, or with none while nothing is decided.
const EVENTS: [Told; 12] = [
    processing(1).of(A).pence(AMOUNT).currency("gbp"),
    failed(1),
    failed(2).of(C),
    success(A),
    success(B),
    full_refund(A),
    refund(A, 30_000),
    full_refund(B),
    success(C).pence(AMOUNT + 1),
    success(D).currency("eur"),
    full_refund(C).pence(AMOUNT + 1),
    refund(B, AMOUNT),
];
const ALL: usize = (1 << EVENTS.len()) - 1;
/// Subsets up to this size are played in every order; up to one less with one of them repeated as well.
const PLAYED: u32 = 4;

fn members(set: usize) -> impl Iterator<Item = usize> {
    (0..EVENTS.len()).filter(move |event| set & (1 << event) != 0)
}

fn expected_of(start: &[Happened], set: usize) -> View {
    let history = start.iter().copied().chain(members(set).map(|event| Happened::Told(EVENTS[event])));
    expected(&history.collect::<Vec<_>>())
}

fn paths_meet(start: &[Happened]) {
    let mut known = vec![with_past(start)];
    for set in 1..=ALL {
        // Every smaller set has a smaller number, so it has been here before.
        let ways = members(set).map(|last| known[set & !(1 << last)].clone().told(EVENTS[last]));
        let mut ways = ways.collect::<Vec<_>>();
        let facts = ways.pop().expect("the set is not empty");
        for way in ways {
            assert_eq!(way, facts, "from {start:?}, events {:?}", members(set).collect::<Vec<_>>());
        }
        for again in members(set) {
            assert_eq!(facts.clone().told(EVENTS[again]), facts, "{:?} once more", EVENTS[again]);
        }
        assert_eq!(view(&facts), expected_of(start, set), "from {start:?}, {facts:#?}");
        known.push(facts);
    }
}

fn orders(start: &[Happened]) {
    let expected: Vec<_> =
        (0..=ALL).map(|set| (set.count_ones() <= PLAYED).then(|| expected_of(start, set))).collect();
    play_on(&expected, &with_past(start), &mut vec![], 0, false);
}

fn play_on(expected: &[Option<View>], facts: &Facts, path: &mut Vec<usize>, set: usize, repeated: bool) {
    let what_follows = expected[set].as_ref().expect("no larger set is played");
    assert_eq!(view(facts), *what_follows, "after {path:?}: {facts:#?}");
    for (event, told) in EVENTS.iter().enumerate() {
        let again = set & (1 << event) != 0;
        let size = set.count_ones();
        let fits = if again { !repeated && size < PLAYED } else { size + u32::from(repeated) < PLAYED };
        if fits {
            path.push(event);
            let facts = facts.clone().told(*told);
            play_on(expected, &facts, path, set | (1 << event), repeated || again);
            path.pop();
        }
    }
}

macro_rules! from {
    ($($start:ident: $past:expr,)*) => { $(
        mod $start {
            use super::*;

            #[test]
            fn whichever_event_comes_last_the_facts_are_the_same() {
                paths_meet(&$past);
            }

            #[test]
            fn every_order_tells_the_same() {
                orders(&$past);
            }
        }
    )* };
}

from! {
    fresh: [],
    with_two_attempts: [Happened::Renewed],
    cancelled: [Happened::Cancelled],
    paid_by_hand: [Happened::PaidByHand],
    paid_by_hand_and_refund_marked: [Happened::PaidByHand, Happened::RefundMarked],
    withdrawn: [Happened::PaidByHand, Happened::Withdrawn],
    withdrawn_and_paid_by_hand_again: [Happened::PaidByHand, Happened::Withdrawn, Happened::PaidByHand],
    failed_once: [Happened::Told(failed(1))],
    older_payment_paid: [Happened::OlderPaid],
    newer_payment_paid: [Happened::NewerPaid],
    cancelled_and_newer_payment_paid: [Happened::Cancelled, Happened::NewerPaid],
    paid_and_refund_marked: [Happened::Told(success(A)), Happened::RefundMarked],
    failed_then_renewed: [Happened::Told(failed(1)), Happened::Renewed],
}
