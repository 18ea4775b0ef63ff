//! Recovery: the journal is applied again, and must cause the very same events.

use gavel_exchange::Exchange;
use gavel_exchange::limits::LOOK_AHEAD_MAX;
use gavel_protocol::{Bug, Digest, RULES_VERSION};

use crate::batch::Batch;
use crate::journal::{Condenser, Head, Journal, JournalError, Record, decode_commands};
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
         build applies version {RULES_VERSION}: use a build of that version. Once that one has stopped \
         it, this one goes on from its last snapshot"
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

/// Replays a journal from its beginning, verifying each record, and shows each to `visit`.
///
/// # Errors
///
/// [`RecoveryError`] at the first record that is not as it was.
pub async fn replay<J: Journal>(
    journal: &mut J,
    visit: impl FnMut(&Batch),
) -> Result<Replayed, RecoveryError> {
    replay_noted(journal, Head::EMPTY, visit).await
}

/// Replays a journal that has ended with `noted` or went on from there.
///
/// # Errors
///
/// [`RecoveryError`] at the first record that is not as it was, or if it is not that journal.
pub async fn replay_noted<J: Journal>(
    journal: &mut J,
    noted: Head,
    mut visit: impl FnMut(&Batch),
) -> Result<Replayed, RecoveryError> {
    let start = Replayer::default();
    let replayer = replay_from(start, journal, noted, |replayer| visit(replayer.batch())).await?;
    Ok(replayer.into_replayed())
}

/// Replays what comes in a journal after the place that a replayer has reached. The journal has ended
/// with `noted` or went on from there.
///
/// # Errors
///
/// [`RecoveryError`] at the first record that is not as it was, or if it is not that journal.
pub async fn replay_from<J: Journal>(
    mut replayer: Replayer,
    journal: &mut J,
    noted: Head,
    mut visit: impl FnMut(&Replayer),
) -> Result<Replayer, RecoveryError> {
    let start = replayer.head();
    if start.seq == noted.seq && start != noted {
        return Err(not_as_noted(&noted, 0));
    }
    while let Some(record) = journal.read_after(replayer.head().seq).await? {
        check_not_overtaken(journal, &replayer, &record).await?;
        verify(&record, &replayer.head)?;
        check_noted(&record, &noted)?;
        replayer.apply_verified(&record)?;
        if !Bug::ReplaySkipsRecord.is_planted() || !replayer.records().is_multiple_of(8) {
            visit(&replayer);
        }
    }
    match replayer.head().seq < noted.seq {
        true => Err(not_as_noted(&noted, replayer.head().seq)),
        false => Ok(replayer),
    }
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
    pub fn apply(&mut self, record: &Record) -> Result<(), RecoveryError> {
        verify(record, &self.head)?;
        self.apply_verified(record)
    }

    fn apply_verified(&mut self, record: &Record) -> Result<(), RecoveryError> {
        apply(record, &mut self.exchange, &mut self.batch)?;
        for step in self.batch.steps() {
            self.condenser.add(&step);
        }
        let Record { first_seq, last_seq, events_hash: expected, .. } = *record;
        let found = self.condenser.finish();
        if found != expected {
            return Err(RecoveryError::Diverged { first_seq, last_seq, expected, found });
        }
        self.head = record.head();
        self.records += 1;
        self.rules_version = record.rules_version;
        Ok(())
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

/// Checks that what is missing between a replayer and the next record is missing within the journal, not
/// before its beginning, which moves while an exchange runs.
async fn check_not_overtaken<J: Journal>(
    journal: &mut J,
    replayer: &Replayer,
    next: &Record,
) -> Result<(), RecoveryError> {
    let (reached_seq, first_seq) = (replayer.head().seq, next.first_seq);
    if reached_seq == 0 || first_seq <= reached_seq + 1 {
        return Ok(());
    }
    let first = journal.read_after(0).await?;
    match first.is_some_and(|first| first.first_seq >= first_seq) {
        true => Err(RecoveryError::Overtaken { reached_seq, first_seq }),
        false => Ok(()),
    }
}

/// Checks that a record ends where the noted head is, if it is the one that has it.
fn check_noted(record: &Record, noted: &Head) -> Result<(), RecoveryError> {
    let has_it = record.first_seq <= noted.seq && noted.seq <= record.last_seq;
    match has_it && record.head() != *noted {
        true => Err(not_as_noted(noted, record.first_seq - 1)),
        false => Ok(()),
    }
}

fn not_as_noted(noted: &Head, found_seq: u64) -> RecoveryError {
    RecoveryError::NotAsNoted { noted_seq: noted.seq, found_seq }
}

fn verify(record: &Record, head: &Head) -> Result<(), RecoveryError> {
    let damaged = |problem| damaged(record, problem);
    if !record.is_intact() {
        return Err(damaged("a wrong checksum"));
    }
    if !record.follows(head) {
        return Err(damaged("a break in the chain"));
    }
    if record.rules_version != RULES_VERSION {
        let Record { first_seq, last_seq, rules_version, .. } = *record;
        return Err(RecoveryError::OtherRules { first_seq, last_seq, rules_version });
    }
    Ok(())
}

fn apply(record: &Record, exchange: &mut Exchange, batch: &mut Batch) -> Result<(), RecoveryError> {
    let damaged = |problem| damaged(record, problem);
    let commands = decode_commands(&record.commands);
    let commands = commands.ok_or_else(|| damaged("a command that cannot be read"))?;
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
