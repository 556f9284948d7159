//! Every small program beside every other: a batch comes to what its jobs come to one after another, in some order.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{
    model::Model,
    programs::{Step, every_program, one_worker, quiet, run_apart, serial, start},
};

/// How many batches are tried at once; each has a database of its own.
const AT_ONCE: usize = 50;

async fn assert_serial(programs: Vec<Vec<Step>>, batches: usize) {
    let model = Arc::new(Model::default());
    let batchers: Vec<_> = (0..batches).map(|_| start(&model, &one_worker())).collect();
    let came = run_apart(&batchers, &model, &programs).await;
    let allowed = serial(&programs);
    assert!(allowed.contains(&came), "{programs:?} came to {came:?}, not to one of {allowed:#?}");
    model.assert_sound();
}

/// Of all these sets of jobs, where they run in so many batches.
async fn assert_all_serial(batches: usize, jobs: impl Iterator<Item = Vec<Vec<Step>>>) {
    let mut jobs = jobs.peekable();
    while jobs.peek().is_some() {
        join_all(jobs.by_ref().take(AT_ONCE).map(|programs| assert_serial(programs, batches))).await;
    }
}

fn pairs(programs: &[Vec<Step>]) -> impl Iterator<Item = Vec<Vec<Step>>> {
    programs.iter().flat_map(|one| programs.iter().map(|other| vec![one.clone(), other.clone()]))
}

#[tokio::test(start_paused = true)]
async fn two_jobs_of_two_steps_and_any_end() {
    quiet();
    let steps = [Step::Bump("a"), Step::JoinedBump("b"), Step::Insert("c"), Step::Count, Step::Leave];
    let programs = every_program(&steps, 2, &[None, Some(Step::Fail), Some(Step::Panic)]);
    assert_all_serial(1, pairs(&programs)).await;
}

#[tokio::test(start_paused = true)]
async fn two_jobs_of_three_steps() {
    quiet();
    let steps = [Step::Bump("a"), Step::JoinedBump("b"), Step::Insert("a"), Step::Leave];
    let programs = every_program(&steps, 3, &[None]);
    assert_all_serial(1, pairs(&programs)).await;
}

#[tokio::test(start_paused = true)]
async fn three_jobs_of_two_steps() {
    quiet();
    let steps = [Step::JoinedBump("a"), Step::Bump("b"), Step::Leave];
    let programs = every_program(&steps, 2, &[None]);
    let last = every_program(&steps, 2, &[None, Some(Step::Fail)]);
    let threes = last.iter().flat_map(|last| pairs(&programs).map(|two| [two, vec![last.clone()]].concat()));
    assert_all_serial(1, threes).await;
}

#[tokio::test(start_paused = true)]
async fn two_batches_that_lock_the_same_rows() {
    quiet();
    let steps = [Step::Bump("a"), Step::JoinedBump("b"), Step::Insert("a"), Step::Leave];
    let programs = every_program(&steps, 2, &[None, Some(Step::Fail)]);
    assert_all_serial(2, pairs(&programs)).await;
}

#[tokio::test(start_paused = true)]
async fn two_batches_of_two_jobs_that_lock_the_same_rows() {
    let steps = [Step::Bump("a"), Step::JoinedBump("b")];
    let programs = every_program(&steps, 2, &[None]);
    let fours =
        pairs(&programs).flat_map(|two| pairs(&programs).map(move |others| [two.clone(), others].concat()));
    assert_all_serial(2, fours).await;
}
