//! The shadow: makes snapshots beside the core, from the journal alone.
//!
//! From time to time it goes back to the last snapshot, replays what was committed since, and writes
//! the next one. The core and the journal do not wait for it and do not know what it does. That its
//! replay causes the very events that the journal has condensed proves, while everything runs, that
//! a restart would.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam::channel::{Receiver, Sender, bounded};
use tokio::runtime::Runtime;

use crate::error_text::error_text;
use crate::follower::Reach;
use crate::journal::{Journal, JournalReader};
use crate::publish::Consumer;
use crate::recovery::RecoveryError;
use crate::replica::Replica;
use crate::run::{Audit, Status};
use crate::snapshots::Snapshots;

/// How snapshots are made.
#[derive(Clone, Debug)]
pub struct SnapshotConfig {
    /// Where they are.
    pub folder: PathBuf,
    /// Commands after which the next one is made.
    pub every: u64,
    /// How many are kept.
    pub kept: usize,
    /// Whether the journal keeps what is before the oldest of them, too.
    pub keep_history: bool,
    /// How far those have come who follow the journal: what they need to go on stays.
    pub followed: Vec<Reach>,
    /// Makes a consumer like the one that is served, which nobody listens to.
    pub consumer: fn() -> Arc<dyn Consumer>,
}

/// A running shadow, as the journal's thread knows it.
pub(crate) struct Shadow {
    asks: Sender<Ask>,
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
}

/// What the shadow is asked.
enum Ask {
    /// A snapshot is due.
    Snapshot,
    /// The core has stopped: make a last one, and end.
    LastSnapshot,
}

/// What both sides know.
struct Shared {
    /// When the next snapshot is due: at this command.
    due: AtomicU64,
    /// The journal needs nothing up to this command.
    truncate_to: AtomicU64,
}

impl Shadow {
    /// Starts a shadow of a journal that has ended with `seq` at the last start. Returns `None` if the
    /// journal has no second way to be read.
    pub(crate) fn start<J: Journal>(
        config: SnapshotConfig,
        journal: &J,
        status: Arc<Status>,
    ) -> std::io::Result<Option<Self>> {
        let Some(reader) = journal.reader() else {
            tracing::warn!(
                "no snapshots are made of this kind of journal: a start replays all of it"
            );
            return Ok(None);
        };
        let snapshots = Snapshots::new(&config.folder);
        let last = snapshots.list().ok().and_then(|seqs| seqs.last().copied()).unwrap_or(0);
        let due = AtomicU64::new(last.saturating_add(config.every));
        let shared = Arc::new(Shared { due, truncate_to: AtomicU64::new(0) });
        let (asks, asked) = bounded(1);
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let work = Work { config, snapshots, reader, status, shared: shared.clone(), runtime };
        let thread =
            thread::Builder::new().name("shadow".into()).spawn(move || work.run(&asked))?;
        Ok(Some(Self { asks, thread, shared }))
    }

    /// Takes the news that commands up to `seq` are durable. Never waits.
    pub(crate) fn durable(&self, seq: u64) {
        if seq >= self.shared.due.load(Ordering::Relaxed) {
            // Asked already, or at work: it will be asked again.
            drop(self.asks.try_send(Ask::Snapshot));
        }
    }

    /// Returns up to which command the journal needs no records, if it has any of these.
    pub(crate) fn truncate_to(&self) -> Option<u64> {
        Some(self.shared.truncate_to.load(Ordering::Acquire)).filter(|seq| *seq > 0)
    }

    /// Takes the news that the journal has nothing up to `seq` any more, or keeps it for now.
    pub(crate) fn truncated_to(&self, seq: u64) {
        let truncate_to = &self.shared.truncate_to;
        // If a later command has taken its place meanwhile, that one stays.
        let _ = truncate_to.compare_exchange(seq, 0, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Lets it make a last snapshot, and waits for that. Returns up to which command the journal needs
    /// no records.
    pub(crate) fn finish(self) -> Option<u64> {
        // If it is gone, it has said why.
        drop(self.asks.send(Ask::LastSnapshot));
        if self.thread.join().is_err() {
            tracing::error!("the shadow has ended by itself: there is no snapshot of the end");
        }
        let seq = self.shared.truncate_to.load(Ordering::Acquire);
        Some(seq).filter(|seq| *seq > 0)
    }
}

/// What the shadow's thread works with.
struct Work {
    config: SnapshotConfig,
    snapshots: Snapshots,
    reader: Box<dyn JournalReader>,
    status: Arc<Status>,
    shared: Arc<Shared>,
    runtime: Runtime,
}

impl Work {
    fn run(mut self, asked: &Receiver<Ask>) {
        give_way();
        self.answer(asked);
        let Self { reader, runtime, .. } = self;
        if let Err(error) = runtime.block_on(reader.close()) {
            tracing::debug!(error = %error_text(&error), "the journal's file is put in order later");
        }
    }

    /// Makes snapshots until it is not asked for any more.
    fn answer(&mut self, asked: &Receiver<Ask>) {
        while let Ok(ask) = asked.recv() {
            let until = self.status.durable_seq();
            let (is_due, is_last) = match ask {
                Ask::Snapshot => (until >= self.shared.due.load(Ordering::Relaxed), false),
                Ask::LastSnapshot => (until > 0, true),
            };
            if is_due {
                if let Err(error) = self.make(until, is_last) {
                    self.report(&error);
                }
                // After a failure, too: the next one is not tried at once.
                self.shared.due.store(until.saturating_add(self.config.every), Ordering::Relaxed);
            }
            if is_last || self.status.has_diverged() {
                return;
            }
        }
    }

    fn report(&self, error: &RecoveryError) {
        let diverged = matches!(error, RecoveryError::Diverged { .. });
        let error = error_text(error);
        if diverged {
            self.status.set_diverged();
            tracing::error!(error, "what was served does not follow from the journal");
        } else {
            tracing::error!(error, "no snapshot could be made");
        }
    }

    /// Makes a snapshot of what was durable at `until`.
    fn make(&mut self, until: u64, is_last: bool) -> Result<(), RecoveryError> {
        let consumer = (self.config.consumer)();
        let Self { runtime, reader, snapshots, .. } = self;
        let replica = runtime.block_on(async {
            let mut replica = Replica::newest(&mut **reader, snapshots, consumer).await?;
            replica.advance(&mut **reader, until).await?;
            match replica.head().seq {
                found_seq if found_seq < until => {
                    Err(RecoveryError::NotAsNoted { noted_seq: until, found_seq })
                }
                _ => Ok(replica),
            }
        })?;
        if is_last {
            self.status.set_shadow(Audit::of(replica.exchange()));
        }
        let head = replica.head();
        let is_there = self.snapshots.read(head.seq).is_ok_and(|saved| saved.head == head);
        if !is_there {
            let saved = replica.saved();
            drop(replica);
            // Not logged: when it is due depends on how many sealed quotes there are.
            self.snapshots.write(&saved)?;
        }
        let SnapshotConfig { kept, every, keep_history, followed, .. } = &self.config;
        let followed = followed.iter().map(Reach::seq).min().unwrap_or(u64::MAX);
        let needed_from = self.snapshots.retain(*kept, *every, followed)?;
        if let Some(seq) = needed_from.filter(|_| !keep_history) {
            self.shared.truncate_to.store(seq, Ordering::Release);
        }
        Ok(())
    }
}

/// Lets every other thread go first, from now on.
pub fn give_way() {
    let this = rustix::thread::gettid();
    // On Linux a thread has a priority of its own.
    if let Err(error) = rustix::process::setpriority_process(Some(this), 19) {
        tracing::debug!(%error, "the shadow has the same priority as the others");
    }
}
