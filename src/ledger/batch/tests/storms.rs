//! Thousands of random jobs on several workers, over a database that takes its time and fails at random: each job that was
//! told it stands does so once, of those that were told otherwise nothing is left, and no increment is lost.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng, seq::IndexedRandom};

use super::{
    super::Options,
    model::{Fault, Model, Point},
    programs::{Step, name, quiet, run, start},
};
use crate::error::Kind;

const ROWS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn random_program(rng: &mut impl Rng) -> Vec<Step> {
    let mut steps = vec![Step::Count];
    let some = rng.random_range(0..=3);
    let mut rows: Vec<&str> = ROWS.sample(rng, some).copied().collect();
    if rng.random_bool(0.9) {
        rows.sort_unstable();
    }
    for row in rows {
        steps.push(if rng.random() { Step::Bump(row) } else { Step::JoinedBump(row) });
        match rng.random_range(0..40) {
            0 => steps.push(Step::Leave),
            1 => steps.push(Step::Fail),
            2 => steps.push(Step::Panic),
            _ => {}
        }
    }
    steps
}

fn bumps(program: &[Step]) -> impl Iterator<Item = (&'static str, bool)> {
    program.iter().filter_map(|step| match step {
        Step::Bump(row) => Some((*row, false)),
        Step::JoinedBump(row) => Some((*row, true)),
        _ => None,
    })
}

async fn storm(seed: u64, jobs: usize, faults: usize) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let model = Arc::new(Model::slow(seed));
    let points =
        [Point::Connect, Point::Begin, Point::Statement, Point::Write, Point::Commit, Point::AfterCommit];
    let kinds = [Fault::Error, Fault::Break, Fault::Hang, Fault::Panic];
    for _ in 0..faults {
        let point = *points.choose(&mut rng).expect("some");
        model.plan(point, rng.random_range(0..30), *kinds.choose(&mut rng).expect("some"));
    }
    let options = Options { workers: rng.random_range(1..=3), ..Options::default() };
    let batcher = start(&model, &options);
    let programs: Vec<Vec<Step>> = (0..jobs).map(|_| random_program(&mut rng)).collect();
    let begins: Vec<u64> = (0..jobs).map(|_| rng.random_range(0..20_000)).collect();
    let answers = join_all(programs.iter().zip(begins).enumerate().map(|(job, (program, begins))| {
        let (batcher, model) = (&batcher, &model);
        async move {
            tokio::time::sleep(Duration::from_millis(begins)).await;
            run(batcher, model, name(job), program.clone()).await
        }
    }))
    .await;

    let rows = model.committed();
    let mut left: BTreeMap<&str, i64> = BTreeMap::new();
    let mut busy = 0;
    let mut told: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (job, (program, answer)) in programs.iter().zip(answers).enumerate() {
        let context = format!("seed {seed}, job {job}, {program:?}");
        let counted = rows.get(&name(job)).copied().unwrap_or(0);
        for (row, _) in bumps(program).filter(|_| counted > 0) {
            *left.entry(row).or_default() += 1;
        }
        match answer {
            Ok(values) => {
                assert_eq!(counted, 1, "{context}");
                let mut values = values.into_iter();
                for (row, joined) in bumps(program) {
                    told.entry(row).or_default().extend(values.next());
                    assert!(!joined || values.next() == Some(1), "{context}: read without the lock");
                }
            }
            // In doubt.
            Err(error) if faults > 0 && error.kind() == Kind::Internal => assert!(counted <= 1, "{context}"),
            Err(error) => {
                assert_eq!(counted, 0, "{context}: {error}");
                busy += usize::from(error.kind() == Kind::Busy);
            }
        }
    }
    assert!(faults > 0 || busy < jobs / 10, "seed {seed}: {busy} were not reached");
    for row in ROWS {
        let stands = rows.get(row).copied().unwrap_or(0);
        assert_eq!(stands, left.get(row).copied().unwrap_or(0), "seed {seed}: increments of {row} were lost");
        let mut values = told.remove(row).unwrap_or_default();
        values.sort_unstable();
        assert!(values.windows(2).all(|two| two[0] < two[1]), "seed {seed}: {row} was {values:?}");
        if faults == 0 {
            assert_eq!(values, (1..=stands).collect::<Vec<_>>(), "seed {seed}: {row}");
        }
    }
    model.assert_sound();
}

#[tokio::test(start_paused = true)]
async fn a_storm_loses_and_doubles_nothing() {
    quiet();
    for seed in 0..10 {
        storm(seed, 400, 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_storm_over_a_failing_database_loses_and_doubles_nothing() {
    quiet();
    for seed in 0..30 {
        storm(seed, 100, 8).await;
    }
}
