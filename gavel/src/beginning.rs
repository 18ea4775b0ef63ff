//! Where the history that is kept begins: with the first command, or with the oldest snapshot that
//! stands for what is gone.

use std::sync::Arc;

use gavel_sequencer::journal::Journal;
use gavel_sequencer::{Consumer, RecoveryError, Replica, Snapshots};

/// Goes to the beginning of what is kept.
pub async fn beginning(
    journal: &mut impl Journal,
    snapshots: &Snapshots,
    consumer: Arc<dyn Consumer>,
) -> Result<Replica, RecoveryError> {
    loop {
        let first_seq = match journal.read_after(0).await? {
            Some(first) => first.first_seq,
            None => 1,
        };
        if first_seq == 1 {
            return Ok(Replica::new(consumer));
        }
        // An older one would have to be continued with what is gone.
        let oldest = snapshots.list()?.into_iter().find(|seq| *seq >= first_seq - 1);
        let Some(oldest) = oldest else {
            return Err(RecoveryError::NoSnapshot { first_seq, source: None });
        };
        match Replica::at(journal, snapshots, oldest, consumer.clone()).await {
            // A running exchange has made so many newer ones meanwhile that it keeps this one no more.
            Err(_) if !snapshots.list()?.contains(&oldest) => {}
            started => return started,
        }
    }
}

/// Checks that a journal has its whole history.
pub async fn is_whole(journal: &mut impl Journal) -> Result<(), RecoveryError> {
    match journal.read_after(0).await?.map(|first| first.first_seq) {
        Some(first_seq) if first_seq > 1 => Err(RecoveryError::HistoryGone { first_seq }),
        Some(_) | None => Ok(()),
    }
}
