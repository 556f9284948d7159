//! Reads that share statements, and a database that fails them.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{
    super::{Health, Loader, Options},
    model::{Exists, Fault, Model, Point, Read, Short},
    programs::quiet,
};
use crate::error::{Error, Kind};

fn loader(model: &Arc<Model>, workers: usize) -> (Loader<Arc<Model>>, Arc<Health>) {
    let options = Options { workers, ..Options::default() };
    (Loader::start(&Arc::new(Arc::clone(model)), &options), options.health)
}

fn with_rows() -> Arc<Model> {
    let model = Arc::new(Model::default());
    for row in 0..50 {
        model.set(&row.to_string(), row);
    }
    model
}

async fn read_all(loader: &Loader<Arc<Model>>) -> Vec<Result<Option<i64>, Error>> {
    join_all((0..60).map(|row| loader.ask::<Read>(row.to_string()))).await
}

fn assert_right(answers: Vec<Result<Option<i64>, Error>>) {
    for (row, answer) in (0..).zip(answers) {
        assert_eq!(answer.expect("an answer"), (row < 50).then_some(row));
    }
}

#[tokio::test(start_paused = true)]
async fn each_is_answered_what_it_asked_in_one_statement_of_a_kind() {
    let model = with_rows();
    let (loader, health) = loader(&model, 1);
    let (read, exist) = tokio::join!(
        read_all(&loader),
        join_all(["3", "x", "4"].map(|row| loader.ask::<Exists>(row.to_owned())))
    );
    assert_right(read);
    assert_eq!(
        exist.into_iter().map(|answer| answer.expect("an answer")).collect::<Vec<_>>(),
        [true, false, true]
    );
    assert_eq!(model.log().len(), 2);
    assert!(health.is_answering());
}

#[tokio::test(start_paused = true)]
async fn one_bad_ask_harms_nobody() {
    quiet();
    let model = with_rows();
    let (loader, _) = loader(&model, 1);
    for bad in ["bad", "panic"] {
        let (read, exist, bad) = tokio::join!(
            read_all(&loader),
            loader.ask::<Exists>("3".to_owned()),
            loader.ask::<Read>(bad.to_owned()),
        );
        assert_right(read);
        assert!(exist.expect("an answer"));
        assert_eq!(bad.expect_err("bad").kind(), Kind::Internal);
    }
    // The other kind was made once only, and the failed one once for all and once for each.
    let (reads, exists): (Vec<_>, Vec<_>) =
        model.log().into_iter().partition(|(_, asked)| asked.starts_with("read"));
    assert_eq!((reads.len(), exists.len()), (2 * 62, 2));
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_answers_too_few_is_an_error() {
    let model = with_rows();
    let (loader, _) = loader(&model, 1);
    let answers = join_all((0..3).map(|row| loader.ask::<Short>(row.to_string()))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(|error| error.kind() == Kind::Internal)));
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_made_anew_and_asked_once_more() {
    let model = with_rows();
    model.plan(Point::Statement, 0, Fault::Break);
    let (loader, _) = loader(&model, 1);
    assert_right(read_all(&loader).await);
    assert_eq!(model.log().iter().map(|(connection, _)| *connection).collect::<Vec<_>>(), [0, 1]);
    // While it asks one by one, because of a bad ask.
    model.plan(Point::Statement, 5, Fault::Break);
    let (read, bad) = tokio::join!(read_all(&loader), loader.ask::<Read>("bad".to_owned()));
    assert_right(read);
    assert_eq!(bad.expect_err("bad").kind(), Kind::Internal);
    // But not for ever.
    for _ in 0..2 {
        model.plan(Point::Statement, 0, Fault::Break);
    }
    let answers = read_all(&loader).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(|error| error.kind() == Kind::Busy)));
    assert_right(read_all(&loader).await);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_says_nothing_is_given_up() {
    for (point, bound) in [(Point::Statement, 9), (Point::Connect, 3)] {
        let model = with_rows();
        model.plan(point, 0, Fault::Hang);
        let (loader, health) = loader(&model, 1);
        let began = Instant::now();
        let answers = read_all(&loader).await;
        assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(|error| error.kind() == Kind::Busy)));
        assert!(began.elapsed() < Duration::from_secs(bound), "{:?}", began.elapsed());
        assert!(!health.is_answering());
        assert_right(read_all(&loader).await);
        assert!(health.is_answering());
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_reached_is_told_busy_and_not_asked_for() {
    let model = with_rows();
    let (loader, _) = loader(&model, 1);
    model.plan(Point::Statement, 0, Fault::Hang);
    let waits = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let gone = tokio::time::timeout(Duration::from_millis(100), loader.ask::<Read>("gone".to_owned()));
        let began = Instant::now();
        let (gone, late) = tokio::join!(gone, loader.ask::<Read>("late".to_owned()));
        assert_eq!(late.map_err(|error| error.kind()), Err(Kind::Busy));
        assert!(gone.is_err() && began.elapsed() < Duration::from_millis(2_100), "{:?}", began.elapsed());
    };
    tokio::join!(waits, loader.ask::<Read>("stuck".to_owned())).1.expect_err("stuck");
    assert_right(read_all(&loader).await);
    let asked = model.log();
    assert!(!asked.iter().any(|(_, asked)| asked.contains("gone") || asked.contains("late")), "{asked:?}");
}
