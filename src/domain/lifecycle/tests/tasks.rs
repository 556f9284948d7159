//! The rule by example: several payments of one task and one todo.

use super::{
    Happened::{Cancelled, PaidByHand, RefundMarked, Withdrawn},
    world::World,
    *,
};

/// Three payments of a task, and what happened to them in this order.
fn task(events: &[(usize, Happened)]) -> World {
    let mut world = World::of(3);
    for (payment, happened) in events {
        world.happen(*payment, *happened);
    }
    world
}

fn paid(intent: &'static str) -> Happened {
    Happened::Told(success(intent))
}

#[test]
fn the_oldest_payment_with_a_proof_pays_the_task_whichever_was_paid_first() {
    let events = [(OLDER, paid("pi_z")), (OURS, paid("pi_m")), (NEWER, paid("pi_a"))];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let world = task(&order.map(|event| events[event]));
        assert_eq!(world.task_paid_by, Some(OLDER));
        assert_eq!(world.strange(), ["1 double_payment pi_m", "2 double_payment pi_a"]);
    }
}

#[test]
fn a_proof_can_make_another_payments_proof_a_double_payment() {
    let mut world = task(&[(NEWER, paid("pi_a"))]);
    assert!(world.todo_complete);
    assert_eq!((world.task_paid_by, world.strange()), (Some(NEWER), vec![]));
    world.happen(OLDER, PaidByHand);
    assert_eq!(world.task_paid_by, Some(OLDER));
    assert_eq!(world.strange(), ["2 double_payment pi_a"]);
    // Only the first of a payment pays: its own further proofs are double payments too.
    world.happen(OLDER, paid("pi_z"));
    assert_eq!(world.strange(), ["0 double_payment pi_z", "2 double_payment pi_a"]);
}

#[test]
fn a_withdrawal_opens_the_links_only_where_nothing_else_keeps_them() {
    let mut world = task(&[(OURS, PaidByHand), (NEWER, paid("pi_a"))]);
    assert_eq!((world.task_paid_by, world.strange()), (Some(OURS), vec!["2 double_payment pi_a".to_owned()]));
    world.happen(OURS, Withdrawn);
    assert_eq!((world.task_paid_by, world.todo_complete), (Some(NEWER), true));
    assert!(world.strange().is_empty(), "what the newer payment got is no surplus any more");

    let mut world = task(&[(OURS, PaidByHand)]);
    world.happen(OURS, Withdrawn);
    assert_eq!((world.task_paid_by, world.todo_complete), (None, false));
    world.happen(NEWER, PaidByHand);
    assert_eq!((world.task_paid_by, world.todo_complete), (Some(NEWER), true));
}

#[test]
fn a_withdrawn_surplus_lapses_on_its_own_payment() {
    let mut world = task(&[(OLDER, paid("pi_z")), (OURS, PaidByHand)]);
    assert_eq!(world.strange(), ["1 double_payment manual 1"]);
    world.happen(OURS, Withdrawn);
    assert_eq!((world.task_paid_by, world.strange()), (Some(OLDER), vec![]));
}

#[test]
fn what_lapsed_can_be_strange_again() {
    let mut world = task(&[(OLDER, PaidByHand), (OURS, paid("pi_m")), (OLDER, Withdrawn)]);
    assert!(world.strange().is_empty());
    world.happen(OLDER, PaidByHand);
    assert_eq!(world.strange(), ["1 double_payment pi_m"]);
    assert_eq!(world.task_paid_by, Some(OLDER));
}

#[test]
fn a_cancelled_payment_completes_nothing_and_displaces_nobody() {
    for order in
        [[(OLDER, paid("pi_z")), (OURS, paid("pi_m"))], [(OURS, paid("pi_m")), (OLDER, paid("pi_z"))]]
    {
        let mut world = task(&[(OLDER, Cancelled)]);
        for (payment, happened) in order {
            world.happen(payment, happened);
        }
        assert_eq!(world.task_paid_by, Some(OURS));
        assert_eq!(world.strange(), ["0 paid_after_cancelled"]);
        // Its own further proofs are counted among themselves.
        world.happen(OLDER, paid("pi_y"));
        assert_eq!(world.strange(), ["0 double_payment pi_z", "0 paid_after_cancelled"]);
    }
    let world = task(&[(OLDER, Cancelled), (OLDER, paid("pi_z"))]);
    assert_eq!((world.task_paid_by, world.todo_complete), (None, false));
}

#[test]
fn money_that_went_back_still_pays_the_task() {
    let mut world = task(&[(OLDER, PaidByHand), (OLDER, RefundMarked)]);
    assert_eq!((world.task_paid_by, world.todo_complete), (Some(OLDER), true));
    world.happen(OURS, Happened::Told(full_refund("pi_m")));
    assert_eq!(world.task_paid_by, Some(OLDER));
    assert_eq!(world.strange(), ["1 double_payment pi_m"]);
}

/// The links are looked at apart: payments of one todo need not be of one task.
#[test]
fn a_todo_is_kept_by_another_payment() {
    let mut facts = asked().paid_by_hand().withdrawn();
    assert!(!facts.completes_todo());
    facts.others.todo_has_proof = true;
    assert!(facts.completes_todo());
    assert_eq!(facts.task_paid_by(), None);
    assert!(facts.clone().paid_by_hand().double_payments().is_empty(), "a todo has no double payments");
    assert!(facts.cancelled().completes_todo());
}
