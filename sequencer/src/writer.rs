//! The journal's thread: commits whatever has gathered while the last commit ran, then publishes it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crossbeam::channel::{Receiver, Sender};
use tokio::runtime::Runtime;

use crate::batch::Batch;
use crate::journal::{Condenser, Head, Journal, JournalError, Record, encode_command};
use crate::limits::BATCHES_IN_FLIGHT_MAX;
use crate::publish::Consumer;
use crate::run::Status;

/// A batch on its way to the journal.
pub(crate) struct Sealed {
    pub(crate) batch: Batch,
    pub(crate) sealed_at: Instant,
}

/// What the journal's thread works with.
pub(crate) struct Writer<J> {
    pub(crate) journal: J,
    pub(crate) head: Head,
    pub(crate) consumer: Arc<dyn Consumer>,
    pub(crate) status: Arc<Status>,
    pub(crate) sealed: Receiver<Sealed>,
    /// Emptied batches go back to the core this way.
    pub(crate) emptied: Sender<Batch>,
    /// Tells the core that a batch came back, or that none will.
    pub(crate) wake_core: Box<dyn Fn() + Send>,
}

impl<J: Journal> Writer<J> {
    /// Commits and publishes until the core is gone, or the journal fails.
    pub(crate) fn run(mut self, runtime: &Runtime) {
        let mut condenser = Condenser::default();
        let mut group = Vec::with_capacity(BATCHES_IN_FLIGHT_MAX);
        let mut commands = Vec::new();
        while let Ok(first) = self.sealed.recv() {
            group.push(first);
            group.extend(self.sealed.try_iter().take(BATCHES_IN_FLIGHT_MAX - 1));
            for sealed in &group {
                for step in sealed.batch.steps() {
                    encode_command(step.stamped, &mut commands);
                    condenser.add(&step);
                }
            }
            let last_seq = group.iter().rev().find_map(|sealed| sealed.batch.last_seq());
            if let Some(last_seq) = last_seq {
                let events_hash = condenser.finish();
                let taken = std::mem::take(&mut commands);
                let record = Record::following(&self.head, last_seq, taken, events_hash);
                if let Err(error) = runtime.block_on(self.journal.append(&record)) {
                    self.fail(&error);
                    return;
                }
                self.head = record.head();
                commands = record.commands;
                commands.clear();
                self.status.durable_seq.store(last_seq, Ordering::Release);
            }
            for sealed in group.drain(..) {
                self.publish(sealed);
            }
            (self.wake_core)();
        }
        if let Err(error) = runtime.block_on(self.journal.close()) {
            tracing::warn!(error = %chain(&error), "what is in the journal is durable all the same");
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
        tracing::error!(error = %chain(error), "the journal cannot commit: nothing is acknowledged");
        self.status.failed.store(true, Ordering::Release);
        self.consumer.journal_failed();
        (self.wake_core)();
    }
}

/// Writes an error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
