//! Small programs that run as jobs, in a batch or by themselves; and what they come to one after another, against which a
//! batch is held.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;

use super::{
    super::{BatchTx, Batcher, Database, DeferredWrite, Options, Statement},
    model::{Connection, Count, Insert, Lock, Model, Read, Set},
};
use crate::error::{Error, Kind};

/// How often a job that runs by itself is run again.
const MAX_TRIES: usize = 20;

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Locks a row and sets it to one more.
    Bump(&'static str),
    /// Asks for a row's lock and, at once, to read it: says whether both saw the same, and sets it to one more.
    JoinedBump(&'static str),
    /// Adds a row, unless it is there.
    Insert(&'static str),
    /// Counts that the job has been here, without waiting.
    Count,
    /// What can't be done in a batch.
    Leave,
    Fail,
    Panic,
}

/// What is done in a transaction, whosever it is.
pub enum Tx {
    Batch(BatchTx<Arc<Model>>),
    Alone(Arc<Connection>),
}

impl Tx {
    pub async fn ask<S: Statement<Arc<Model>>>(&self, ask: S::Ask) -> Result<S::Answer, Error> {
        match self {
            Self::Batch(tx) => tx.ask::<S>(ask).await,
            Self::Alone(connection) => {
                let mut answers = S::run(connection, &[ask]).await?;
                Ok(answers.pop().expect("an answer"))
            }
        }
    }

    pub async fn defer<W: DeferredWrite<Arc<Model>>>(&self, row: W::Row) -> Result<(), Error> {
        match self {
            Self::Batch(tx) => tx.defer::<W>(row).await,
            Self::Alone(connection) => <Arc<Model>>::write(connection, vec![W::part(vec![row])]).await,
        }
    }

    async fn alone(&self) {
        if let Self::Batch(tx) = self {
            match tx.leave().await {}
        }
    }
}

/// Runs a program; `name` is the job's own.
pub async fn program(tx: Tx, name: String, steps: Vec<Step>) -> Result<Vec<i64>, Error> {
    let mut answers = Vec::new();
    for step in steps {
        match step {
            Step::Bump(key) => {
                let value = tx.ask::<Lock>(key.to_owned()).await?.unwrap_or(0) + 1;
                tx.defer::<Set>((key.to_owned(), value)).await?;
                answers.push(value);
            }
            Step::JoinedBump(key) => {
                let (locked, read) = tokio::try_join!(
                    biased;
                    tx.ask::<Lock>(key.to_owned()),
                    tx.ask::<Read>(key.to_owned()),
                )?;
                let value = locked.unwrap_or(0) + 1;
                tx.defer::<Set>((key.to_owned(), value)).await?;
                answers.extend([value, i64::from(locked == read)]);
            }
            Step::Insert(key) => {
                answers.push(i64::from(tx.ask::<Insert>((key.to_owned(), 1)).await?));
            }
            Step::Count => tx.defer::<Count>(name.clone()).await?,
            Step::Leave => tx.alone().await,
            Step::Fail => return Err(Error::invalid("step", "fails")),
            Step::Panic => panic!("as planned"),
        }
    }
    Ok(answers)
}

/// Runs a program by itself, again where it lost a race, and within bounds of its own.
pub async fn alone(model: Arc<Model>, name: String, steps: Vec<Step>) -> Result<Vec<i64>, Error> {
    let run = tokio::time::timeout(Duration::from_secs(60), tries(model, name, steps));
    run.await.unwrap_or_else(|_| Err(Error::internal("no answer")))
}

async fn tries(model: Arc<Model>, name: String, steps: Vec<Step>) -> Result<Vec<i64>, Error> {
    let mut tries = 0..MAX_TRIES;
    loop {
        let connection = Arc::new(model.connect().await?);
        <Arc<Model>>::begin(&connection).await?;
        let run = program(Tx::Alone(Arc::clone(&connection)), name.clone(), steps.clone());
        match run.await {
            Ok(answers) => {
                <Arc<Model>>::commit(&connection).await?;
                return Ok(answers);
            }
            Err(error) => {
                <Arc<Model>>::rollback(&connection).await?;
                if error.kind() != Kind::Internal || tries.next().is_none() {
                    return Err(error);
                }
                tokio::time::sleep(Duration::from_millis(rand::random_range(0..100))).await;
            }
        }
    }
}

/// Starts workers on this runtime, whose time can be paused.
pub fn start(model: &Arc<Model>, options: &Options) -> Batcher<Arc<Model>> {
    let (batcher, workers) = Batcher::new(&Arc::new(Arc::clone(model)), options);
    workers.into_iter().for_each(|worker| drop(tokio::spawn(worker)));
    batcher
}

/// One worker.
pub fn one_worker() -> Options {
    Options { workers: 1, ..Options::default() }
}

/// Runs a program as a job.
pub async fn run(
    batcher: &Batcher<Arc<Model>>,
    model: &Arc<Model>,
    name: String,
    steps: Vec<Step>,
) -> Result<Vec<i64>, Error> {
    let (model, alone_name, alone_steps) = (Arc::clone(model), name.clone(), steps.clone());
    batcher
        .run(move |tx| program(Tx::Batch(tx), name, steps), move || alone(model, alone_name, alone_steps))
        .await
}

/// What jobs came to, and the rows they left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Came {
    pub answers: Vec<Result<Vec<i64>, Kind>>,
    pub rows: BTreeMap<String, i64>,
}

/// The name of the job with this number.
pub fn name(job: usize) -> String {
    format!("count/{job}")
}

/// Runs programs at once.
pub async fn run_all(batcher: &Batcher<Arc<Model>>, model: &Arc<Model>, programs: &[Vec<Step>]) -> Came {
    run_apart(std::slice::from_ref(batcher), model, programs).await
}

/// Runs programs at once, not all in the same batches.
pub async fn run_apart(batchers: &[Batcher<Arc<Model>>], model: &Arc<Model>, programs: &[Vec<Step>]) -> Came {
    let jobs = programs.iter().zip(batchers.iter().cycle()).enumerate();
    let jobs = jobs.map(|(job, (steps, batcher))| run(batcher, model, name(job), steps.clone()));
    let answers =
        join_all(jobs).await.into_iter().map(|answer| answer.map_err(|error| error.kind())).collect();
    Came { answers, rows: model.committed() }
}

/// What programs may come to: what they come to one after another, in any order.
pub fn serial(programs: &[Vec<Step>]) -> BTreeSet<Came> {
    let mut results = BTreeSet::new();
    for order in orders(programs.len()) {
        let mut rows = BTreeMap::new();
        let mut answers = vec![Ok(Vec::new()); programs.len()];
        for job in order {
            let mut mine = rows.clone();
            answers[job] = serially(&name(job), &programs[job], &mut mine);
            if answers[job].is_ok() {
                rows = mine;
            }
        }
        results.insert(Came { answers, rows });
    }
    results
}

fn serially(name: &str, steps: &[Step], rows: &mut BTreeMap<String, i64>) -> Result<Vec<i64>, Kind> {
    let mut answers = Vec::new();
    for step in steps {
        match step {
            Step::Bump(key) => answers.push(add(rows, key)),
            Step::JoinedBump(key) => answers.extend([add(rows, key), 1]),
            Step::Insert(key) => {
                let is_new = !rows.contains_key(*key);
                rows.entry((*key).to_owned()).or_insert(1);
                answers.push(i64::from(is_new));
            }
            Step::Count => _ = add(rows, name),
            Step::Leave => {}
            Step::Fail => return Err(Kind::InvalidParams),
            Step::Panic => return Err(Kind::Internal),
        }
    }
    Ok(answers)
}

fn add(rows: &mut BTreeMap<String, i64>, key: &str) -> i64 {
    let row = rows.entry(key.to_owned()).or_default();
    *row += 1;
    *row
}

/// Every order of so many jobs.
fn orders(jobs: usize) -> Vec<Vec<usize>> {
    if jobs == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(jobs - 1);
    let insert = |order: &Vec<usize>, place: usize| {
        let mut order = order.clone();
        order.insert(place, jobs - 1);
        order
    };
    shorter.iter().flat_map(|order| (0..jobs).map(move |place| insert(order, place))).collect()
}

/// Every sequence of at most so many of these steps, with each of these ends.
pub fn every_program(steps: &[Step], most: usize, ends: &[Option<Step>]) -> Vec<Vec<Step>> {
    let mut sequences = vec![Vec::new()];
    let mut longest: Vec<Vec<Step>> = sequences.clone();
    for _ in 0..most {
        longest = longest
            .iter()
            .flat_map(|sequence| steps.iter().map(|step| [sequence.as_slice(), &[*step]].concat()))
            .collect();
        sequences.extend(longest.iter().cloned());
    }
    sequences
        .iter()
        .flat_map(|sequence| ends.iter().map(|end| sequence.iter().copied().chain(*end).collect()))
        .collect()
}

/// Keeps the planned panics out of the output.
pub fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload_as_str().is_some_and(|text| text.contains("planned")) {
                told(info);
            }
        }));
    });
}
