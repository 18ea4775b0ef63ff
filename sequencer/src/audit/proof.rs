//! Proofs: what somebody needs to see for himself that an event is among those that were signed for.

use gavel_protocol::{EventId, PublicKey, Salt, TimestampNs, TreeHash};
use serde::{Deserialize, Serialize};

use super::head::SignedHead;
use super::leaf::Leaf;
use super::tree::{verify_consistency, verify_inclusion};

/// That an event is in a tree that was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The event: the JSON text whose bytes are in the leaf.
    pub event: String,
    /// When it happened.
    pub ts_event: TimestampNs,
    /// How people name it.
    pub event_id: EventId,
    /// What has hidden it.
    pub salt: Salt,
    /// Which leaf it is, from 0.
    pub leaf_index: u64,
    /// The hashes beside the way from the leaf to the root, from the leaf on.
    pub path: Vec<TreeHash>,
    /// The tree that it is in.
    pub head: SignedHead,
    /// That an earlier tree is the beginning of this one, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
}

/// That an earlier tree is the beginning of a later one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// How many leaves the earlier tree has.
    pub from_size: u64,
    /// The hashes that both roots follow from.
    pub path: Vec<TreeHash>,
}

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Another key has signed.
    #[error("the head is signed by {found}, not by {expected}: it is not that exchange's")]
    OtherKey {
        /// Who should have signed.
        expected: PublicKey,
        /// Who did.
        found: PublicKey,
    },
    /// The signature is wrong.
    #[error("the head's signature is wrong: it is not what the exchange has signed")]
    Signature,
    /// The leaf is not in the tree.
    #[error("the event is not in the tree that was signed, or not as it is here")]
    Inclusion,
    /// The earlier head's signature is wrong.
    #[error("the earlier head's signature is wrong: it is not what the exchange has signed")]
    EarlierSignature,
    /// The earlier head is of another exchange or key.
    #[error("the earlier head is not of the same exchange and key: these cannot be compared")]
    EarlierOther,
    /// There is nothing that connects the trees.
    #[error(
        "the proof says nothing about a tree of {size} leaves: have it made again with \
         `gavel audit prove … --since {size}`"
    )]
    NoConsistency {
        /// The earlier tree's size.
        size: u64,
    },
    /// The earlier tree is not the beginning of this one.
    #[error(
        "the earlier head is not the beginning of this tree: the exchange has signed two histories. \
         Keep both: they prove that"
    )]
    Consistency,
}

impl Proof {
    /// Checks that the event is in the tree, and that the head is signed: by `key`, if that is known.
    ///
    /// # Errors
    ///
    /// [`ProofError`] if it proves nothing.
    pub fn check(&self, key: Option<PublicKey>) -> Result<(), ProofError> {
        let found = self.head.key;
        if let Some(expected) = key.filter(|expected| *expected != found) {
            return Err(ProofError::OtherKey { expected, found });
        }
        if !self.head.is_signed() {
            return Err(ProofError::Signature);
        }
        let SignedHead { tree_size, root, .. } = &self.head;
        let content = self.leaf().content();
        match verify_inclusion(&content, self.leaf_index, *tree_size, root, &self.path) {
            true => Ok(()),
            false => Err(ProofError::Inclusion),
        }
    }

    /// Checks that an earlier head is of the beginning of this proof's tree. What [`Proof::check`] checks
    /// is not checked again.
    ///
    /// # Errors
    ///
    /// [`ProofError`] if that is not so, or not proven.
    pub fn check_since(&self, earlier: &SignedHead) -> Result<(), ProofError> {
        let later = &self.head;
        if !earlier.is_signed() {
            return Err(ProofError::EarlierSignature);
        }
        if earlier.exchange != later.exchange || earlier.key != later.key {
            return Err(ProofError::EarlierOther);
        }
        let size = earlier.tree_size;
        // A tree is its own beginning, and nothing needs to connect it with itself.
        let path = match &self.consistency {
            Some(consistency) if consistency.from_size == size => &consistency.path[..],
            Some(_) | None if size == later.tree_size => &[],
            Some(_) | None => return Err(ProofError::NoConsistency { size }),
        };
        match verify_consistency(size, &earlier.root, later.tree_size, &later.root, path) {
            true => Ok(()),
            false => Err(ProofError::Consistency),
        }
    }

    fn leaf(&self) -> Leaf {
        let Self { event_id, ts_event, salt, event, .. } = self;
        Leaf { event_id: *event_id, ts_event: *ts_event, salt: *salt, event: event.clone() }
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::audit::leaf::{Place, Secret};
    use crate::audit::tree::{Frontier, consistency_ranges, inclusion_ranges, root_of, subtrees};

    const SIZE: u64 = 11;
    const SINCE: u64 = 6;

    /// Returns a proof of one of a few leaves, and an earlier head.
    fn sample() -> (Proof, SignedHead) {
        let secret = Secret::new([1; 32]);
        let time = TimestampNs::from_nanos(1_767_225_600_000_000_001);
        let leaf = |position| {
            let event =
                format!("{{\"Halted\":{{\"capability\":null,\"by\":\"agent {position}\"}}}}");
            secret.leaf(Place { position, entry: 0 }, time, event).0
        };
        let key = SigningKey::from_bytes(&[2; 32]);
        let (mut frontier, mut hashes) = (Frontier::default(), Vec::new());
        let mut heads = Vec::new();
        for position in 0..SIZE {
            frontier.push(leaf(position).hash(), |subtree, hash| hashes.push((subtree, hash)));
            let (size, root) = (frontier.size(), frontier.root());
            heads.push(SignedHead::sign(&key, "test".parse().unwrap(), size, root, time));
        }
        let path = |ranges: Vec<std::ops::Range<u64>>| {
            let hash = |range| {
                let kept = |subtree| hashes.iter().find(|(found, _)| *found == subtree).unwrap().1;
                root_of(&subtrees(range).into_iter().map(kept).collect::<Vec<_>>())
            };
            ranges.into_iter().map(hash).collect::<Vec<_>>()
        };
        let Leaf { event_id, ts_event, salt, event } = leaf(7);
        let proof = Proof {
            event,
            ts_event,
            event_id,
            salt,
            leaf_index: 7,
            path: path(inclusion_ranges(7, SIZE)),
            head: heads.pop().unwrap(),
            consistency: Some(Consistency {
                from_size: SINCE,
                path: path(consistency_ranges(SINCE, SIZE)),
            }),
        };
        (proof, heads.swap_remove(5))
    }

    fn holds(text: &[u8], key: Option<PublicKey>, earlier: &SignedHead) -> bool {
        let Ok(proof) = serde_json::from_slice::<Proof>(text) else { return false };
        proof.check(key).is_ok() && proof.check_since(earlier).is_ok()
    }

    #[test]
    fn every_flipped_bit_of_a_proof_and_of_an_earlier_head_is_refused() {
        let (proof, earlier) = sample();
        let text = serde_json::to_vec(&proof).unwrap();
        for key in [None, Some(proof.head.key)] {
            assert!(holds(&text, key, &earlier));
            for place in 0..text.len() {
                for bit in 0..8 {
                    let mut wrong = text.clone();
                    wrong[place] ^= 1 << bit;
                    assert!(!holds(&wrong, key, &earlier), "bit {bit} of byte {place}");
                }
            }
        }
        let text = serde_json::to_vec(&earlier).unwrap();
        for place in 0..text.len() {
            let mut wrong = text.clone();
            wrong[place] ^= 1;
            let accepted =
                serde_json::from_slice(&wrong).is_ok_and(|e| proof.check_since(&e).is_ok());
            assert!(!accepted, "byte {place}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let (proof, earlier) = sample();
        assert_eq!(proof.check(None), Ok(()));
        let expected = PublicKey::new([7; 32]);
        let found = proof.head.key;
        assert_eq!(proof.check(Some(expected)), Err(ProofError::OtherKey { expected, found }));
        let other = Proof { leaf_index: 8, ..proof.clone() };
        assert_eq!(other.check(None), Err(ProofError::Inclusion));
        let mut other = proof.clone();
        other.head.tree_size = u64::MAX;
        assert_eq!(other.check(None), Err(ProofError::Signature));

        assert_eq!(proof.check_since(&earlier), Ok(()));
        let without = Proof { consistency: None, ..proof.clone() };
        assert_eq!(without.check_since(&earlier), Err(ProofError::NoConsistency { size: SINCE }));
        assert_eq!(without.check_since(&proof.head), Ok(()), "a tree is its own beginning");
        let key = SigningKey::from_bytes(&[2; 32]);
        let head = |name: &str, key: &SigningKey, size| {
            SignedHead::sign(
                key,
                name.parse().unwrap(),
                size,
                TreeHash::new([5; 32]),
                earlier.ts_event,
            )
        };
        let of_other_history = proof.check_since(&head("test", &key, SINCE));
        assert_eq!(of_other_history, Err(ProofError::Consistency));
        assert_eq!(proof.check_since(&head("test", &key, SIZE)), Err(ProofError::Consistency));
        let elsewhere = proof.check_since(&head("other", &key, SINCE));
        assert_eq!(elsewhere, Err(ProofError::EarlierOther));
        let of_other_key = head("test", &SigningKey::from_bytes(&[3; 32]), SINCE);
        assert_eq!(proof.check_since(&of_other_key), Err(ProofError::EarlierOther));
    }
}
