//! What a recovery consists of: records that are verified, applied again, and compared; and why it may fail.

use gavel_exchange::Exchange;
use gavel_exchange::limits::LOOK_AHEAD_MAX;
use gavel_protocol::{Digest, RULES_VERSION, Stamped};

use crate::batch::Batch;
use crate::journal::{Condenser, Head, JournalError, Record, decode_commands};
use crate::snapshots::SnapshotsError;

/// Why a journal cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The journal cannot be read.
    #[error("cannot replay the journal")]
    Reading(#[from] JournalError),
    /// A record's bytes are not those that were written.
    #[error(
        "the journal is damaged: {problem} in the record of commands {first_seq} to {last_seq}. \
         Nothing was changed. Restore the data directory from a backup; what was acknowledged \
         after it is in the clients' own records"
    )]
    Damaged {
        /// The record's first command.
        first_seq: u64,
        /// The record's last command.
        last_seq: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A record needs another build.
    #[error(
        "commands {first_seq} to {last_seq} were applied under rules version {rules_version}, this \
         build applies version {RULES_VERSION}: use a build of that version. An exchange that such a \
         build has stopped is gone on with by this one, from its last snapshot"
    )]
    OtherRules {
        /// The record's first command.
        first_seq: u64,
        /// The record's last command.
        last_seq: u64,
        /// The version it needs.
        rules_version: u32,
    },
    /// The journal is not the one that was noted beside it.
    #[error(
        "the journal ends with command {found_seq} or differs there, but command {noted_seq} was \
         acknowledged: acknowledged commands are missing. Nothing was changed. Restore the data \
         directory from a backup; what was acknowledged after it is in the clients' own records"
    )]
    NotAsNoted {
        /// The last command of the journal as it was noted.
        noted_seq: u64,
        /// The last command up to which it can be the same.
        found_seq: u64,
    },
    /// The journal ends before a snapshot that was made of it.
    #[error(
        "the journal ends before command {snapshot_seq}, of which there is a snapshot: acknowledged \
         commands are missing. Nothing was changed. Restore the data directory from a backup; what \
         was acknowledged after it is in the clients' own records"
    )]
    BehindSnapshot {
        /// The command that the snapshot stands for.
        snapshot_seq: u64,
    },
    /// The journal has no beginning, and no snapshot stands for it.
    #[error(
        "the journal begins with command {first_seq}, and no snapshot of what was before it can be \
         read. Nothing was changed. Restore the data directory from a backup"
    )]
    NoSnapshot {
        /// The first command that the journal has.
        first_seq: u64,
        /// What is wrong with the newest snapshot, if there is any.
        #[source]
        source: Option<SnapshotsError>,
    },
    /// The journal has no beginning, and everything is to be made again from there.
    #[error(
        "the journal begins with command {first_seq}: what came before is not kept any more, and \
         would be needed. An exchange keeps everything that is run with --keep-history from its \
         first start"
    )]
    HistoryGone {
        /// The first command that the journal has.
        first_seq: u64,
    },
    /// What was to be read next was deleted before it was read.
    #[error(
        "the running exchange has deleted old commands while they were read: it has none between \
         {reached_seq} and {first_seq} any more. Begin again, or when it has ended"
    )]
    Overtaken {
        /// The last command that was read.
        reached_seq: u64,
        /// The first one after it that is still there.
        first_seq: u64,
    },
    /// The snapshots cannot be read.
    #[error("cannot read the snapshots")]
    Snapshots(#[from] SnapshotsError),
    /// The commands do not cause the events that they caused before.
    #[error(
        "replay of commands {first_seq} to {last_seq} gives events of hash {found}, the journal \
         says {expected}: this build does not apply the rules it says it does, or the machine is \
         faulty; do not serve from it"
    )]
    Diverged {
        /// The record's first command.
        first_seq: u64,
        /// The record's last command.
        last_seq: u64,
        /// What the journal says.
        expected: Digest,
        /// What the replay gives.
        found: Digest,
    },
}

impl RecoveryError {
    /// Says why nothing can be made of a journal from its first record on, if nothing can.
    pub(crate) fn at_beginning(first: &Record) -> Option<Self> {
        let Record { first_seq, last_seq, rules_version, .. } = *first;
        match first_seq {
            1 if rules_version == RULES_VERSION => None,
            1 => Some(Self::OtherRules { first_seq, last_seq, rules_version }),
            _ => Some(Self::HistoryGone { first_seq }),
        }
    }
}

/// What a replay came to.
#[derive(Debug)]
pub struct Replayed {
    /// The exchange, as it was after the last command.
    pub exchange: Exchange,
    /// Where the journal ends.
    pub head: Head,
    /// How many records were replayed.
    pub records: u64,
    /// The rules that brought it about.
    pub rules_version: u32,
}

/// Applies a journal's records again, verifying each.
#[derive(Debug)]
pub struct Replayer {
    exchange: Exchange,
    head: Head,
    records: u64,
    rules_version: u32,
    condenser: Condenser,
    batch: Batch,
}

impl Default for Replayer {
    fn default() -> Self {
        Self::new(Exchange::new(), Head::EMPTY, RULES_VERSION)
    }
}

impl Replayer {
    /// Continues `exchange`, which is what these rules had made of it when the journal ended with `head`.
    pub fn new(exchange: Exchange, head: Head, rules_version: u32) -> Self {
        let (condenser, batch) = (Condenser::default(), Batch::default());
        Self { exchange, head, records: 0, rules_version, condenser, batch }
    }

    /// Applies the next record.
    ///
    /// # Errors
    ///
    /// [`RecoveryError`] if it is not as it was; then the exchange is good for nothing.
    pub fn apply(&mut self, record: Record) -> Result<(), RecoveryError> {
        let Record { first_seq, last_seq, events_hash: expected, .. } = record;
        self.apply_verified(Verified::new(record, &self.head)?)?;
        compare(&mut self.condenser, &self.batch, (first_seq, last_seq), expected)
    }

    /// Applies the next record, whose events are still to be compared.
    pub(crate) fn apply_verified(&mut self, verified: Verified) -> Result<(), RecoveryError> {
        let Verified { record, commands } = verified;
        apply(&record, commands, &mut self.exchange, &mut self.batch)?;
        self.head = record.head();
        self.records += 1;
        self.rules_version = record.rules_version;
        Ok(())
    }

    /// Takes the batch, and leaves another one to be used.
    pub(crate) fn swap_batch(&mut self, other: Batch) -> Batch {
        std::mem::replace(&mut self.batch, other)
    }

    /// Returns the commands of the last record, and what followed from them.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Returns the exchange as it is after the last record.
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Returns the place it has reached.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Returns the rules that brought it about.
    pub(crate) fn rules_version(&self) -> u32 {
        self.rules_version
    }

    /// Returns how many records it has applied.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Returns what it has come to.
    pub fn into_replayed(self) -> Replayed {
        let Self { exchange, head, records, rules_version, .. } = self;
        Replayed { exchange, head, records, rules_version }
    }
}

/// A record that is as it was written and follows the one before, and its commands.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) record: Record,
    commands: Vec<Stamped>,
}

impl Verified {
    /// Verifies the record that is to follow `head`.
    pub(crate) fn new(record: Record, head: &Head) -> Result<Self, RecoveryError> {
        if !record.is_intact() {
            return Err(damaged(&record, "a wrong checksum"));
        }
        if !record.follows(head) {
            return Err(damaged(&record, "a break in the chain"));
        }
        if record.rules_version != RULES_VERSION {
            let Record { first_seq, last_seq, rules_version, .. } = record;
            return Err(RecoveryError::OtherRules { first_seq, last_seq, rules_version });
        }
        match decode_commands(&record.commands) {
            Some(commands) => Ok(Self { record, commands }),
            None => Err(damaged(&record, "a command that cannot be read")),
        }
    }
}

/// Compares the events of a batch with those that its commands caused before.
pub(crate) fn compare(
    condenser: &mut Condenser,
    batch: &Batch,
    (first_seq, last_seq): (u64, u64),
    expected: Digest,
) -> Result<(), RecoveryError> {
    for step in batch.steps() {
        condenser.add(&step);
    }
    let found = condenser.finish();
    match found == expected {
        true => Ok(()),
        false => Err(RecoveryError::Diverged { first_seq, last_seq, expected, found }),
    }
}

fn apply(
    record: &Record,
    commands: Vec<Stamped>,
    exchange: &mut Exchange,
    batch: &mut Batch,
) -> Result<(), RecoveryError> {
    let damaged = |problem| damaged(record, problem);
    batch.clear();
    let mut commands = commands.into_iter();
    while let Some(next) = commands.as_slice().chunks(LOOK_AHEAD_MAX).next() {
        let count = next.len();
        exchange.look_ahead(next.iter().map(|stamped| &stamped.request));
        for stamped in commands.by_ref().take(count) {
            if !exchange.is_next(&stamped) {
                return Err(damaged("a command out of order"));
            }
            let mut out = batch.out();
            exchange.apply(&stamped, &mut out);
            batch.end_step(stamped, None);
        }
    }
    if exchange.seq() != record.last_seq {
        return Err(damaged("a missing command"));
    }
    Ok(())
}

fn damaged(record: &Record, problem: &'static str) -> RecoveryError {
    let Record { first_seq, last_seq, .. } = *record;
    RecoveryError::Damaged { first_seq, last_seq, problem }
}
