//! What synthetic agents store: a job spec, terms, and the work itself.

use gavel_protocol::{ContractId, Digest};

/// The job spec of every synthetic RFQ.
pub(crate) const SPEC: &[u8] = b"Whatever the provider makes of it.\n";

/// The terms of every capability that a load lists.
pub(crate) const TERMS: &[u8] = b"Work is delivered as one blob, and accepted as a whole.\n";

/// Returns the work of a contract.
pub(crate) fn deliverable(contract: ContractId) -> Vec<u8> {
    format!("The work of {contract}.\n").into_bytes()
}

/// Returns the digest of a blob.
pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::new(*blake3::hash(bytes).as_bytes())
}
