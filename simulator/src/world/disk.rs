//! A disk that tears, loses, reorders, refuses and flips, and a journal on it: a log of records.

use std::sync::{Arc, Mutex, PoisonError};

use gavel_protocol::Digest;
use gavel_sequencer::journal::{Journal, JournalError, Record};
use rand::{Rng, RngExt as _};

/// What a disk writes at once or not at all.
const SECTOR_BYTES: usize = 512;

/// Bytes before the commands of a record: their length, numbers, rules and three hashes.
const HEADER_BYTES: usize = 4 + 8 + 8 + 4 + 3 * 32;

/// A disk, which outlives the process that uses it.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    contents: Arc<Mutex<Contents>>,
}

#[derive(Debug, Default)]
struct Contents {
    /// What is there whatever happens.
    durable: Vec<u8>,
    /// What was written and not made durable: a crash keeps any part of it.
    written: Vec<u8>,
    next: Fault,
}

/// What the next append comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fault {
    #[default]
    None,
    /// The process ends while it is being written.
    CrashInside,
    /// It is refused.
    Refused,
    /// There is no room, until some is made.
    Full,
    /// It is durable, and yet an error is returned.
    Unsaid,
}

/// A journal on a disk.
pub(super) struct DiskJournal {
    disk: Disk,
    /// Where the record after the last one that was read or written begins.
    end: usize,
}

impl Disk {
    /// Sets what the next append comes to.
    pub fn set_next(&self, fault: Fault) {
        self.with(|contents| contents.next = fault);
    }

    /// Ends a lack of room.
    pub fn make_room(&self) {
        self.with(|contents| contents.next = Fault::None);
    }

    /// The process that uses it is gone: of what was not made durable, any sectors stay.
    pub fn crash(&self, rng: &mut impl Rng) {
        self.with(|contents| {
            let written = std::mem::take(&mut contents.written);
            let keeps = rng.random_range(0..=1_000);
            let mut kept = Vec::new();
            for (place, sector) in written.chunks(SECTOR_BYTES).enumerate() {
                if rng.random_range(0..1_000) < keeps {
                    kept.resize(place * SECTOR_BYTES, 0);
                    kept.extend_from_slice(sector);
                }
            }
            contents.durable.extend_from_slice(&kept);
        });
    }

    /// Flips a bit of what is durable, and returns which.
    pub fn flip(&self, rng: &mut impl Rng) -> Option<(usize, u8)> {
        self.with(|contents| {
            let at = rng.random_range(0..contents.durable.len().checked_sub(1)?);
            let bit = 1 << rng.random_range(0..8);
            contents.durable[at] ^= bit;
            Some((at, bit))
        })
    }

    /// Flips it back.
    pub fn flip_back(&self, (at, bit): (usize, u8)) {
        self.with(|contents| contents.durable[at] ^= bit);
    }

    /// Opens the journal on it.
    pub fn open(&self) -> DiskJournal {
        DiskJournal { disk: self.clone(), end: 0 }
    }

    fn with<R>(&self, change: impl FnOnce(&mut Contents) -> R) -> R {
        change(&mut self.contents.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Journal for DiskJournal {
    async fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        let bytes = encode(record);
        self.disk.with(|contents| {
            // Whatever an earlier process left behind the last whole record goes.
            contents.durable.truncate(self.end);
            let failed = Err(JournalError::Writing(std::io::Error::other("simulated")));
            match contents.next {
                Fault::Full => return failed,
                Fault::Refused | Fault::CrashInside => {
                    contents.written = bytes;
                    contents.next = Fault::None;
                    return failed;
                }
                Fault::None | Fault::Unsaid => contents.durable.extend_from_slice(&bytes),
            }
            if contents.next == Fault::Unsaid {
                contents.next = Fault::None;
                return failed;
            }
            self.end = contents.durable.len();
            Ok(())
        })
    }

    async fn read_after(&mut self, seq: u64) -> Result<Option<Record>, JournalError> {
        self.disk.with(|contents| {
            if seq == 0 {
                self.end = 0;
            }
            // What is not whole was never acknowledged, or the note beside the journal tells.
            let Some((record, bytes)) = decode(&contents.durable[self.end..]) else {
                return Ok(None);
            };
            self.end += bytes;
            Ok(Some(record))
        })
    }

    async fn close(self) -> Result<(), JournalError> {
        Ok(())
    }
}

fn encode(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + record.commands.len());
    let len = u32::try_from(record.commands.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&record.first_seq.to_le_bytes());
    bytes.extend_from_slice(&record.last_seq.to_le_bytes());
    bytes.extend_from_slice(&record.rules_version.to_le_bytes());
    for hash in [&record.events_hash, &record.checksum, &record.chain] {
        bytes.extend_from_slice(hash.as_bytes());
    }
    bytes.extend_from_slice(&record.commands);
    bytes
}

/// Returns the record at the front and how long it is, if it is whole.
fn decode(bytes: &[u8]) -> Option<(Record, usize)> {
    let (len, rest) = bytes.split_first_chunk()?;
    let (first_seq, rest) = rest.split_first_chunk()?;
    let (last_seq, rest) = rest.split_first_chunk()?;
    let (rules_version, rest) = rest.split_first_chunk()?;
    let (events_hash, rest) = rest.split_first_chunk()?;
    let (checksum, rest) = rest.split_first_chunk()?;
    let (chain, rest) = rest.split_first_chunk()?;
    let commands = rest.get(..u32::from_le_bytes(*len) as usize)?;
    let record = Record {
        first_seq: u64::from_le_bytes(*first_seq),
        last_seq: u64::from_le_bytes(*last_seq),
        rules_version: u32::from_le_bytes(*rules_version),
        commands: commands.to_vec(),
        events_hash: Digest::new(*events_hash),
        checksum: Digest::new(*checksum),
        chain: Digest::new(*chain),
    };
    record.is_intact().then(|| (record, HEADER_BYTES + commands.len()))
}
