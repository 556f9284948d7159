//! What the jobs of a group share: the desk where they leave what they want done, the connection that goes round, and
//! who has locked what.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
};

use tokio::sync::oneshot;

use super::{
    super::{Conn, requests::Requests},
    Pooled, take_up,
};
use crate::error::Error;

/// Where the jobs of a group leave what they want done.
#[derive(Default)]
pub struct Desk {
    pub(super) requests: Requests,
    /// Who needs the connection to themselves.
    pub(super) alone: VecDeque<(usize, oneshot::Sender<Pooled>)>,
    /// The connection, from whoever was lent it last.
    pub(super) returned: Option<Pooled>,
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
        let (reply, replied) = oneshot::channel();
        file(&mut take_up(&self.desk).requests, reply);
        // Dropped only with the group, and then nobody asks for the reason any more.
        replied.await.map_err(|_| Error::internal("the group came apart"))
    }

    /// The connection, for one statement.
    pub async fn borrow(&self) -> Result<Lent, Error> {
        let (lend, lent) = oneshot::channel();
        take_up(&self.desk).alone.push_back((self.index, lend));
        let connection = lent.await.map_err(|_| Error::internal("the group came apart"))?;
        Ok(Lent { connection: Some(connection), desk: Arc::clone(&self.desk) })
    }
}

/// A lent connection; it goes back by itself.
pub struct Lent {
    connection: Option<Pooled>,
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

/// A row that a job of a group has locked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockKey(pub &'static str, pub String);

/// Which job of a group has locked what, until it is done.
#[derive(Default)]
pub struct Locks(BTreeMap<LockKey, usize>);

impl Locks {
    /// Takes the lock, unless another job has it.
    pub fn take(&mut self, key: LockKey, index: usize) -> bool {
        *self.0.entry(key).or_insert(index) == index
    }

    pub(super) fn release(&mut self, index: usize) {
        self.0.retain(|_, holder| *holder != index);
    }
}
