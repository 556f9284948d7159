//! Marks at fixed places, and between them the reports of several payments in every order: whatever people did in between,
//! the order of the reports does not matter, to the one payment or to the others of its task.
//!
//! Every order of a gap's reports must lead to the same world. That being so it is enough to go on from one of them, and
//! the orders of all gaps together are covered.

use super::{
    oracle::expected_of_task,
    world::{World, allowed},
    *,
};

/// The reports between two marks, by payment. Every intent belongs to one payment. Ids and payments are ordered
/// differently.
type Gap = [(usize, Told); 4];

const UNDER_WAY: Gap = [
    (OLDER, processing(1)),
    (OURS, failed(1)),
    (NEWER, processing(1).of("pi_b")),
    (OLDER, success("pi_wrong").pence(AMOUNT + 1)),
];
const FIRST_MONEY: Gap =
    [(OURS, success("pi_m")), (NEWER, refund("pi_b", 30_000)), (OURS, success("pi_a")), (OLDER, failed(1))];
const NEWEST_MONEY: Gap =
    [(NEWER, success("pi_c")), (NEWER, success("pi_b")), (OURS, failed(1)), (NEWER, full_refund("pi_c"))];
const MORE_MONEY: Gap = [
    (OLDER, success("pi_z")),
    (NEWER, full_refund("pi_b")),
    (NEWER, success("pi_c")),
    (OURS, full_refund("pi_m")),
];
/// The gaps before, between and after three marks.
const RUNS: [[Gap; 4]; 4] = [
    [UNDER_WAY, FIRST_MONEY, MORE_MONEY, UNDER_WAY],
    [FIRST_MONEY, UNDER_WAY, FIRST_MONEY, MORE_MONEY],
    [UNDER_WAY, UNDER_WAY, MORE_MONEY, FIRST_MONEY],
    [UNDER_WAY, NEWEST_MONEY, NEWEST_MONEY, MORE_MONEY],
];
const MARKS: [Happened; 4] =
    [Happened::PaidByHand, Happened::Withdrawn, Happened::Cancelled, Happened::RefundMarked];

/// The worlds that were looked at, to be sure that some were.
#[derive(Default)]
struct Count {
    worlds: usize,
    withdrawals: usize,
    displaced: usize,
}

#[test]
fn between_marks_at_fixed_places_every_order_tells_the_same() {
    let mut count = Count::default();
    for gaps in &RUNS {
        walk(&World::of(3), &[vec![], vec![], vec![]], gaps, &mut count);
    }
    assert!(count.worlds > 100_000, "{}", count.worlds);
    assert!(count.withdrawals > 50 && count.displaced > 50, "{} {}", count.withdrawals, count.displaced);
}

fn walk(world: &World, histories: &[Vec<Happened>], gaps: &[Gap], count: &mut Count) {
    let [gap, later @ ..] = gaps else { return };
    let expected: Vec<_> = (0..1 << gap.len()).map(|set| expected_after(histories, gap, set)).collect();
    let mut end = None;
    play(world, gap, 0, false, &expected, &mut end, count);
    let world = end.expect("the gap was played to its end");
    let mut histories = histories.to_vec();
    for (payment, told) in gap {
        histories[*payment].push(Happened::Told(*told));
    }
    for (payment, mark) in (0..3).flat_map(|payment| MARKS.map(|mark| (payment, mark))) {
        if !later.is_empty() && allowed(mark, &world.payments[payment]) {
            let (mut world, mut histories) = (world.clone(), histories.clone());
            let paid_by = world.task_paid_by;
            world.happen(payment, mark);
            histories[payment].push(mark);
            assert_eq!(world.view(), expected_of_task(&histories), "{histories:#?}");
            count.withdrawals += usize::from(mark == Happened::Withdrawn);
            count.displaced += usize::from(paid_by.is_some() && paid_by != world.task_paid_by);
            walk(&world, &histories, later, count);
        }
    }
}

fn expected_after(histories: &[Vec<Happened>], gap: &Gap, set: usize) -> View {
    let mut histories = histories.to_vec();
    for (report, (payment, told)) in gap.iter().enumerate() {
        if set & (1 << report) != 0 {
            histories[*payment].push(Happened::Told(*told));
        }
    }
    expected_of_task(&histories)
}

/// Every order of the gap's reports, and each with one of them told twice.
fn play(
    world: &World,
    gap: &Gap,
    set: usize,
    repeated: bool,
    expected: &[View],
    end: &mut Option<World>,
    count: &mut Count,
) {
    count.worlds += 1;
    assert_eq!(world.view(), expected[set], "reports {set:b} of {gap:?} in {world:#?}");
    if set + 1 == expected.len() {
        assert_eq!(world, end.get_or_insert_with(|| world.clone()), "the orders of {gap:?} part");
    }
    for (report, (payment, told)) in gap.iter().enumerate() {
        let again = set & (1 << report) != 0;
        if !(again && repeated) {
            let mut world = world.clone();
            world.happen(*payment, Happened::Told(*told));
            play(&world, gap, set | (1 << report), repeated || again, expected, end, count);
        }
    }
}
