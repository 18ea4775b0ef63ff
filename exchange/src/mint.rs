//! Makes ids: the number of the command that makes them, through a keyed permutation.
//!
//! A client that could see plain numbers would learn from two of its own how many commands, and so
//! how many sealed quotes, came between them.

use blowfish::Blowfish;
use blowfish::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use gavel_protocol::{Digest, IdKind};

/// Bits of the place within a step, and of the step's sequence number.
const INDEX_BITS: u32 = 12;
const SEQ_BITS: u32 = 44;

const KIND_SHIFT: u32 = SEQ_BITS + INDEX_BITS;

/// Makes ids, each once.
pub(crate) struct Mint {
    key: Digest,
    cipher: Blowfish,
    seq: u64,
    index: u64,
}

impl Mint {
    /// Makes ids under `key`.
    pub(crate) fn new(key: Digest) -> Self {
        let cipher = Blowfish::new_from_slice(key.as_bytes());
        let cipher = cipher.expect("a Blowfish key may have 4 to 56 bytes; these are 32");
        Self { key, cipher, seq: 0, index: 0 }
    }

    /// Returns the key.
    pub(crate) fn key(&self) -> Digest {
        self.key
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

    /// Returns whether `id` was made by a command up to this one. A number that somebody made up is
    /// taken for one with a probability far below one in a million.
    pub(crate) fn has_made(&self, kind: IdKind, id: u64) -> bool {
        let mut block = id.to_be_bytes().into();
        self.cipher.decrypt_block(&mut block);
        let plain = u64::from_be_bytes(block.into());
        let seq = plain >> INDEX_BITS & ((1 << SEQ_BITS) - 1);
        plain >> KIND_SHIFT == u64::from(kind as u8) && (1..=self.seq).contains(&seq)
    }
}

impl core::fmt::Debug for Mint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Mint").field("seq", &self.seq).finish_non_exhaustive()
    }
}
