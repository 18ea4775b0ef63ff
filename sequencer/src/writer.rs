//! The journal's thread: commits whatever has gathered while the last commit ran, then publishes it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crossbeam::channel::{Receiver, Sender};
use tokio::runtime::Runtime;

use crate::batch::Batch;
use crate::error_text::error_text;
use crate::journal::{Condenser, Head, Journal, JournalError, Record, encode_command};
use crate::limits::BATCHES_IN_FLIGHT_MAX;
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
    head: Head,
    condenser: Condenser,
    commands: Vec<u8>,
}

impl<J: Journal> Committer<J> {
    /// Continues a journal that ends with `head`.
    pub(crate) fn new(journal: J, head: Head) -> Self {
        Self { journal, head, condenser: Condenser::default(), commands: Vec::new() }
    }

    /// Returns where the journal ends.
    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// Commits the requests of some batches as one record.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: then nothing may be published any more.
    pub(crate) async fn commit<'a>(
        &mut self,
        batches: impl DoubleEndedIterator<Item = &'a Batch> + Clone,
    ) -> Result<(), JournalError> {
        let Some(last_seq) = batches.clone().rev().find_map(Batch::last_seq) else { return Ok(()) };
        for batch in batches {
            for step in batch.steps() {
                encode_command(step.stamped, &mut self.commands);
                self.condenser.add(&step);
            }
        }
        let events_hash = self.condenser.finish();
        let taken = std::mem::take(&mut self.commands);
        let record = Record::following(&self.head, last_seq, taken, events_hash);
        self.journal.append(&record).await?;
        self.head = record.head();
        self.commands = record.commands;
        self.commands.clear();
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
        let mut group = Vec::with_capacity(BATCHES_IN_FLIGHT_MAX);
        while let Ok(first) = self.sealed.recv() {
            group.push(first);
            group.extend(self.sealed.try_iter().take(BATCHES_IN_FLIGHT_MAX - 1));
            let batches = group.iter().map(|sealed| &sealed.batch);
            self.status.set_committing(true);
            let committed = runtime.block_on(self.committer.commit(batches));
            self.status.set_committing(false);
            if let Err(error) = committed {
                self.fail(&error);
                return;
            }
            self.status.set_durable(self.committer.head());
            self.status.more.notify_waiters();
            for sealed in group.drain(..) {
                self.publish(sealed);
            }
            (self.wake_core)();
            self.tell_shadow(runtime);
        }
        self.finish_shadow(runtime);
        if let Err(error) = runtime.block_on(self.committer.close()) {
            tracing::warn!(error = %error_text(&error), "what is in the journal is durable all the same");
        }
    }

    /// Tells the shadow what is durable, and deletes a bounded part of what it has made superfluous.
    fn tell_shadow(&mut self, runtime: &Runtime) {
        let Some(shadow) = &self.shadow else { return };
        shadow.durable(self.committer.head().seq);
        let Some(seq) = shadow.truncate_to() else { return };
        match runtime.block_on(self.committer.truncate(seq)) {
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
        tracing::error!(error = %error_text(error), "the journal cannot commit: nothing is acknowledged");
        self.status.failed.store(true, Ordering::Release);
        self.consumer.journal_failed();
        if matches!(error, JournalError::Superseded { .. }) {
            self.status.superseded.notify_one();
        }
        (self.wake_core)();
    }
}
