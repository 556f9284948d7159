//! What a job asks for is done in the order in which it asked, and what all ask for in as few statements as there are kinds.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::{
    super::{Batcher, Database},
    model::{Count, Insert, Lock, LockFirst, Model, Read, Replace, Set},
    programs::{Step, Tx, name, one_worker, run, run_all, start},
};
use crate::error::Error;

fn key(text: &str) -> String {
    text.to_owned()
}

/// Runs a job that is always part of a batch.
async fn in_batch<T: Send + 'static, F>(
    batcher: &Batcher<Arc<Model>>,
    work: impl FnOnce(Tx) -> F + Send + 'static,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let alone = || async { Err(Error::internal("ran by itself")) };
    batcher.run(move |tx| work(Tx::Batch(tx)), alone).await
}

fn statements(model: &Model) -> Vec<String> {
    model.log().into_iter().map(|(_, statement)| statement).collect()
}

#[tokio::test(start_paused = true)]
async fn equal_asks_of_a_round_are_one_statement() {
    let model = Arc::new(Model::default());
    let batcher = start(&model, &one_worker());
    let jobs =
        ["a", "b", "c", "d"].map(|row| run(&batcher, &model, key(row), vec![Step::Bump(row), Step::Count]));
    assert!(join_all(jobs).await.iter().all(Result::is_ok));
    let asked = statements(&model);
    let names: Vec<&str> = asked.iter().map(|asked| asked.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(names, ["begin", "lock", "write", "commit"], "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn asks_at_once_are_done_as_if_one_after_another() {
    let model = Arc::new(Model::default());
    let batcher = start(&model, &one_worker());
    let seen = in_batch(&batcher, |tx| async move {
        let (before, is_new, after) = tokio::try_join!(
            biased;
            tx.ask::<Read>(key("a")),
            tx.ask::<Insert>((key("a"), 1)),
            tx.ask::<Read>(key("a")),
        )?;
        assert_eq!((before, is_new, after), (None, true, Some(1)));
        let (_, deferred, ()) = tokio::try_join!(
            biased;
            tx.defer::<Set>((key("a"), 2)),
            tx.ask::<Read>(key("a")),
            tx.defer::<Set>((key("a"), 3)),
        )?;
        assert_eq!(deferred, Some(2));
        tx.defer::<Count>(key("n")).await?;
        tx.defer::<Set>((key("a"), 4)).await?;
        tx.defer::<Set>((key("a"), 5)).await?;
        Ok((tx.ask::<Read>(key("a")).await?, tx.ask::<Read>(key("n")).await?))
    });
    assert_eq!(seen.await.expect("done"), (Some(5), Some(1)));
    model.assert_sound();
}

#[tokio::test(start_paused = true)]
async fn writes_of_two_kinds_at_once_are_done_one_after_another() {
    let model = Arc::new(Model::default());
    let batcher = start(&model, &one_worker());
    // Asked for first, so that this statement is made first.
    let other = in_batch(&batcher, |tx| async move { tx.ask::<Replace>((key("b"), 1)).await });
    let both = in_batch(&batcher, |tx| async move {
        tokio::try_join!(
            biased;
            tx.ask::<Insert>((key("a"), 1)),
            tx.ask::<Replace>((key("a"), 2)),
        )
    });
    let (other, both) = tokio::join!(biased; other, both);
    assert_eq!((other.expect("done"), both.expect("done")), (false, (true, true)));
    assert_eq!(model.committed()["a"], 2);
}

#[tokio::test(start_paused = true)]
async fn writes_of_other_tables_share_a_statement_and_of_the_same_do_not() {
    let model = Arc::new(Model::default());
    let batcher = start(&model, &one_worker());
    let job = in_batch(&batcher, |tx| async move {
        tx.defer::<Set>((key("a"), 1)).await?;
        tx.defer::<Count>(key("n")).await?;
        tx.defer::<Set>((key("a"), 2)).await
    });
    job.await.expect("done");
    assert_eq!(statements(&model).iter().filter(|asked| asked.starts_with("write")).count(), 2);
    assert_eq!(model.committed()["a"], 2);
    model.assert_sound();
}

/// Another transaction holds the row and changes it while the batch waits for the lock: what was asked for behind the lock
/// must see the change, also where the lock's statement is new on the connection and the other is not.
#[tokio::test(start_paused = true)]
async fn what_is_asked_behind_a_lock_is_read_when_the_lock_is_there() {
    for warm in [&[][..], &[Step::Insert("x")], &[Step::JoinedBump("x")], &[Step::Bump("x")]] {
        let model = Arc::new(Model::default());
        let batcher = start(&model, &one_worker());
        in_batch(&batcher, |tx| async move { tx.ask::<Read>(key("x")).await }).await.expect("done");
        run(&batcher, &model, name(0), warm.to_vec()).await.expect("done");

        let other = model.connect().await.expect("a connection");
        <Arc<Model>>::begin(&other).await.expect("begun");
        let other = Arc::new(other);
        let holder = Tx::Alone(Arc::clone(&other));
        holder.ask::<Lock>(key("a")).await.expect("locked");
        let release = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            holder.defer::<Set>((key("a"), 7)).await.expect("written");
            <Arc<Model>>::commit(&other).await.expect("committed");
        };
        let bump = run(&batcher, &model, name(1), vec![Step::JoinedBump("a")]);
        let (bumped, ()) = tokio::join!(bump, release);
        assert_eq!(bumped.expect("done"), [8, 1], "after {warm:?}");
        assert!(!statements(&model).contains(&key("rollback")));
    }
}

/// As above, with the lock held by a job of the same batch.
#[tokio::test(start_paused = true)]
async fn what_is_asked_behind_a_lock_of_the_batch_waits_with_it() {
    let model = Arc::new(Model::default());
    let batcher = start(&model, &one_worker());
    let programs: Vec<_> = (0..20).map(|_| vec![Step::JoinedBump("a"), Step::JoinedBump("a")]).collect();
    let came = run_all(&batcher, &model, &programs).await;
    for (job, answers) in came.answers.into_iter().enumerate() {
        let value = 2 * i64::try_from(job).expect("few") + 1;
        assert_eq!(answers.expect("done"), [value, 1, value + 1, 1]);
    }
    assert!(!statements(&model).contains(&key("rollback")));
}

#[tokio::test(start_paused = true)]
async fn tables_are_locked_in_one_order_and_before_anything_is_read() {
    let model = Arc::new(Model::default());
    let batcher = start(&model, &one_worker());
    for _ in 0..2 {
        let read = in_batch(&batcher, |tx| async move { tx.ask::<Read>(key("a")).await });
        let last = in_batch(&batcher, |tx| async move { tx.ask::<Lock>(key("b")).await });
        let first = in_batch(&batcher, |tx| async move { tx.ask::<LockFirst>(key("c")).await });
        tokio::try_join!(biased; read, last, first).expect("done");
        let asked = statements(&model);
        assert_eq!(asked[asked.len() - 5..], ["begin ", "lock first c", "lock b", "read a", "commit "]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_is_the_same_row_whichever_statement_locks_it() {
    let model = Arc::new(Model::default());
    let batcher = start(&model, &one_worker());
    let jobs = (0..10).map(|number| {
        in_batch(&batcher, move |tx| async move {
            let value = match number % 2 {
                0 => tx.ask::<Lock>(key("a")).await?,
                _ => tx.ask::<LockFirst>(key("a")).await?,
            };
            // More rounds, in which others could come in between.
            tx.ask::<Read>(key("b")).await?;
            tx.defer::<Set>((key("a"), value.unwrap_or(0) + 1)).await
        })
    });
    assert!(join_all(jobs).await.iter().all(Result::is_ok));
    assert_eq!(model.committed()["a"], 10);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_leaves_much_to_be_written_waits_in_between() {
    let model = Arc::new(Model::default());
    let batcher = start(&model, &one_worker());
    let job = in_batch(&batcher, |tx| async move {
        for _ in 0..600 {
            tx.defer::<Count>(key("n")).await?;
        }
        tx.ask::<Read>(key("n")).await
    });
    assert_eq!(job.await.expect("done"), Some(600));
}
