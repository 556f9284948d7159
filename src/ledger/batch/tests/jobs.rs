//! Jobs that fail, leave, wait for something else or are given up by their callers.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{
    super::Batcher,
    model::{Count, Fault, Lock, Model, Point, Short},
    programs::{Step, Tx, alone, name, one_worker, quiet, run, run_all, start},
};
use crate::{
    error::{Error, Kind},
    ledger::waiting::{self, Claim},
};

fn has_rolled_back(model: &Model) -> bool {
    model.log().iter().any(|(_, statement)| statement == "rollback")
}

#[tokio::test(start_paused = true)]
async fn a_job_that_has_written_nothing_fails_or_leaves_by_itself() {
    quiet();
    for end in [Step::Fail, Step::Panic, Step::Leave] {
        // What is left to be written, and not written yet, is simply not written.
        for begin in [vec![], vec![Step::Count], vec![Step::Insert("there")]] {
            let model = Arc::new(Model::default());
            model.set("there", 1);
            let batcher = start(&model, &one_worker());
            let programs = [[begin.clone(), vec![end]].concat(), vec![Step::Bump("a"), Step::Count]];
            let came = run_all(&batcher, &model, &programs).await;
            let counts = end == Step::Leave && begin == [Step::Count];
            assert_eq!(came.answers[0].is_ok(), end == Step::Leave, "{programs:?}");
            assert_eq!(came.rows.contains_key(&name(0)), counts, "{programs:?}");
            assert_eq!(came.answers[1], Ok(vec![1]), "{programs:?}");
            assert!(!has_rolled_back(&model), "{programs:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_has_written_takes_the_batch_with_it() {
    quiet();
    for end in [Step::Fail, Step::Panic, Step::Leave] {
        for begin in [vec![Step::Insert("b")], vec![Step::Count, Step::Bump("b")]] {
            let model = Arc::new(Model::default());
            let batcher = start(&model, &one_worker());
            let programs = [[begin.clone(), vec![end]].concat(), vec![Step::Bump("a"), Step::Count]];
            let came = run_all(&batcher, &model, &programs).await;
            assert_eq!(came.answers[0].is_ok(), end == Step::Leave, "{programs:?}");
            assert_eq!(came.rows.contains_key("b"), end == Step::Leave, "{programs:?}");
            assert_eq!((came.answers[1].clone(), came.rows["a"]), (Ok(vec![1]), 1), "{programs:?}");
            assert!(has_rolled_back(&model), "{programs:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn batches_and_splits_are_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let rendered = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let model = Arc::new(Model::default());
    let batcher = start(&model, &one_worker());
    for programs in
        [vec![vec![Step::Bump("a")], vec![Step::Bump("b")]], vec![vec![Step::Insert("c"), Step::Leave]]]
    {
        run_all(&batcher, &model, &programs).await;
    }
    let metrics = rendered.render();
    for line in
        ["quittance_batch_jobs_count 2", "quittance_batch_jobs_sum 3", "quittance_batches_split_total 1"]
    {
        assert!(metrics.lines().any(|one| one == line), "{line}: {metrics}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_row_of_a_job_that_left_is_free_for_the_others() {
    let model = Arc::new(Model::default());
    let batcher = start(&model, &one_worker());
    // It has the lock when it leaves, and comes by itself when the batch is done.
    let programs = [
        vec![Step::Insert("there"), Step::Leave, Step::Bump("a")],
        vec![Step::Insert("there"), Step::Bump("a")],
    ];
    model.set("there", 1);
    let came = run_all(&batcher, &model, &programs).await;
    assert_eq!(came.answers, [Ok(vec![0, 2]), Ok(vec![0, 1])]);
    assert!(!has_rolled_back(&model));
    model.assert_sound();
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waits_for_something_else_runs_alone() {
    let model = Arc::new(Model::default());
    let batcher = start(&model, &one_worker());
    let again = Arc::clone(&model);
    let sleeps = batcher.run(
        |_| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(vec![])
        },
        move || alone(again, name(0), vec![Step::Bump("a")]),
    );
    let (slept, other) = tokio::join!(sleeps, run(&batcher, &model, name(1), vec![Step::Bump("a")]));
    let mut values = [slept.expect("done"), other.expect("done")].concat();
    values.sort_unstable();
    assert_eq!(values, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_never_reached_makes_its_caller_busy_and_its_job_is_not_run() {
    let model = Arc::new(Model::default());
    let batcher = start(&model, &one_worker());
    run(&batcher, &model, name(0), vec![Step::Count]).await.expect("done");
    model.plan(Point::Statement, 0, Fault::Hang);
    let stuck = run(&batcher, &model, name(1), vec![Step::Bump("a")]);
    let waits = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        let answer = run(&batcher, &model, name(2), vec![Step::Count]).await;
        assert_eq!(answer.map_err(|error| error.kind()), Err(Kind::Busy));
        assert!(began.elapsed() < Duration::from_millis(2_100), "{:?}", began.elapsed());
    };
    let (stuck, ()) = tokio::join!(stuck, waits);
    assert_eq!(stuck.map_err(|error| error.kind()), Err(Kind::Busy));
    run(&batcher, &model, name(3), vec![Step::Count]).await.expect("done");
    assert!(!model.committed().contains_key(&name(2)));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_has_begun_is_waited_for() {
    let model = Arc::new(Model::slow(2));
    let batcher = start(&model, &one_worker());
    let began = Instant::now();
    run(&batcher, &model, name(0), vec![Step::Count; 2_000]).await.expect("done");
    assert!(began.elapsed() > Duration::from_millis(2_500), "it was too fast: {:?}", began.elapsed());
    assert_eq!(model.committed()[&name(0)], 2_000);
}

#[tokio::test(start_paused = true)]
async fn room_and_turn_are_waited_for_two_seconds_together() {
    let (jobs, mut queue) = tokio::sync::mpsc::channel(1);
    jobs.send(()).await.expect("room for one");
    let began = Instant::now();
    let (_answer, answered) = tokio::sync::oneshot::channel::<Result<(), Error>>();
    let claim = Claim::default();
    let make_room = async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        queue.recv().await
    };
    let (answer, _) = tokio::join!(waiting::queued(&jobs, (), &claim, answered), make_room);
    assert_eq!(answer.map_err(|error| error.kind()), Err(Kind::Busy));
    assert!(began.elapsed() < Duration::from_millis(2_100), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_caller_is_gone_is_run_only_if_it_had_begun() {
    // Slow, so that there is a time at which the first has begun and the second has not.
    let model = Arc::new(Model::slow(1));
    let batcher = start(&model, &one_worker());
    let steps = vec![Step::Bump("a"), Step::Bump("b"), Step::Bump("c"), Step::Count];
    let give_up = |job: usize, after: u64| {
        let run = run(&batcher, &model, name(job), steps.clone());
        tokio::time::timeout(Duration::from_millis(after), run)
    };
    let second = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        give_up(1, 1).await
    };
    let (first, second) = tokio::join!(give_up(0, 3), second);
    assert!(first.is_err() && second.is_err(), "they were too fast to be given up");
    run(&batcher, &model, name(2), vec![Step::Count]).await.expect("done");
    let counted = [0, 1, 2].map(|job| model.committed().contains_key(&name(job)));
    assert_eq!(counted, [true, false, true]);
}

/// What panics when it is dropped.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("planned");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_outlives_what_panics_when_it_is_dropped() {
    quiet();
    let model = Arc::new(Model::default());
    let batcher = start(&model, &one_worker());
    let blast = batcher.clone();
    let job = tokio::spawn(async move {
        let in_batch = |_| async {
            let grenade = Grenade;
            std::future::pending::<()>().await;
            drop(grenade);
            Ok(())
        };
        blast.run(in_batch, || async { Ok(()) }).await
    });
    assert!(job.await.expect("no panic here").is_err());
    run(&batcher, &model, name(0), vec![Step::Count]).await.expect("done");
}

#[tokio::test(start_paused = true)]
async fn whoever_keeps_a_transaction_that_is_over_is_told_so() {
    let model = Arc::new(Model::default());
    let batcher = start(&model, &one_worker());
    let (keep, kept) = tokio::sync::oneshot::channel();
    let in_batch = move |tx| async move {
        assert!(keep.send(Tx::Batch(tx)).is_ok());
        Ok(())
    };
    batcher.run(in_batch, || async { Ok(()) }).await.expect("done");
    let kept = kept.await.expect("the transaction");
    assert!(kept.defer::<Count>("late".to_owned()).await.is_err());
    // It asked for nothing, so there was no transaction.
    assert!(model.log().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_broke_meanwhile_is_not_used() {
    let model = Arc::new(Model::default());
    let batcher = start(&model, &one_worker());
    for _ in 0..2 {
        let in_batch = |tx| async move { Tx::Batch(tx).ask::<Lock>("a".to_owned()).await };
        let alone = || async { Err(Error::internal("ran by itself")) };
        batcher.run(in_batch, alone).await.expect("done in a batch");
        model.break_connections();
    }
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_answers_too_few_splits_the_batch() {
    let model = Arc::new(Model::default());
    let batcher = start(&model, &one_worker());
    let in_batch = |tx| async move { Tx::Batch(tx).ask::<Short>("a".to_owned()).await };
    assert!(batcher.run(in_batch, || async { Ok(true) }).await.expect("done by itself"));
}

#[tokio::test(start_paused = true)]
async fn workers_end_with_the_last_handle() {
    let model = Arc::new(Model::default());
    let (batcher, workers) = Batcher::new(&Arc::new(Arc::clone(&model)), &one_worker());
    let workers: Vec<_> = workers.into_iter().map(tokio::spawn).collect();
    run(&batcher, &model, name(0), vec![Step::Count]).await.expect("done");
    drop(batcher);
    assert!(join_all(workers).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn workers_have_threads_of_their_own() {
    let model = Arc::new(Model::default());
    let batcher =
        Batcher::start(Arc::new(Arc::clone(&model)), &super::super::Options::default()).expect("threads");
    let thread = |_| async { Ok(std::thread::current().name().map(str::to_owned)) };
    let ran_in = batcher.run(thread, || async { Err(Error::internal("ran by itself")) }).await;
    assert_eq!(ran_in.expect("done").as_deref(), Some("batch"));
    let jobs = (0..200).map(|job| run(&batcher, &model, name(job), vec![Step::Bump("a")]));
    assert!(join_all(jobs).await.iter().all(Result::is_ok));
    assert_eq!(model.committed()["a"], 200);
}
