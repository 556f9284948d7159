//! A database that fails, breaks off, panics or says nothing, at every step of a batch.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{
    super::Health,
    model::{Fault, Model, Point},
    programs::{Came, Step, name, one_worker, quiet, run, run_all, start},
};
use crate::error::Kind;

const FAULTS: [Fault; 4] = [Fault::Error, Fault::Break, Fault::Hang, Fault::Panic];

fn programs() -> Vec<Vec<Step>> {
    vec![
        vec![Step::JoinedBump("a"), Step::Count],
        vec![Step::Bump("a"), Step::Count, Step::Bump("b")],
        vec![Step::Insert("c"), Step::Count, Step::Bump("a"), Step::Bump("b")],
    ]
}

/// Whether the connection has been used before, so that a round is sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Used {
    Never,
    Before,
}

/// What the programs come to where these faults are planned, how long it took, and whether they all happened. Whatever it
/// was, the engine has recovered from it afterwards.
async fn with(used: Used, faults: &[(Point, usize, Fault)]) -> (Came, Duration, bool) {
    quiet();
    let model = Arc::new(Model::default());
    let batcher = start(&model, &one_worker());
    if used == Used::Before {
        let every_kind = vec![Step::JoinedBump("used"), Step::Insert("used")];
        run(&batcher, &model, "used".to_owned(), every_kind).await.expect("done");
    }
    for (point, skip, fault) in faults {
        model.plan(*point, *skip, *fault);
    }
    let began = Instant::now();
    let mut came = run_all(&batcher, &model, &programs()).await;
    came.rows.remove("used");
    let took = began.elapsed();
    let happened = model.faults_left() == 0;
    if happened {
        let again = run(&batcher, &model, "again".to_owned(), vec![Step::Count, Step::Bump("a")]).await;
        again.unwrap_or_else(|error| panic!("{faults:?}: not recovered: {error}"));
        model.assert_sound();
    }
    (came, took, happened)
}

fn assert_all_stand(came: &Came, faults: &impl std::fmt::Debug) {
    assert!(came.answers.iter().all(Result::is_ok), "{faults:?}: {came:?}");
    let counted: Vec<_> = (0..3).map(|job| came.rows.get(&name(job))).collect();
    assert_eq!(counted, [Some(&1); 3], "{faults:?}");
    assert_eq!((came.rows["a"], came.rows["b"], came.rows["c"]), (3, 2, 1), "{faults:?}");
}

fn assert_none_stands(came: &Came, kind: Kind, faults: &impl std::fmt::Debug) {
    assert_eq!(came.answers, vec![Err(kind); 3], "{faults:?}");
    assert!(came.rows.is_empty(), "{faults:?}: {came:?}");
}

/// Each skip at which the fault still happens; there must be at least so many.
async fn at_every(point: Point, fault: Fault, at_least: usize, check: impl Fn(&Came, Duration)) {
    for used in [Used::Never, Used::Before] {
        for skip in 0.. {
            let (came, took, happened) = with(used, &[(point, skip, fault)]).await;
            if !happened {
                assert!(skip >= at_least, "{point:?} was reached {skip} times only");
                break;
            }
            check(&came, took);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_fails_splits_the_batch_and_each_job_runs_alone() {
    for (point, times) in [(Point::Begin, 1), (Point::Statement, 5), (Point::Write, 2)] {
        for fault in [Fault::Error, Fault::Break, Fault::Panic] {
            at_every(point, fault, times, |came, _| assert_all_stand(came, &(point, fault))).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_stops_answering_is_given_up_and_nothing_stands() {
    for (point, times) in [(Point::Begin, 1), (Point::Statement, 5), (Point::Write, 2)] {
        at_every(point, Fault::Hang, times, |came, took| {
            assert_none_stands(came, Kind::Busy, &point);
            assert!(took < Duration::from_secs(9), "{point:?}: {took:?}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_can_not_be_reached_makes_callers_busy() {
    for fault in FAULTS {
        let (came, took, happened) = with(Used::Never, &[(Point::Connect, 0, fault)]).await;
        assert!(happened);
        assert_none_stands(&came, Kind::Busy, &fault);
        assert!(took < Duration::from_secs(3), "{fault:?}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_in_doubt_is_said_to_be_and_never_run_again() {
    for fault in FAULTS {
        let (came, took, happened) = with(Used::Never, &[(Point::Commit, 0, fault)]).await;
        assert!(happened);
        assert_none_stands(&came, Kind::Internal, &fault);
        assert!(took < Duration::from_secs(9), "{fault:?}: {took:?}");

        let (came, took, happened) = with(Used::Never, &[(Point::AfterCommit, 0, fault)]).await;
        assert!(happened);
        assert_eq!(came.answers, vec![Err(Kind::Internal); 3], "{fault:?}");
        assert_eq!((came.rows["a"], came.rows["b"], came.rows["c"]), (3, 2, 1), "{fault:?}");
        assert!(took < Duration::from_secs(9), "{fault:?}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_fails_takes_the_connection_with_it() {
    for fault in [Fault::Error, Fault::Break, Fault::Panic] {
        let faults = [(Point::Statement, 2, Fault::Error), (Point::Rollback, 0, fault)];
        let (came, _, happened) = with(Used::Before, &faults).await;
        assert!(happened);
        assert_all_stand(&came, &faults);
    }
    let faults = [(Point::Statement, 2, Fault::Error), (Point::Rollback, 0, Fault::Hang)];
    let (came, took, happened) = with(Used::Before, &faults).await;
    assert!(happened);
    assert_none_stands(&came, Kind::Busy, &faults);
    assert!(took < Duration::from_secs(9), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_left_is_not_run_where_the_database_does_not_answer() {
    for point in [Point::Write, Point::Commit] {
        let model = Arc::new(Model::default());
        model.plan(point, 0, Fault::Hang);
        let programs = [vec![Step::Leave, Step::Count], vec![Step::Count]];
        let came = run_all(&start(&model, &one_worker()), &model, &programs).await;
        assert_eq!(came.answers[0], Err(Kind::Busy), "{point:?}");
        assert!(came.rows.is_empty(), "{point:?}: {came:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_database_holds_nobody_and_is_used_again_when_it_speaks() {
    let model = Arc::new(Model::default());
    let health = Arc::new(Health::default());
    let options = super::super::Options { health: Arc::clone(&health), ..Default::default() };
    let batcher = start(&model, &options);
    let crowd = |from: usize| {
        let (batcher, model) = (&batcher, &model);
        join_all(
            (from..from + 300).map(|job| run(batcher, model, name(job), vec![Step::Bump("a"), Step::Count])),
        )
    };
    assert!(health.is_answering());
    assert!(crowd(0).await.iter().all(Result::is_ok));
    assert!(health.is_answering());

    model.silent.store(true, Ordering::Relaxed);
    for round in 1..4 {
        let began = Instant::now();
        let answers = crowd(round * 300).await;
        assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(|error| error.kind() == Kind::Busy)));
        assert!(began.elapsed() < Duration::from_secs(11), "{:?}", began.elapsed());
        assert!(!health.is_answering());
    }
    model.silent.store(false, Ordering::Relaxed);
    assert!(crowd(1_200).await.iter().all(Result::is_ok));
    assert!(health.is_answering());
    assert_eq!(model.committed()["a"], 600);
    model.assert_sound();
}
