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
}
