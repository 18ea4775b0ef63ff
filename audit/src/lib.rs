//! What can be proven to somebody who has neither the journal nor the database: leaves, the tree over
//! them, signed heads of the tree, and proofs that an event is in it.
//!
//! The tree is that of RFC 6962 with SHA-256. A [`Leaf`] is one event of the market with a salt, so that
//! nobody can guess it from its hash. A [`SignedHead`] binds the exchange to everything that is in the
//! tree, and a [`Proof`] shows one leaf of it and nothing of the others. What this crate does *not* do:
//! any I/O. It neither follows a journal nor keeps what it makes, and it draws no randomness.
#![deny(clippy::float_arithmetic)]

mod head;
mod hex;
mod leaf;
pub mod limits;
mod proof;
mod tree;

pub use head::SignedHead;
pub use hex::{EventId, ParseHexError, Salt, TreeHash};
pub use leaf::{Leaf, Place, Rank, Secret, event_text, ranked_text};
pub use proof::{Consistency, Proof, ProofError};
pub use tree::{
    Frontier, Subtree, consistency_ranges, inclusion_ranges, root_of, subtrees, verify_consistency,
    verify_inclusion,
};
