//! Records: how commands and what they caused become bytes and hashes.

use gavel_protocol::{Command, Digest, RULES_VERSION, Stamped};
use rkyv::Serialize;
use rkyv::api::low::{LowSerializer, from_bytes, to_bytes_in_with_alloc};
use rkyv::rancor::Failure;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::with_arena;

use crate::batch::StepView;

use crate::journal::Head;
use crate::limits::COMMAND_BYTES_MAX;

/// A group of commands, committed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The place of the first command.
    pub first_seq: u64,
    /// The place of the last command.
    pub last_seq: u64,
    /// The rules that they were applied under.
    pub rules_version: u32,
    /// The commands: each a `u32` length and an archive.
    pub commands: Vec<u8>,
    /// The condensed events that they caused.
    pub events_hash: Digest,
    /// The condensed record.
    pub checksum: Digest,
    /// The condensed journal up to and including this record.
    pub chain: Digest,
}

impl Record {
    /// Makes the record that follows `head`.
    pub fn following(head: &Head, last_seq: u64, commands: Vec<u8>, events_hash: Digest) -> Self {
        let mut record = Self {
            first_seq: head.seq + 1,
            last_seq,
            rules_version: RULES_VERSION,
            commands,
            events_hash,
            checksum: Digest::new([0; 32]),
            chain: Digest::new([0; 32]),
        };
        record.checksum = record.computed_checksum();
        record.chain = record.computed_chain(&head.chain);
        record
    }

    /// Returns the head of a journal that ends with this record.
    pub fn head(&self) -> Head {
        Head { seq: self.last_seq, chain: self.chain }
    }

    /// Returns whether the record is undamaged in itself.
    pub fn is_intact(&self) -> bool {
        self.checksum == self.computed_checksum()
    }

    /// Returns whether the record follows `head`.
    pub fn follows(&self, head: &Head) -> bool {
        self.first_seq == head.seq + 1
            && self.last_seq >= self.first_seq
            && self.chain == self.computed_chain(&head.chain)
    }

    /// Returns whether it begins with an upgrade to the rules of this build.
    pub(crate) fn is_upgrade(&self) -> bool {
        let first =
            decode_commands(&self.commands).and_then(|commands| commands.into_iter().next());
        let command = first.map(|stamped| stamped.request.command);
        self.rules_version == RULES_VERSION && matches!(command, Some(Command::Upgrade(_)))
    }

    fn computed_checksum(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.first_seq.to_le_bytes());
        hasher.update(&self.last_seq.to_le_bytes());
        hasher.update(&self.rules_version.to_le_bytes());
        hasher.update(self.events_hash.as_bytes());
        hasher.update(&self.commands);
        Digest::new(hasher.finalize().into())
    }

    fn computed_chain(&self, before: &Digest) -> Digest {
        let mut hasher = blake3::Hasher::new();
        hasher.update(before.as_bytes());
        hasher.update(self.checksum.as_bytes());
        Digest::new(hasher.finalize().into())
    }
}

/// Appends a command to a record's bytes.
pub fn encode_command(stamped: &Stamped, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let written = with_arena(|arena| {
        to_bytes_in_with_alloc::<_, _, Failure>(stamped, &mut *out, arena.acquire()).map(drop)
    });
    written.expect("memory is the only thing that writing to a Vec needs");
    let length = out.len() - start - 4;
    assert!(length <= COMMAND_BYTES_MAX, "invariant: a command is as short as its frame");
    let length = u32::try_from(length).expect("asserted on the line above");
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Reads a record's commands back, validating every byte. Returns `None` if they are damaged.
pub fn decode_commands(mut bytes: &[u8]) -> Option<Vec<Stamped>> {
    let mut commands = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let (archive, rest) = rest.split_at_checked(length)?;
        commands.push(from_bytes::<Stamped, Failure>(archive).ok()?);
        bytes = rest;
    }
    Some(commands)
}

/// Condenses events in their canonical encoding.
#[derive(Debug, Default)]
pub struct Condenser {
    hasher: blake3::Hasher,
    bytes: Vec<u8>,
}

/// Bytes that are encoded before they are hashed together.
const CONDENSE_BYTES: usize = 64 * 1_024;

impl Condenser {
    /// Adds the events of a step, and the lists that belong to them.
    pub fn add(&mut self, step: &StepView<'_>) {
        self.add_all(step.events);
        self.add_all(step.ranking);
        self.add_all(step.posed);
    }

    /// Adds values, one after the other.
    pub fn add_all<T>(&mut self, values: &[T])
    where
        T: for<'a> Serialize<LowSerializer<&'a mut Vec<u8>, ArenaHandle<'a>, Failure>>,
    {
        for value in values {
            let written = with_arena(|arena| {
                let out = &mut self.bytes;
                to_bytes_in_with_alloc::<_, _, Failure>(value, out, arena.acquire()).map(drop)
            });
            written.expect("memory is the only thing that writing to a Vec needs");
            self.hash_if_long();
        }
    }

    /// Returns the condensed events, and starts anew.
    pub fn finish(&mut self) -> Digest {
        self.hasher.update(&self.bytes);
        self.bytes.clear();
        let hash = self.hasher.finalize();
        self.hasher.reset();
        Digest::new(hash.into())
    }

    fn hash_if_long(&mut self) {
        if self.bytes.len() >= CONDENSE_BYTES {
            self.hasher.update(&self.bytes);
            self.bytes.clear();
        }
    }
}
