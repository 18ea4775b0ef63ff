//! Signed heads: what the exchange says its tree is at some time.

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use gavel_protocol::{Name, PublicKey, SignatureBytes, TimestampNs, TreeHash};
use serde::{Deserialize, Serialize};

/// What a head's message begins with, so that its signature can be taken for no other.
const CONTEXT: &[u8] = b"gavel audit head 1\0";

/// What the exchange has signed for: everything that is in a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHead {
    /// The exchange's name.
    pub exchange: Name,
    /// How many leaves there are.
    pub tree_size: u64,
    /// The tree's root.
    pub root: TreeHash,
    /// When the last event in it happened.
    pub ts_event: TimestampNs,
    /// Whose signature it is.
    pub key: PublicKey,
    /// The signature over [`SignedHead::message`].
    pub signature: SignatureBytes,
}

impl SignedHead {
    /// Signs a head.
    pub fn sign(
        key: &SigningKey,
        exchange: Name,
        tree_size: u64,
        root: TreeHash,
        ts_event: TimestampNs,
    ) -> Self {
        let public = PublicKey::new(key.verifying_key().to_bytes());
        let signature = SignatureBytes::new([0; 64]);
        let head = Self { exchange, tree_size, root, ts_event, key: public, signature };
        let signature = SignatureBytes::new(key.sign(&head.message()).to_bytes());
        Self { signature, ..head }
    }

    /// Returns the bytes that are signed: a context that ends with a zero byte, the length of the
    /// exchange's name (1 byte) and the name, the tree's size (8, little-endian), its root (32), `ts_event`
    /// in nanoseconds (8, little-endian).
    pub fn message(&self) -> Vec<u8> {
        let name = self.exchange.as_str().as_bytes();
        let length = u8::try_from(name.len()).expect("a name has at most 40 bytes");
        [
            CONTEXT,
            &[length],
            name,
            &self.tree_size.to_le_bytes(),
            self.root.as_bytes(),
            &self.ts_event.nanos().to_le_bytes(),
        ]
        .concat()
    }

    /// Returns whether the signature is the key's.
    pub fn is_signed(&self) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(self.key.as_bytes()) else { return false };
        let signature = Signature::from_bytes(self.signature.as_bytes());
        key.verify_strict(&self.message(), &signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_everything_in_the_head_and_of_nobody_else() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let (root, time) = (TreeHash::new([2; 32]), TimestampNs::from_nanos(3));
        let head = SignedHead::sign(&key, "test".parse().unwrap(), 4, root, time);
        assert!(head.is_signed());
        assert_eq!(head.message().len(), 19 + 1 + 4 + 8 + 32 + 8);
        let others = [
            SignedHead { exchange: "tests".parse().unwrap(), ..head.clone() },
            SignedHead { tree_size: 5, ..head.clone() },
            SignedHead { root: TreeHash::new([3; 32]), ..head.clone() },
            SignedHead { ts_event: TimestampNs::from_nanos(4), ..head.clone() },
            SignedHead { key: PublicKey::new([9; 32]), ..head.clone() },
            SignedHead { signature: SignatureBytes::new([0; 64]), ..head.clone() },
        ];
        for other in others {
            assert!(!other.is_signed(), "{other:?}");
        }
    }
}
