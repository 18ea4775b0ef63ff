//! The way back: the newest snapshot that is whole and of this journal, and the journal after it.

use std::sync::Arc;

use gavel_protocol::RULES_VERSION;

use crate::curtain::Curtain;
use crate::error_text::error_text;
use crate::journal::{Head, Journal, JournalReader, Through};
use crate::publish::Consumer;
use crate::recovery::{RecoveryError, Replayed, Replayer};
use crate::replay::replay_from;
use crate::replica::Replica;
use crate::snapshots::{Saved, Snapshots, SnapshotsError};

/// What a snapshot has given back, but for the consumer's part.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    pub(crate) replayer: Replayer,
    pub(crate) curtain: Curtain,
}

/// Brings an exchange and its consumer to the end of a journal, which has ended with `noted` or went on
/// from there: from the newest good snapshot, or from the journal's beginning.
///
/// # Errors
///
/// [`RecoveryError`]; then the consumer is good for nothing.
pub async fn recover<J: Journal>(
    journal: &mut J,
    noted: Head,
    snapshots: Option<&Snapshots>,
    consumer: &dyn Consumer,
) -> Result<Replayed, RecoveryError> {
    let start = match snapshots {
        Some(snapshots) => newest(&mut Through(journal), snapshots, consumer).await?.replayer,
        None => Replayer::default(),
    };
    let from_snapshot = start.head().seq > 0;
    let publish = |replayer: &Replayer| consumer.published(replayer.batch());
    let replayed = replay_from(start, journal, noted, publish).await?.into_replayed();
    tracing::info!(from_snapshot, records = replayed.records, "recovered");
    Ok(replayed)
}

/// Brings a journal to its end, and makes a snapshot of that. Returns the command it stands for. Nobody listens to
/// the consumer.
///
/// # Errors
///
/// [`RecoveryError`].
pub async fn make_snapshot<J: Journal>(
    journal: &mut J,
    noted: Head,
    snapshots: &Snapshots,
    consumer: Arc<dyn Consumer>,
) -> Result<u64, RecoveryError> {
    let replica = Replica::newest(&mut Through(journal), snapshots, consumer).await?;
    let replica = replica.replay(journal, noted, |_, _| {}).await?;
    let seq = replica.head().seq;
    // Of other rules there is one already: an upgrade goes on from it.
    if seq > 0 && replica.rules_version() == RULES_VERSION {
        snapshots.write(&replica.saved())?;
    }
    Ok(seq)
}

/// Goes back to the newest snapshot that can be continued from, or to the beginning.
pub(crate) async fn newest(
    journal: &mut dyn JournalReader,
    snapshots: &Snapshots,
    consumer: &dyn Consumer,
) -> Result<Restored, RecoveryError> {
    let seqs = snapshots.list()?.into_iter().rev();
    let wrong = match good_one(journal, snapshots, seqs, consumer).await? {
        (Some(restored), _) => return Ok(restored),
        (None, wrong) => wrong,
    };
    let first_seq = match journal.read_after(0).await? {
        Some(first) if first.first_seq > 1 => first.first_seq,
        _ => return Ok(Restored::default()),
    };
    Err(match wrong {
        // Nothing is damaged: another build goes on from it.
        Some(other @ (SnapshotsError::OtherRules { .. } | SnapshotsError::OtherFormat { .. })) => {
            RecoveryError::Snapshots(other)
        }
        source => RecoveryError::NoSnapshot { first_seq, source },
    })
}

/// Goes back to the first of these snapshots that can be continued from, if there is one, and says what was wrong
/// with the first one that cannot.
pub(crate) async fn good_one(
    journal: &mut dyn JournalReader,
    snapshots: &Snapshots,
    seqs: impl Iterator<Item = u64>,
    consumer: &dyn Consumer,
) -> Result<(Option<Restored>, Option<SnapshotsError>), RecoveryError> {
    let mut wrong = None;
    for seq in seqs {
        match continued(journal, snapshots, seq, consumer).await? {
            Ok(restored) => return Ok((Some(restored), wrong)),
            Err(error) => {
                tracing::warn!(seq, error = %error_text(&error), "a snapshot is passed over");
                wrong.get_or_insert(error);
            }
        }
    }
    Ok((None, wrong))
}

/// Continues from a snapshot, if it is whole and of this journal.
pub(crate) async fn continued(
    journal: &mut dyn JournalReader,
    snapshots: &Snapshots,
    seq: u64,
    consumer: &dyn Consumer,
) -> Result<Result<Restored, SnapshotsError>, RecoveryError> {
    let saved = match snapshots.read(seq) {
        Ok(saved) => saved,
        Err(error) => return Ok(Err(error)),
    };
    // The record that ends there, or, if that one is not kept any more, the one after it.
    let Some(record) = journal.read_after(seq.saturating_sub(1)).await? else {
        return Err(RecoveryError::BehindSnapshot { snapshot_seq: seq });
    };
    if record.head() != saved.head && !record.follows(&saved.head) {
        return Ok(Err(SnapshotsError::OtherJournal { seq }));
    }
    if !goes_on_from(&saved, journal).await? {
        let (path, rules_version) = (snapshots.path(seq), saved.rules_version);
        return Ok(Err(SnapshotsError::OtherRules { path, rules_version }));
    }
    let damaged = |problem| SnapshotsError::Damaged { path: snapshots.path(seq), problem };
    let Ok(exchange) = saved.exchange() else { return Ok(Err(damaged("it holds no exchange"))) };
    let Some(curtain) = Curtain::from_bytes(&saved.curtain) else {
        return Ok(Err(damaged("it does not say what is held back")));
    };
    if let Err(source) = consumer.restore(&saved.consumer) {
        return Ok(Err(SnapshotsError::Restoring { seq, source }));
    }
    let replayer = Replayer::new(exchange, saved.head, saved.rules_version);
    Ok(Ok(Restored { replayer, curtain }))
}

/// Returns whether these rules go on from a snapshot: it was made under them, or under older ones and
/// is where those ended.
async fn goes_on_from(
    saved: &Saved,
    journal: &mut dyn JournalReader,
) -> Result<bool, RecoveryError> {
    if saved.rules_version == RULES_VERSION {
        return Ok(true);
    }
    let next = journal.read_after(saved.head.seq).await?;
    Ok(next.is_none_or(|record| record.is_upgrade()))
}
