//! Makes ids: the number of the command that makes them, through a keyed permutation.
//!
//! A client that could see plain numbers would learn from two of its own how many commands, and so
//! how many sealed quotes, came between them.

use gavel_protocol::{Digest, IdKind};
use speck_cipher::Speck64_128;
use speck_cipher::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

/// Bits of the place within a step, and of the step's sequence number.
const INDEX_BITS: u32 = 12;
const SEQ_BITS: u32 = 44;

const KIND_SHIFT: u32 = SEQ_BITS + INDEX_BITS;

/// What the cipher's key is derived for: its 16 bytes are the first ones of BLAKE3's `derive_key`
/// with this context, of the key that is state.
const KEY_CONTEXT: &str = "gavel 2026 the permutation of ids, Speck64/128";

/// What the seed of hashes is derived for, in the same way.
const SEED_CONTEXT: &str = "gavel 2026 the seed of hashes";

/// Makes ids, each once.
pub(crate) struct Mint {
    key: Digest,
    cipher: Speck64_128,
    seq: u64,
    index: u64,
}

impl Mint {
    /// Makes ids under `key`.
    pub(crate) fn new(key: Digest) -> Self {
        let derived = blake3::derive_key(KEY_CONTEXT, key.as_bytes());
        let cipher = Speck64_128::new_from_slice(&derived[..16]);
        let cipher = cipher.expect("a key of Speck64/128 has 16 bytes");
        Self { key, cipher, seq: 0, index: 0 }
    }

    /// Returns the key.
    pub(crate) fn key(&self) -> Digest {
        self.key
    }

    /// Returns a number that follows from the key and tells nothing of it.
    pub(crate) fn seed(&self) -> u64 {
        let derived = blake3::derive_key(SEED_CONTEXT, self.key.as_bytes());
        let first = derived.first_chunk().expect("a hash has 32 bytes");
        u64::from_le_bytes(*first)
    }

    /// Begins the step of a command.
    pub(crate) fn begin(&mut self, seq: u64) {
        (self.seq, self.index) = (seq, 0);
    }

    /// Returns the next id of this step.
    pub(crate) fn next(&mut self, kind: IdKind) -> u64 {
        assert!(self.seq < 1 << SEQ_BITS, "invariant: sequence numbers fit 44 bits");
        assert!(self.index < 1 << INDEX_BITS, "invariant: a step makes fewer than 4,096 ids");
        let plain = u64::from(kind as u8) << KIND_SHIFT | self.seq << INDEX_BITS | self.index;
        self.index += 1;
        let mut block = plain.to_be_bytes().into();
        self.cipher.encrypt_block(&mut block);
        u64::from_be_bytes(block.into())
    }

    /// Returns by what ids of one kind are in the order of their making.
    pub(crate) fn order(&self, id: u64) -> u64 {
        let mut block = id.to_be_bytes().into();
        self.cipher.decrypt_block(&mut block);
        u64::from_be_bytes(block.into())
    }

    /// Returns whether `id` was made by a command up to this one. A number that somebody made up is
    /// taken for one with a probability far below one in a million.
    pub(crate) fn has_made(&self, kind: IdKind, id: u64) -> bool {
        let plain = self.order(id);
        let seq = plain >> INDEX_BITS & ((1 << SEQ_BITS) - 1);
        plain >> KIND_SHIFT == u64::from(kind as u8) && (1..=self.seq).contains(&seq)
    }
}

impl core::fmt::Debug for Mint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Mint").field("seq", &self.seq).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_by_its_kind_and_only_once_it_was_made() {
        let mut mint = Mint::new(Digest::new([7; 32]));
        mint.begin(5);
        let (first, second) = (mint.next(IdKind::Rfq), mint.next(IdKind::Rfq));
        assert_ne!(first, second);
        assert!(mint.has_made(IdKind::Rfq, first) && mint.has_made(IdKind::Rfq, second));
        assert!(!mint.has_made(IdKind::Quote, first));
        mint.begin(4);
        assert!(!mint.has_made(IdKind::Rfq, first), "a command of the future cannot have made it");
    }

    #[test]
    fn another_key_makes_other_ids() {
        let made = |byte| {
            let mut mint = Mint::new(Digest::new([byte; 32]));
            mint.begin(1);
            mint.next(IdKind::Quote)
        };
        assert_ne!(made(1), made(2));
    }
}
