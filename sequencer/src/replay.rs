//! Replay: the journal is applied again, and must cause the very same events.
//!
//! A long one is an assembly line. While a group of records is applied, the next one is verified and decoded and the
//! events of the one before are condensed and compared, each on a thread of its own.

use gavel_protocol::{Bug, Digest};

use crate::batch::Batch;
use crate::journal::{Condenser, Head, Journal, JournalReader, Record, Through};
use crate::limits::{REPLAYED_ALONE_BYTES_MAX, REPLAYED_GROUP_BYTES, REPLAYED_GROUP_RECORDS_MAX};
use crate::recovery::{RecoveryError, Replayed, Replayer, Verified, compare};

/// Replays a journal from its beginning, verifying each record, and shows each to `visit`, before its events
/// are compared.
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
/// with `noted` or went on from there. Each record is shown to `visit` before its events are compared.
///
/// # Errors
///
/// [`RecoveryError`] at the first record that is not as it was, or if it is not that journal.
pub async fn replay_from<J: Journal>(
    replayer: Replayer,
    journal: &mut J,
    noted: Head,
    mut visit: impl FnMut(&Replayer),
) -> Result<Replayer, RecoveryError> {
    let start = replayer.head();
    if start.seq == noted.seq && start != noted {
        return Err(not_as_noted(&noted, 0));
    }
    let mut line = Line::new(replayer, noted);
    loop {
        let records = if line.wrong.is_none() { line.read(journal).await? } else { Vec::new() };
        if records.is_empty() && line.is_empty() {
            break;
        }
        line.advance(records, &mut visit)?;
    }
    let Line { replayer, wrong, .. } = line;
    match wrong {
        Some(error) => Err(error),
        None if replayer.head().seq < noted.seq => Err(not_as_noted(&noted, replayer.head().seq)),
        None => Ok(replayer),
    }
}

/// Groups of records on their way.
struct Line {
    noted: Head,
    /// The last record that was read.
    read: u64,
    /// The last record that was verified.
    verified: Head,
    /// Why what comes next is not verified. What was verified before it is finished first.
    wrong: Option<RecoveryError>,
    to_apply: Vec<Verified>,
    replayer: Replayer,
    to_compare: Vec<Applied>,
    condenser: Condenser,
    /// Batches to be used again.
    spare: Vec<Batch>,
}

/// A record that was applied.
struct Applied {
    seqs: (u64, u64),
    /// The condensed events that it caused before.
    expected: Digest,
    batch: Batch,
}

impl Line {
    fn new(replayer: Replayer, noted: Head) -> Self {
        let head = replayer.head();
        Self {
            noted,
            read: head.seq,
            verified: head,
            wrong: None,
            to_apply: Vec::new(),
            replayer,
            to_compare: Vec::new(),
            condenser: Condenser::default(),
            spare: Vec::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.to_apply.is_empty() && self.to_compare.is_empty()
    }

    /// Reads the next group. An empty one is the journal's end.
    async fn read<J: Journal>(&mut self, journal: &mut J) -> Result<Vec<Record>, RecoveryError> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        while bytes < REPLAYED_GROUP_BYTES && records.len() < REPLAYED_GROUP_RECORDS_MAX {
            let Some(record) = journal.read_after(self.read).await? else { break };
            check_not_overtaken(&mut Through(journal), self.read, &record).await?;
            self.read = record.last_seq;
            bytes += record.commands.len();
            records.push(record);
        }
        Ok(records)
    }

    /// Moves every group on by one place, the given one to the first.
    fn advance(
        &mut self,
        records: Vec<Record>,
        visit: &mut impl FnMut(&Replayer),
    ) -> Result<(), RecoveryError> {
        let is_long = bytes(records.iter()) + bytes(self.to_apply.iter().map(|next| &next.record))
            > REPLAYED_ALONE_BYTES_MAX;
        let Self { noted, verified, to_apply, replayer, to_compare, condenser, spare, .. } = self;
        let to_apply = std::mem::take(to_apply);
        let to_compare = std::mem::take(to_compare);
        let compare = || compare_all(condenser, to_compare);
        let verify = || verify_all(records, verified, noted);
        let mut fresh = std::mem::take(spare);
        let apply = || apply_all(replayer, to_apply, &mut fresh, visit);
        let (compared, (verified, wrong), (mut applied, failed)) = if is_long {
            std::thread::scope(|scope| {
                let (compare, verify) = (scope.spawn(compare), scope.spawn(verify));
                let applied = apply();
                (joined(compare), joined(verify), applied)
            })
        } else {
            (compare(), verify(), apply())
        };
        self.spare = fresh;
        self.spare.extend(compared?);
        if let Some(error) = failed {
            // Unless what was applied before has gone wrong already.
            compare_all(&mut self.condenser, std::mem::take(&mut applied))?;
            return Err(error);
        }
        (self.to_compare, self.to_apply) = (applied, verified);
        self.wrong = self.wrong.take().or(wrong);
        Ok(())
    }
}

/// Returns what a thread has come to; if it has panicked, so does this one.
fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn bytes<'a>(records: impl Iterator<Item = &'a Record>) -> usize {
    records.map(|record| record.commands.len()).sum()
}

/// Verifies records up to the first one that is not as it was, and says what is wrong with that one.
fn verify_all(
    records: Vec<Record>,
    head: &mut Head,
    noted: &Head,
) -> (Vec<Verified>, Option<RecoveryError>) {
    let mut verified = Vec::with_capacity(records.len());
    for record in records {
        let next = Verified::new(record, head);
        match next.and_then(|next| check_noted(&next.record, noted).map(|()| next)) {
            Ok(next) => {
                *head = next.record.head();
                verified.push(next);
            }
            Err(error) => return (verified, Some(error)),
        }
    }
    (verified, None)
}

/// Applies records up to the first one that cannot be applied, and says why.
fn apply_all(
    replayer: &mut Replayer,
    records: Vec<Verified>,
    spare: &mut Vec<Batch>,
    visit: &mut impl FnMut(&Replayer),
) -> (Vec<Applied>, Option<RecoveryError>) {
    let mut applied = Vec::with_capacity(records.len());
    for verified in records {
        let Record { first_seq, last_seq, events_hash: expected, .. } = verified.record;
        if let Err(error) = replayer.apply_verified(verified) {
            return (applied, Some(error));
        }
        if !Bug::ReplaySkipsRecord.is_planted() || !replayer.records().is_multiple_of(8) {
            visit(replayer);
        }
        let batch = replayer.swap_batch(spare.pop().unwrap_or_default());
        applied.push(Applied { seqs: (first_seq, last_seq), expected, batch });
    }
    (applied, None)
}

/// Compares the events of records with those that they caused before. Returns the batches.
fn compare_all(
    condenser: &mut Condenser,
    applied: Vec<Applied>,
) -> Result<Vec<Batch>, RecoveryError> {
    let compared = applied.into_iter().map(|Applied { seqs, expected, batch }| {
        compare(condenser, &batch, seqs, expected)?;
        Ok(batch)
    });
    compared.collect()
}

/// Checks that what is missing between what was read and the next record is missing within the journal, not
/// before its beginning, which moves while an exchange runs.
pub(crate) async fn check_not_overtaken(
    journal: &mut dyn JournalReader,
    reached_seq: u64,
    next: &Record,
) -> Result<(), RecoveryError> {
    let first_seq = next.first_seq;
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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use gavel_exchange::Exchange;
    use gavel_protocol::{
        AgentId, ClientId, Command, EnrolAccount, Found, Micros, PublicKey, Request, Settings,
        Stamped, TimestampNs,
    };

    use super::*;
    use crate::journal::{JournalError, JournalReader, encode_command};

    /// Enough for several groups that are replayed beside each other.
    const RECORDS: usize = 200;
    const COMMANDS_PER_RECORD: u64 = 100;

    /// A journal in memory, to be read.
    struct Written(Vec<Record>);

    impl Journal for Written {
        async fn append(&mut self, record: &Record) -> Result<(), JournalError> {
            self.0.push(record.clone());
            Ok(())
        }

        async fn read_after(&mut self, seq: u64) -> Result<Option<Record>, JournalError> {
            Ok(self.0.iter().find(|record| record.first_seq > seq).cloned())
        }

        fn reader(&self) -> Option<Box<dyn JournalReader>> {
            None
        }

        async fn truncate(&mut self, _seq: u64) -> Result<bool, JournalError> {
            Ok(false)
        }

        async fn close(self) -> Result<(), JournalError> {
            Ok(())
        }
    }

    /// Writes a journal, some record of which says that something else happened.
    fn written(diverging: Option<usize>) -> Written {
        let (mut exchange, mut batch) = (Exchange::new(), Batch::default());
        let (mut condenser, mut head) = (Condenser::default(), Head::EMPTY);
        let mut journal = Written(Vec::new());
        for place in 0..RECORDS {
            let mut commands = Vec::new();
            for _ in 0..COMMANDS_PER_RECORD {
                let seq = exchange.seq() + 1;
                let stamped = Stamped {
                    seq,
                    ts_event: TimestampNs::from_nanos(seq),
                    request: Request { agent: AgentId::EXCHANGE, command: command(seq) },
                };
                encode_command(&stamped, &mut commands);
                exchange.apply(&stamped, &mut batch.out());
                batch.end_step(stamped, None);
            }
            batch.steps().for_each(|step| condenser.add(&step));
            batch.clear();
            let condensed = condenser.finish();
            let hash = if diverging == Some(place) { Digest::new([7; 32]) } else { condensed };
            let record = Record::following(&head, exchange.seq(), commands, hash);
            head = record.head();
            journal.0.push(record);
        }
        journal
    }

    fn command(seq: u64) -> Command {
        if seq == 1 {
            return Command::Found(Box::new(Found {
                name: "test".parse().unwrap(),
                id_key: Digest::new([1; 32]),
                operator_key: PublicKey::new([2; 32]),
                settings: Settings::fee(0),
            }));
        }
        let client_id = ClientId::from_parts(TimestampNs::from_nanos(seq), seq.into());
        Command::EnrolAccount(EnrolAccount { client_id, transaction_max: Micros::new(1) })
    }

    /// Replays, and counts the records that are shown.
    fn replayed(journal: &mut Written) -> (usize, Result<Replayed, RecoveryError>) {
        let mut shown = 0;
        let outcome = {
            let replaying = pin!(replay(journal, |_| shown += 1));
            match replaying.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => unreachable!("nothing in memory makes it wait"),
            }
        };
        (shown, outcome)
    }

    #[test]
    fn a_long_journal_comes_to_the_same_beside_each_other_and_one_after_the_other() {
        let mut journal = written(None);
        assert!(bytes(journal.0.iter()) > 4 * REPLAYED_ALONE_BYTES_MAX);
        let mut alone = Replayer::default();
        for record in &journal.0 {
            alone.apply(record.clone()).unwrap();
        }
        let (shown, outcome) = replayed(&mut journal);
        let outcome = outcome.unwrap();
        assert_eq!(shown, RECORDS);
        assert_eq!((outcome.head, outcome.records), (alone.head(), RECORDS as u64));
        assert_eq!(outcome.exchange.state_hash(), alone.exchange().state_hash());
    }

    #[test]
    fn the_first_record_that_is_not_as_it_was_is_named_wherever_it_is() {
        for place in [0, 1, 63, 64, 65, 127, 128, RECORDS - 1] {
            let mut journal = written(None);
            journal.0[place].commands[9] ^= 1;
            let (shown, outcome) = replayed(&mut journal);
            let first = journal.0[place].first_seq;
            assert!(
                matches!(outcome, Err(RecoveryError::Damaged { first_seq, .. }) if first_seq == first),
                "{place}: {outcome:?}"
            );
            assert_eq!(shown, place, "what comes before it is replayed");
        }
    }

    #[test]
    fn other_events_are_found_before_what_is_damaged_further_on() {
        for place in [0, 62, 63, 64, RECORDS - 2] {
            let mut journal = written(Some(place));
            let first = journal.0[place].first_seq;
            for damaged in [place + 1, RECORDS - 1] {
                journal.0[damaged].commands[9] ^= 1;
                let (_, outcome) = replayed(&mut journal);
                assert!(
                    matches!(outcome, Err(RecoveryError::Diverged { first_seq, .. }) if first_seq == first),
                    "{place}, {damaged}: {outcome:?}"
                );
            }
        }
    }
}
