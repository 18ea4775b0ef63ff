//! Everything that follows from a journal up to some command, as a snapshot has it.

use std::fmt;
use std::sync::Arc;

use gavel_exchange::Exchange;
use gavel_protocol::RULES_VERSION;

use crate::curtain::{Curtain, Nobody, Receiver};
use crate::follower::Cursor;
use crate::journal::{Head, Journal, JournalReader, Record, Through};
use crate::publish::Consumer;
use crate::recovery::{RecoveryError, Replayer};
use crate::replay::{check_not_overtaken, replay_from};
use crate::restart::{Restored, continued, good_one, newest};
use crate::snapshots::{Saved, Snapshots};

/// An exchange that is made again from the journal, what its consumer has made of that, and what is held back
/// from whoever follows.
pub struct Replica {
    replayer: Replayer,
    consumer: Arc<dyn Consumer>,
    curtain: Curtain,
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").field("head", &self.head()).finish_non_exhaustive()
    }
}

impl Replica {
    /// Makes one that begins with the first command. Nobody listens to the consumer, and it has seen nothing.
    pub fn new(consumer: Arc<dyn Consumer>) -> Self {
        Self::of(Restored::default(), consumer)
    }

    pub(crate) fn of(restored: Restored, consumer: Arc<dyn Consumer>) -> Self {
        let Restored { replayer, curtain } = restored;
        Self { replayer, consumer, curtain }
    }

    /// Goes back to the snapshot of a command.
    ///
    /// # Errors
    ///
    /// [`RecoveryError`] if it cannot be continued from.
    pub async fn at<J: Journal>(
        journal: &mut J,
        snapshots: &Snapshots,
        seq: u64,
        consumer: Arc<dyn Consumer>,
    ) -> Result<Self, RecoveryError> {
        let restored = continued(&mut Through(journal), snapshots, seq, &*consumer).await??;
        Ok(Self::of(restored, consumer))
    }

    /// Goes back to the newest snapshot that can be continued from, or to the beginning.
    ///
    /// # Errors
    ///
    /// [`RecoveryError`], also if there is no such snapshot and no beginning any more.
    pub async fn newest(
        journal: &mut dyn JournalReader,
        snapshots: &Snapshots,
        consumer: Arc<dyn Consumer>,
    ) -> Result<Self, RecoveryError> {
        let restored = newest(journal, snapshots, &*consumer).await?;
        Ok(Self::of(restored, consumer))
    }

    /// Goes back to the newest good snapshot of `until` or before it; to the beginning if there is none.
    pub(crate) async fn newest_until(
        journal: &mut dyn JournalReader,
        snapshots: &Snapshots,
        until: u64,
        consumer: Arc<dyn Consumer>,
    ) -> Result<Self, RecoveryError> {
        let seqs = snapshots.list()?.into_iter().rev().filter(|seq| *seq <= until);
        let (found, _) = good_one(journal, snapshots, seqs, &*consumer).await?;
        Ok(Self::of(found.unwrap_or_default(), consumer))
    }

    /// Goes back to the oldest snapshot that these rules go on from. Returns `None` if there is none.
    pub(crate) async fn oldest(
        journal: &mut dyn JournalReader,
        snapshots: &Snapshots,
        consumer: Arc<dyn Consumer>,
    ) -> Result<Option<Self>, RecoveryError> {
        let seqs = snapshots.list()?.into_iter();
        let (found, _) = good_one(journal, snapshots, seqs, &*consumer).await?;
        Ok(found.map(|restored| Self::of(restored, consumer)))
    }

    /// Applies the next record.
    ///
    /// # Errors
    ///
    /// [`RecoveryError`] if it is not as it was; then the replica is good for nothing.
    pub fn apply(&mut self, record: Record) -> Result<(), RecoveryError> {
        self.apply_for(record, &mut Nobody)
    }

    /// Applies the next record, and lets through what may be seen of it.
    pub(crate) fn apply_for(
        &mut self,
        record: Record,
        receiver: &mut impl Receiver,
    ) -> Result<(), RecoveryError> {
        self.replayer.apply(record)?;
        self.curtain.pass(self.replayer.batch(), &*self.consumer, receiver);
        Ok(())
    }

    /// Applies what comes in a journal after the place that it has reached, up to the command `until` or the end.
    ///
    /// # Errors
    ///
    /// [`RecoveryError`] as [`Replica::apply`], or if what comes next was deleted meanwhile.
    pub async fn advance(
        &mut self,
        journal: &mut dyn JournalReader,
        until: u64,
    ) -> Result<(), RecoveryError> {
        while self.head().seq < until {
            let seq = self.head().seq;
            let Some(record) = journal.read_after(seq).await? else { break };
            check_not_overtaken(journal, seq, &record).await?;
            self.apply(record)?;
        }
        Ok(())
    }

    /// Replays what comes in a journal after the place that it has reached, as [`replay_from`] does. Each record is
    /// shown to `visit`, with what saves everything as it is then.
    ///
    /// # Errors
    ///
    /// [`RecoveryError`] at the first record that is not as it was, or if it is not that journal.
    pub async fn replay<J: Journal>(
        self,
        journal: &mut J,
        noted: Head,
        mut visit: impl FnMut(&Replayer, &dyn Fn() -> Saved),
    ) -> Result<Self, RecoveryError> {
        let Self { replayer, consumer, mut curtain } = self;
        let replayed = replay_from(replayer, journal, noted, |replayer| {
            curtain.pass(replayer.batch(), &*consumer, &mut Nobody);
            visit(replayer, &|| saved(replayer, &*consumer, &curtain));
        });
        Ok(Self { replayer: replayed.await?, consumer, curtain })
    }

    /// Returns what applies further records to the exchange, and to nothing else.
    pub fn into_replayer(self) -> Replayer {
        self.replayer
    }

    /// Returns the rules that brought it about.
    pub(crate) fn rules_version(&self) -> u32 {
        self.replayer.rules_version()
    }

    /// Returns how many records it has applied.
    pub fn records(&self) -> u64 {
        self.replayer.records()
    }

    /// Returns the exchange as it is after the last record.
    pub fn exchange(&self) -> &Exchange {
        self.replayer.exchange()
    }

    /// Returns the place it has reached.
    pub fn head(&self) -> Head {
        self.replayer.head()
    }

    /// Returns how far it has come, as whoever follows counts.
    pub(crate) fn reached(&self) -> Cursor {
        let Head { seq, chain } = self.head();
        Cursor { seq, position: self.curtain.position(), chain }
    }

    /// Saves everything.
    pub fn saved(&self) -> Saved {
        saved(&self.replayer, &*self.consumer, &self.curtain)
    }
}

fn saved(replayer: &Replayer, consumer: &dyn Consumer, curtain: &Curtain) -> Saved {
    Saved {
        head: replayer.head(),
        rules_version: RULES_VERSION,
        exchange: replayer.exchange().snapshot().to_bytes(),
        consumer: consumer.snapshot(),
        curtain: curtain.to_bytes(),
    }
}
