//! Records on their way to the server: the next one is sent while the one before is being committed,
//! and waits there for the lock of the writer's row.
//!
//! A session that is lost while records were on their way leaves several possibilities, and only the
//! server knows which. So the head is read back before anything is sent again: it is one of the records,
//! or what was before all of them, or somebody else's.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Answer;
use super::outage::{Outage, is_final};
use super::session::{Backend, Session, in_time_since};
use super::store::Store;
use crate::journal::{Head, JournalError, Record};
use crate::limits::JOURNAL_RECORDS_IN_FLIGHT_MAX;

/// See the module.
pub(super) struct Pipeline {
    store: Store,
    /// In order. What has a session has been sent; the oldest one has as soon as there is any session.
    pending: VecDeque<Pending>,
    /// Since when the server owes the answer about the oldest one: before that it had others to do.
    waiting_since: Instant,
    outage: Outage,
}

/// A record that is not known to be in the journal.
struct Pending {
    record: Arc<Record>,
    before: Head,
    answer: Answer<()>,
    sent: Option<Sent>,
}

/// A record that was sent, and by way of which session.
struct Sent {
    backend: Backend,
    /// Whether the record before was still on its way: then this one may have overtaken it.
    is_behind: bool,
    task: JoinHandle<(Session, Result<bool, sqlx::Error>)>,
}

/// What has become of the oldest record.
pub(super) enum Outcome {
    /// It is in the journal.
    Appended,
    /// It has come to the server before the record that it follows, and is to be sent again.
    Overtook,
    /// The journal does not end where it should.
    Refused,
    /// Nobody knows.
    Lost(sqlx::Error),
}

/// What the journal's end says about what is pending.
enum Stock {
    /// So many of the oldest are there, and the others are not.
    There(usize),
    /// Another exchange writes.
    Superseded,
}

impl Pipeline {
    /// Begins with nothing on its way.
    pub(super) fn new(store: Store) -> Self {
        let (waiting_since, outage) = (Instant::now(), store.outage());
        Self { store, pending: VecDeque::new(), waiting_since, outage }
    }

    /// Returns whether anything is on its way.
    pub(super) fn is_under_way(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Returns whether another record may be sent.
    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < JOURNAL_RECORDS_IN_FLIGHT_MAX
    }

    /// Sends a record that follows `before`, and answers when it is in the journal, or never will be.
    pub(super) async fn begin(&mut self, record: Record, before: Head, answer: Answer<()>) {
        if self.store.epoch().is_none() {
            // Whoever has asked may be gone.
            return drop(answer.send(Err(JournalError::Superseded { seq: record.first_seq })));
        }
        let has_sessions = self.is_under_way() || !self.store.idle.is_empty();
        self.pending.push_back(Pending { record: Arc::new(record), before, answer, sent: None });
        // What was done by way of a lost session is read back, whatever that was.
        let ready = if has_sessions { Ok(()) } else { self.go_on(false).await };
        self.send_or_fail(ready);
    }

    /// Waits for what becomes of the oldest record, which there has to be. Whoever stops waiting can come again.
    pub(super) async fn oldest(&mut self) -> Outcome {
        let oldest = self.pending.front_mut().expect("whoever waits has sent something");
        let sent = oldest.sent.as_mut().expect("invariant: the oldest is sent before others are");
        let is_behind = sent.is_behind;
        let answer = match in_time_since(self.waiting_since, sent.answer()).await {
            Ok((session, answer)) => {
                oldest.sent = None;
                self.store.idle.push_back(session);
                answer
            }
            Err(timed_out) => Err(timed_out),
        };
        match answer {
            Ok(true) => Outcome::Appended,
            Ok(false) if is_behind => Outcome::Overtook,
            Ok(false) => Outcome::Refused,
            Err(error) => Outcome::Lost(error),
        }
    }

    /// Does what has to be done about that, and answers what is decided with it.
    pub(super) async fn settle(&mut self, outcome: Outcome) {
        let settled = match outcome {
            Outcome::Appended => {
                self.arrived(1);
                Ok(())
            }
            Outcome::Overtook => Ok(()),
            Outcome::Refused => self.go_on(true).await,
            Outcome::Lost(error) => match self.lose(error).await {
                Ok(()) => self.go_on(false).await,
                Err(error) => Err(error),
            },
        };
        self.send_or_fail(settled);
    }

    /// Waits until nothing is on its way any more, and returns what else may be asked.
    pub(super) async fn drained(&mut self) -> &mut Store {
        while self.is_under_way() {
            let outcome = self.oldest().await;
            self.settle(outcome).await;
        }
        &mut self.store
    }

    /// Logs off, when nothing is on its way any more.
    pub(super) async fn close(mut self) -> Result<(), JournalError> {
        self.drained().await;
        self.store.close().await
    }

    /// Finds out what is in the journal, logging on again as often as that takes.
    async fn go_on(&mut self, was_refused: bool) -> Result<(), JournalError> {
        loop {
            match self.take_stock(was_refused).await {
                Ok(Stock::There(records)) => {
                    self.arrived(records);
                    return Ok(());
                }
                Ok(Stock::Superseded) => {
                    let seq = self.pending.front().map_or(0, |pending| pending.record.first_seq);
                    return Err(JournalError::Superseded { seq });
                }
                Err(error) => self.lose(error).await?,
            }
        }
    }

    /// Reads back where the journal ends. What was refused by a journal that has not moved is refused.
    async fn take_stock(&mut self, was_refused: bool) -> Result<Stock, sqlx::Error> {
        self.let_end().await?;
        let (Some(epoch), Some(oldest)) = (self.store.epoch(), self.pending.front()) else {
            return Ok(Stock::Superseded);
        };
        let before = oldest.before;
        let session = self.store.session().await?;
        let stored = session.stored().await?.filter(|stored| stored.epoch == epoch);
        let Some(end) = stored.map(|stored| stored.head) else { return Ok(Stock::Superseded) };
        let last = self.pending.iter().position(|pending| pending.record.head() == end);
        let Some(last) = last else {
            let is_untouched = end == before && !was_refused;
            return Ok(if is_untouched { Stock::There(0) } else { Stock::Superseded });
        };
        if session.confirm(&end, epoch).await? {
            return Ok(Stock::There(last + 1));
        }
        // What was sent by way of a lost session has arrived meanwhile, or somebody has taken over.
        Err(sqlx::Error::Protocol("the journal's end has moved while it was looked at".into()))
    }

    /// Lets what is on its way come to an end: what it has come to is read back with the rest.
    async fn let_end(&mut self) -> Result<(), sqlx::Error> {
        for pending in &mut self.pending {
            let Some(sent) = &mut pending.sent else { continue };
            let (session, answer) = in_time_since(Instant::now(), sent.answer()).await?;
            pending.sent = None;
            self.store.idle.push_back(session);
            answer?;
        }
        Ok(())
    }

    /// Sends whatever can be sent, unless it has come to an end.
    fn send_or_fail(&mut self, settled: Result<(), JournalError>) {
        match settled {
            Ok(()) => self.send(),
            Err(error) => self.fail(error),
        }
    }

    /// Sends whatever was not, or has to be again, in order.
    fn send(&mut self) {
        let Some(epoch) = self.store.epoch() else { return };
        for (place, pending) in self.pending.iter_mut().enumerate() {
            if pending.sent.is_some() {
                continue;
            }
            let Some(mut session) = self.store.idle.pop_front() else { return };
            if place == 0 {
                self.waiting_since = Instant::now();
            }
            let (record, before) = (pending.record.clone(), pending.before);
            let (backend, is_behind) = (session.backend().clone(), place > 0);
            let task = tokio::spawn(async move {
                let answer = session.append(&record, epoch, &before, is_behind).await;
                (session, answer)
            });
            pending.sent = Some(Sent { backend, is_behind, task });
        }
    }

    /// Answers for the oldest records, which are in the journal.
    fn arrived(&mut self, records: usize) {
        for pending in self.pending.drain(..records) {
            // Whoever has asked may be gone.
            drop(pending.answer.send(Ok(())));
        }
        if records > 0 {
            self.waiting_since = Instant::now();
            self.outage.end();
        }
    }

    /// Gives up all sessions, and waits before the next attempt.
    async fn lose(&mut self, error: sqlx::Error) -> Result<(), JournalError> {
        if is_final(&error) {
            return Err(JournalError::Appending(error));
        }
        self.give_up();
        self.outage.wait(error).await
    }

    /// Lets go of all sessions, and of what is on its way by them.
    fn give_up(&mut self) {
        for pending in &mut self.pending {
            if let Some(sent) = pending.sent.take() {
                sent.task.abort();
                self.store.lost.push(sent.backend);
            }
        }
        self.store.forget_sessions();
    }

    /// Nothing that is pending is acknowledged: the oldest for a reason, the others as they follow it.
    fn fail(&mut self, error: JournalError) {
        self.give_up();
        self.outage = self.store.outage();
        let mut error = Some(error);
        for Pending { record, answer, .. } in self.pending.drain(..) {
            let superseded = JournalError::Superseded { seq: record.first_seq };
            // Whoever has asked may be gone.
            drop(answer.send(Err(error.take().unwrap_or(superseded))));
        }
    }
}

impl Sent {
    async fn answer(&mut self) -> Result<(Session, Result<bool, sqlx::Error>), sqlx::Error> {
        let ended = (&mut self.task).await;
        Ok(ended.expect("invariant: it neither panics, nor is waited for once it was given up"))
    }
}
