//! The way out: who gets what has happened, and when.

use gavel_protocol::{Event, TimestampNs};
use rkyv::{Archive, Deserialize, Serialize};

use crate::batch::Batch;
use crate::inbox::Origin;

/// Gets what has happened. The gateway's fan-out is one.
pub trait Consumer: Send + Sync {
    /// A request that asked for it has its place in the order, but is not durable yet. Called on the
    /// core's thread: it must not wait.
    fn sequenced(&self, origin: Origin, ts_event: TimestampNs);

    /// A batch is durable. Called in order, each batch once, on the journal's thread, and before
    /// that, during recovery, for every batch that the journal holds (without origins).
    fn published(&self, batch: &Batch);

    /// The same for a batch of a replay that nobody listens to. Puts out what subscribers would get of each
    /// event that is `wanted`, in order, with the event's place in the batch, from 0. A consumer without
    /// subscribers puts out nothing.
    fn replayed(
        &self,
        batch: &Batch,
        _wanted: fn(&Event) -> bool,
        _put: &mut dyn FnMut(u64, StreamEvent),
    ) {
        self.published(batch);
    }

    /// The journal cannot commit any more: nothing further will be published.
    fn journal_failed(&self);

    /// Returns everything in it that depends on what was published. Equal states have equal bytes. A
    /// consumer that keeps nothing has none.
    fn snapshot(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Continues from what [`Consumer::snapshot`] returned, before anything is published.
    ///
    /// # Errors
    ///
    /// [`RestoreError`]; then nothing has changed.
    fn restore(&self, bytes: &[u8]) -> Result<(), RestoreError> {
        match bytes {
            [] => Ok(()),
            _ => Err(RestoreError::Damaged("there is something where nothing is expected")),
        }
    }
}

/// An event of one of the numbered streams that subscribers get.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct StreamEvent {
    /// The stream's name.
    pub stream: String,
    /// Its number in the stream, from 1.
    pub stream_seq: u64,
    /// The event as a frame.
    pub frame: Vec<u8>,
}

/// A consumer that nothing depends on.
pub(crate) struct Unheard;

impl Consumer for Unheard {
    fn sequenced(&self, _: Origin, _: TimestampNs) {}

    fn published(&self, _: &Batch) {}

    fn journal_failed(&self) {}

    fn restore(&self, _: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }
}

/// Bytes that a consumer cannot continue from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// They are not what was saved.
    #[error("what was saved of the edge is damaged: {0}")]
    Damaged(&'static str),
    /// They were saved by another build.
    #[error("what was saved of the edge has format {0}, which this build does not read")]
    OtherFormat(u32),
}
