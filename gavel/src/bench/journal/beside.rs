//! What a command takes the core while a snapshot is made beside it, and while none is.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use gavel_exchange::limits::LOOK_AHEAD_MAX;
use gavel_exchange::{Exchange, Snapshot};
use gavel_gateway::FanOut;
use gavel_protocol::Stamped;
use gavel_sequencer::journal::{JournalPlace, JournalReader, decode_commands};
use gavel_sequencer::{Batch, Replayer, Replica, Snapshots, give_way};

use crate::bench::journal::RUNS;
use crate::bench::latency::Latencies;

/// Commands whose time is taken.
const MEASURED: u64 = 400_000;

/// What it came to: p99.9 of a command, in nanoseconds, one per run.
#[derive(Default)]
pub struct Beside {
    alone: Vec<u64>,
    beside: Vec<u64>,
    /// Snapshots that were made in that time.
    pub snapshots: u64,
}

impl Beside {
    /// Applies the last commands of a journal again and again, in turns with and without a thread that does what
    /// the exchange's shadow does, all the time.
    pub async fn measure(place: &JournalPlace, snapshots: &Path) -> anyhow::Result<Self> {
        let (before, commands) = last_commands(place.reader().as_mut()).await?;
        let mut measured = Self::default();
        for _ in 0..RUNS {
            measured.alone.push(p999_ns(&before, &commands)?);
            let shadow = Shadow::start(place.clone(), Snapshots::new(snapshots))?;
            while shadow.made.load(Ordering::Relaxed) == 0 && !shadow.thread.is_finished() {
                std::thread::yield_now();
            }
            let took = p999_ns(&before, &commands);
            measured.snapshots += shadow.stop()?;
            measured.beside.push(took?);
        }
        Ok(measured)
    }

    /// Returns the medians without and with.
    pub fn medians(&self) -> [u64; 2] {
        [&self.alone, &self.beside].map(|runs| {
            let mut runs = runs.clone();
            runs.sort_unstable();
            runs.get(runs.len() / 2).copied().unwrap_or(0)
        })
    }
}

/// Returns the exchange as it was before the last commands, and these.
async fn last_commands(journal: &mut dyn JournalReader) -> anyhow::Result<(Vec<u8>, Vec<Stamped>)> {
    let mut replayer = Replayer::default();
    let mut records = std::collections::VecDeque::new();
    let mut last_seq = 0;
    while let Some(record) = journal.read_after(last_seq).await? {
        last_seq = record.last_seq;
        records.push_back(record);
        while records.front().is_some_and(|first| first.last_seq + MEASURED <= last_seq) {
            let first = records.pop_front().context("it is there")?;
            replayer.apply(first)?;
        }
    }
    let mut commands = Vec::new();
    for record in records {
        let of_record = decode_commands(&record.commands);
        commands.extend(of_record.ok_or_else(|| anyhow!("a record cannot be read"))?);
    }
    Ok((replayer.exchange().snapshot().to_bytes(), commands))
}

/// Applies commands as the core does, and returns p99.9 of the time that one takes.
fn p999_ns(before: &[u8], commands: &[Stamped]) -> anyhow::Result<u64> {
    let mut exchange = Exchange::restore(Snapshot::from_bytes(before)?);
    let (mut took, mut batch) = (Latencies::default(), Batch::default());
    for next in commands.chunks(LOOK_AHEAD_MAX) {
        exchange.look_ahead(next.iter().map(|stamped| &stamped.request));
        for stamped in next {
            let begun = Instant::now();
            exchange.apply(stamped, &mut batch.out());
            took.record(begun.elapsed());
        }
        batch.clear();
    }
    Ok(took.percentiles().p999_ns)
}

/// A thread that makes one snapshot after the other.
struct Shadow {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Shadow {
    fn start(place: JournalPlace, snapshots: Snapshots) -> anyhow::Result<Self> {
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let run = {
            let (stop, made) = (stop.clone(), made.clone());
            move || {
                give_way();
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                while !stop.load(Ordering::Relaxed) {
                    runtime.block_on(make_snapshot(&place, &snapshots))?;
                    made.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }
        };
        let thread = std::thread::Builder::new().name("shadow".into()).spawn(run);
        Ok(Self { stop, made, thread: thread.context("cannot start a thread")? })
    }

    /// Ends it, and returns how many it has made.
    fn stop(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the shadow has panicked"))??;
        Ok(self.made.load(Ordering::Relaxed))
    }
}

/// Goes back to the newest snapshot, replays what came after it, and writes another one.
async fn make_snapshot(place: &JournalPlace, snapshots: &Snapshots) -> anyhow::Result<()> {
    let mut journal = place.reader();
    let mut replica = Replica::newest(&mut *journal, snapshots, FanOut::new()).await?;
    replica.advance(&mut *journal, u64::MAX).await?;
    snapshots.write(&replica.saved())?;
    remove(&snapshots.path(replica.head().seq))?;
    Ok(journal.close().await?)
}

fn remove(path: &Path) -> anyhow::Result<()> {
    fs::remove_file(path).with_context(|| format!("cannot delete {}", path.display()))
}
