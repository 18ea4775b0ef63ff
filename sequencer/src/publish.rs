//! The way out: who gets what has happened, and when.

use gavel_protocol::TimestampNs;

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
