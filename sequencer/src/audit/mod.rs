//! The audit log: every event that may be shown as a leaf of a tree, and signed heads of it, so that what
//! happened can be proven to somebody who has neither the journal nor the database.
//!
//! A notary reads the journal by itself, as a projector does, and keeps the leaves in a store of their
//! own. What concerns a sealed quote joins when its RFQ is decided, in an order that says nothing; before
//! that neither a head nor the store shows that there was anything.
//!
//! The tree is that of RFC 6962 with SHA-256. A [`Leaf`] is one event with a salt, so that nobody can
//! guess it from its hash; a [`SignedHead`] binds the exchange to everything in the tree; a [`Proof`]
//! shows one leaf and nothing of the others, and checking one takes nothing else.

mod head;
mod leaf;
mod notary;
mod proof;
mod reader;
mod store;
mod tree;

pub use crate::follower::{event_text, ranked_text};
pub use head::SignedHead;
pub use leaf::{Leaf, Place, Rank, Secret};
pub use notary::{AuditConfig, AuditLog, LatestHead, Notary};
pub use proof::{Consistency, Proof, ProofError};
pub use reader::{AuditEntry, AuditReader};

use std::path::PathBuf;

use gavel_protocol::EventId;

use crate::journal::JournalError;
use crate::recovery::RecoveryError;

/// Why the audit log cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The journal cannot be opened.
    #[error("cannot keep the audit log")]
    Journal(#[from] JournalError),
    /// The journal cannot be replayed.
    #[error("cannot keep the audit log")]
    Replaying(#[from] RecoveryError),
    /// The store cannot be used.
    #[error("cannot use the audit log's store")]
    Store(#[source] sqlx::Error),
    /// The store was made by another build.
    #[error(
        "the audit log was made by another build: use that one, or `gavel audit build --rebuild`"
    )]
    OtherShape,
    /// The store is of another journal, or another notary writes it.
    #[error(
        "the audit log does not belong to this journal, or somebody else writes it. Restore both from \
         the same backup; what was signed after that one contradicts it, and anybody can prove so"
    )]
    NotOurs,
    /// What is in the store is not what was signed.
    #[error(
        "the audit log does not give the root that was signed for its first {tree_size} leaves. \
         `gavel audit build --rebuild` makes them anew from the journal; if that says the same, journal \
         or keys are not those that were signed for: restore them with the audit log"
    )]
    Damaged {
        /// Of the head that does not fit.
        tree_size: u64,
    },
    /// There is no store.
    #[error("there is no audit log at {path}: start the exchange with `gavel up --audit`")]
    NoLog {
        /// Where it should be.
        path: PathBuf,
    },
    /// Nothing was signed yet.
    #[error("no head has been signed yet: nothing has happened that may be shown")]
    NoHead,
    /// There is no such event.
    #[error(
        "there is no event {event_id} in the audit log: `gavel audit list` shows those that are"
    )]
    UnknownEvent {
        /// Which.
        event_id: EventId,
    },
    /// The event is in no signed tree.
    #[error("{event_id} is in no signed head yet: ask again in a second")]
    NotSignedYet {
        /// Which.
        event_id: EventId,
    },
    /// There is no such earlier tree.
    #[error(
        "the tree has {tree_size} leaves: an earlier one has from 1 to {tree_size}, not {since}"
    )]
    NoSuchSize {
        /// What was asked for.
        since: u64,
        /// How many there are.
        tree_size: u64,
    },
    /// A thread cannot be started.
    #[error("cannot start the notary")]
    Spawning(#[source] std::io::Error),
}
