//! What the jobs of a group share: the desk where they leave what they want done, the connection that goes round, and
//! who has locked what.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
};

use tokio::sync::oneshot;

use super::{
    super::{Conn, posts::Posts, requests::Requests},
    take_up,
};
use crate::error::Error;

/// Where the jobs of a group leave what they want done.
#[derive(Default)]
pub struct Desk {
    pub(super) requests: Requests,
    /// Who needs the connection to themselves.
    pub(super) alone: VecDeque<(usize, oneshot::Sender<Conn>)>,
    /// The connection, from whoever was lent it last.
    pub(super) returned: Option<Conn>,
    /// A statement failed, and with it the transaction, whatever its job makes of that.
    pub(super) spoilt: bool,
}

/// A job's place in its group: what its [`Tx`](crate::ledger::Tx) is made of.
pub struct Seat {
    pub(in super::super) index: usize,
    pub(super) desk: Arc<Mutex<Desk>>,
}

impl Seat {
    /// Leaves a request and waits for the answer to it.
    pub(in super::super) async fn ask<O>(
        &self,
        file: impl FnOnce(&mut Requests, oneshot::Sender<O>),
    ) -> Result<O, Error> {
        self.wait_while(|requests| requests.posts.has_any_of(self.index)).await?;
        self.file_and_wait(file).await
    }

    /// Leaves a request that has no answer; it is done before anything this job asks for later.
    pub(in super::super) async fn post(
        &self,
        is_there: impl Fn(&Requests) -> bool,
        file: impl FnOnce(&mut Posts),
    ) -> Result<(), Error> {
        // One statement can't change a row twice.
        self.wait_while(is_there).await?;
        file(&mut take_up(&self.desk).requests.posts);
        Ok(())
    }

    /// Notes whether a statement failed that was made on a lent connection.
    pub fn note<T, E>(&self, made: Result<T, E>) -> Result<T, E> {
        take_up(&self.desk).spoilt |= made.is_err();
        made
    }

    /// The connection, for one statement.
    pub async fn borrow(&self) -> Result<Lent, Error> {
        self.wait_while(|requests| requests.posts.has_any_of(self.index)).await?;
        let (lend, lent) = oneshot::channel();
        take_up(&self.desk).alone.push_back((self.index, lend));
        let connection = lent.await.map_err(|_| Error::internal("the group came apart"))?;
        Ok(Lent { connection: Some(connection), desk: Arc::clone(&self.desk) })
    }

    /// Waits for the ends of rounds as long as this is so.
    async fn wait_while(&self, is_so: impl Fn(&Requests) -> bool) -> Result<(), Error> {
        while is_so(&take_up(&self.desk).requests) {
            self.file_and_wait(|requests, reply| requests.end_of_round.push(reply)).await?;
        }
        Ok(())
    }

    async fn file_and_wait<O>(
        &self,
        file: impl FnOnce(&mut Requests, oneshot::Sender<O>),
    ) -> Result<O, Error> {
        let (reply, replied) = oneshot::channel();
        file(&mut take_up(&self.desk).requests, reply);
        // Dropped only with the group, and then nobody asks for the reason any more.
        replied.await.map_err(|_| Error::internal("the group came apart"))
    }
}

/// A lent connection; it goes back by itself.
pub struct Lent {
    connection: Option<Conn>,
    desk: Arc<Mutex<Desk>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        take_up(&self.desk).returned = self.connection.take();
    }
}

impl Deref for Lent {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        self.connection.as_ref().expect("it is there until it is dropped")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Conn {
        self.connection.as_mut().expect("it is there until it is dropped")
    }
}

/// A row that a job of a group has locked: by which statement, and its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockKey(pub &'static str, pub String);

/// Which job of a group has locked what, until it is done.
#[derive(Default)]
pub struct Locks {
    holders: BTreeMap<LockKey, usize>,
    /// Jobs that have come to their ends but for what they posted.
    done_after_round: Vec<usize>,
}

impl Locks {
    /// Takes the lock, unless another job has it.
    pub fn take(&mut self, key: LockKey, index: usize) -> bool {
        *self.holders.entry(key).or_insert(index) == index
    }

    pub(super) fn release(&mut self, index: usize) {
        self.holders.retain(|_, holder| *holder != index);
    }

    pub(super) fn release_after_round(&mut self, index: usize) {
        self.done_after_round.push(index);
    }

    pub(super) fn end_round(&mut self) {
        for index in std::mem::take(&mut self.done_after_round) {
            self.release(index);
        }
    }
}
