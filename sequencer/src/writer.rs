//! The journal's thread: commits whatever has gathered, and publishes it when it is durable.
//!
//! A store may take a record while the one before is on its way: so what gathers is sent as soon as there is
//! room, and published in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crossbeam::channel::Sender;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::Receiver;

use crate::batch::Batch;
use crate::error_text::error_text;
use crate::journal::{Condenser, Head, Journal, JournalError, Record, encode_command};
use crate::limits::JOURNAL_PIPELINED_COMMANDS_MAX;
use crate::publish::Consumer;
use crate::run::Status;
use crate::shadow::Shadow;

/// A batch on its way to the journal.
pub(crate) struct Sealed {
    pub(crate) batch: Batch,
    pub(crate) sealed_at: Instant,
}

/// What the journal's thread works with.
pub(crate) struct Writer<J> {
    pub(crate) committer: Committer<J>,
    pub(crate) consumer: Arc<dyn Consumer>,
    pub(crate) status: Arc<Status>,
    pub(crate) sealed: Receiver<Sealed>,
    /// What is on its way to the journal, in order: each is one record, or nothing but queries' answers.
    pub(crate) groups: VecDeque<Vec<Sealed>>,
    /// Emptied batches go back to the core this way.
    pub(crate) emptied: Sender<Batch>,
    /// Makes snapshots.
    pub(crate) shadow: Option<Shadow>,
    /// Tells the core that a batch came back, or that none will.
    pub(crate) wake_core: Box<dyn Fn() + Send>,
}

/// A journal and where it ends: makes one record of whatever has gathered.
pub(crate) struct Committer<J> {
    journal: J,
    /// Where what is durable ends.
    head: Head,
    /// Where it will end with each of the groups that are on their way.
    begun: VecDeque<Begun>,
    condenser: Condenser,
    commands: Vec<u8>,
}

/// A group on its way.
#[derive(Clone, Copy)]
struct Begun {
    /// Where the journal ends with it.
    head: Head,
    /// How many commands it has; without any there is no record.
    commands: u64,
}

impl<J: Journal> Committer<J> {
    /// Continues a journal that ends with `head`.
    pub(crate) fn new(journal: J, head: Head) -> Self {
        let (begun, condenser) = (VecDeque::new(), Condenser::default());
        Self { journal, head, begun, condenser, commands: Vec::new() }
    }

    /// Returns where what is durable ends.
    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// Returns whether anything is on its way.
    pub(crate) fn is_committing(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Returns whether another group is to be sent now: there is room for it, and the last one is small.
    pub(crate) fn has_room(&self) -> bool {
        let is_small = |begun: &Begun| begun.commands <= JOURNAL_PIPELINED_COMMANDS_MAX;
        let records = self.begun.iter().filter(|begun| begun.commands > 0);
        records.count() < self.journal.in_flight_max() && self.begun.iter().all(is_small)
    }

    /// Commits the requests of some batches as one record, when nothing else is on its way.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: then nothing may be published any more.
    pub(crate) async fn commit<'a>(
        &mut self,
        batches: impl DoubleEndedIterator<Item = &'a Batch> + Clone,
    ) -> Result<(), JournalError> {
        self.begin(batches).await?;
        self.end().await
    }

    /// Sends the requests of some batches as one record.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: then nothing may be published any more.
    pub(crate) async fn begin<'a>(
        &mut self,
        batches: impl DoubleEndedIterator<Item = &'a Batch> + Clone,
    ) -> Result<(), JournalError> {
        let before = self.begun.back().map_or(self.head, |begun| begun.head);
        let Some(last_seq) = batches.clone().rev().find_map(Batch::last_seq) else {
            self.begun.push_back(Begun { head: before, commands: 0 });
            return Ok(());
        };
        for batch in batches {
            for step in batch.steps() {
                encode_command(step.stamped, &mut self.commands);
                self.condenser.add(&step);
            }
        }
        let events_hash = self.condenser.finish();
        let taken = std::mem::take(&mut self.commands);
        let record = Record::following(&before, last_seq, taken, events_hash);
        self.journal.begin_append(&record).await?;
        let commands = last_seq - before.seq;
        self.begun.push_back(Begun { head: record.head(), commands });
        self.commands = record.commands;
        self.commands.clear();
        Ok(())
    }

    /// Waits until the oldest group is durable. Whoever stops waiting can come again.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: then nothing may be published any more.
    pub(crate) async fn end(&mut self) -> Result<(), JournalError> {
        let Some(Begun { head, commands }) = self.begun.front().copied() else { return Ok(()) };
        if commands > 0 {
            self.journal.end_append().await?;
        }
        self.head = head;
        self.begun.pop_front();
        Ok(())
    }

    /// Deletes some of the records up to the command `seq`. Returns whether there are more of them.
    ///
    /// # Errors
    ///
    /// [`JournalError`]; what is needed is there all the same.
    pub(crate) async fn truncate(&mut self, seq: u64) -> Result<bool, JournalError> {
        self.journal.truncate(seq).await
    }

    /// Lets go of the journal.
    ///
    /// # Errors
    ///
    /// [`JournalError`]; what is in it is durable all the same.
    pub(crate) async fn close(self) -> Result<(), JournalError> {
        self.journal.close().await
    }
}

impl<J: Journal> Writer<J> {
    /// Commits and publishes until the core is gone, or the journal fails.
    pub(crate) fn run(mut self, runtime: &Runtime) {
        if let Err(error) = runtime.block_on(self.commit_and_publish()) {
            self.fail(&error);
            return;
        }
        self.finish_shadow(runtime);
        if let Err(error) = runtime.block_on(self.committer.close()) {
            tracing::warn!(error = %error_text(&error), "what is in the journal is durable all the same");
        }
    }

    async fn commit_and_publish(&mut self) -> Result<(), JournalError> {
        let mut is_core_there = true;
        while is_core_there || self.committer.is_committing() {
            let takes_more = is_core_there && self.takes_more();
            tokio::select! {
                biased;
                ended = self.committer.end(), if self.committer.is_committing() => {
                    ended?;
                    self.publish_oldest();
                    self.tell_shadow().await;
                }
                first = self.sealed.recv(), if takes_more => match first {
                    Some(first) => self.begin(first).await?,
                    None => is_core_there = false,
                },
            }
        }
        Ok(())
    }

    /// Returns whether what gathers is to be sent now. Old records are deleted between two commits, so
    /// what is on its way has to arrive before that.
    fn takes_more(&self) -> bool {
        let waits_for_order = self.shadow.as_ref().is_some_and(|it| it.truncate_to().is_some());
        !self.committer.is_committing() || (self.committer.has_room() && !waits_for_order)
    }

    /// Sends whatever has gathered.
    async fn begin(&mut self, first: Sealed) -> Result<(), JournalError> {
        let mut group = vec![first];
        while let Ok(next) = self.sealed.try_recv() {
            group.push(next);
        }
        if !self.committer.is_committing() {
            self.status.set_committing(true);
        }
        self.committer.begin(group.iter().map(|sealed| &sealed.batch)).await?;
        self.groups.push_back(group);
        Ok(())
    }

    /// Publishes the oldest group, which is durable.
    fn publish_oldest(&mut self) {
        // The next one is counted from now: until now the journal had this one to do.
        self.status.set_committing(self.committer.is_committing());
        self.status.set_durable(self.committer.head());
        self.status.more.notify_waiters();
        for sealed in self.groups.pop_front().into_iter().flatten() {
            self.publish(sealed);
        }
        (self.wake_core)();
    }

    /// Tells the shadow what is durable, and deletes a bounded part of what it has made superfluous if
    /// nothing is on its way.
    async fn tell_shadow(&mut self) {
        let Some(shadow) = &self.shadow else { return };
        shadow.durable(self.committer.head().seq);
        let Some(seq) = shadow.truncate_to() else { return };
        if self.committer.is_committing() {
            return;
        }
        // Nothing is committed meanwhile.
        self.status.set_committing(true);
        let truncated = self.committer.truncate(seq).await;
        self.status.set_committing(false);
        match truncated {
            Ok(true) => {}
            Ok(false) => shadow.truncated_to(seq),
            Err(error) => {
                tracing::warn!(error = %error_text(&error), "old records stay for now");
                shadow.truncated_to(seq);
            }
        }
    }

    /// Waits for the last snapshot, and deletes what it has made superfluous.
    fn finish_shadow(&mut self, runtime: &Runtime) {
        let Some(seq) = self.shadow.take().and_then(Shadow::finish) else { return };
        loop {
            match runtime.block_on(self.committer.truncate(seq)) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    return tracing::warn!(error = %error_text(&error), "old records stay for now");
                }
            }
        }
    }

    fn publish(&self, sealed: Sealed) {
        let Sealed { mut batch, sealed_at } = sealed;
        self.consumer.published(&batch);
        let lag = u64::try_from(sealed_at.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.status.journal_lag_ns.store(lag, Ordering::Relaxed);
        batch.clear();
        if self.emptied.try_send(batch).is_err() {
            tracing::debug!("the core is gone; its batch is dropped");
        }
    }

    /// Nothing is acknowledged from here on.
    fn fail(&self, error: &JournalError) {
        self.status.set_committing(false);
        tracing::error!(error = %error_text(error), "the journal cannot commit: nothing is acknowledged");
        self.status.failed.store(true, Ordering::Release);
        self.consumer.journal_failed();
        if matches!(error, JournalError::Superseded { .. }) {
            self.status.superseded.notify_one();
        }
        (self.wake_core)();
    }
}
