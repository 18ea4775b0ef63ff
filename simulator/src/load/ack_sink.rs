//! Where acknowledgements go: into a file, line by line as they come, or into memory.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::acks::Ack;
use crate::limits::{ACKS_COLLECTED_MAX, ACKS_PER_WRITE_MAX, ACKS_WAITING_MAX};

/// Takes acknowledgements in their order. Clones lead to the same place.
#[derive(Clone, Debug)]
pub struct AckSink {
    target: Target,
    lost: Arc<AtomicU64>,
}

#[derive(Clone, Debug)]
enum Target {
    File(mpsc::Sender<Entry>),
    Memory(Arc<Mutex<Vec<Ack>>>),
}

enum Entry {
    Ack(Ack),
    /// Everything before this has been written.
    Written(oneshot::Sender<()>),
}

impl AckSink {
    /// Writes into a new file. A thread writes whatever has gathered as soon as it is there; who
    /// kills the process loses what came in the last instant.
    ///
    /// # Errors
    ///
    /// If the file cannot be made or the thread cannot be started.
    pub fn file(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        let (entries, waiting) = mpsc::channel(ACKS_WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let writer = Writer { file, lines: Vec::new(), failed: false, lost: Arc::clone(&lost) };
        thread::Builder::new().name("acks".into()).spawn(move || writer.run(waiting))?;
        Ok(Self { target: Target::File(entries), lost })
    }

    /// Collects in memory.
    pub fn memory() -> Self {
        Self { target: Target::Memory(Arc::default()), lost: Arc::default() }
    }

    /// Takes what was collected in memory since the last call; nothing if it goes into a file.
    pub fn drain_collected(&self) -> Vec<Ack> {
        match &self.target {
            Target::Memory(acks) => std::mem::take(&mut *lock(acks)),
            Target::File(_) => Vec::new(),
        }
    }

    /// Returns how many acknowledgements could not be kept.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Takes an acknowledgement; waits while the file is behind.
    pub(crate) async fn record(&self, ack: Ack) {
        match &self.target {
            Target::Memory(acks) => {
                let mut acks = lock(acks);
                if acks.len() < ACKS_COLLECTED_MAX {
                    return acks.push(ack);
                }
            }
            Target::File(entries) => {
                if entries.send(Entry::Ack(ack)).await.is_ok() {
                    return;
                }
            }
        }
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until everything so far has been handed to the operating system.
    pub(crate) async fn written(&self) {
        if let Target::File(entries) = &self.target {
            let (written, wait) = oneshot::channel();
            if entries.send(Entry::Written(written)).await.is_ok() {
                // An error means that the writer is gone, and what it had with it: counted by it.
                _ = wait.await;
            }
        }
    }
}

fn lock(acks: &Mutex<Vec<Ack>>) -> MutexGuard<'_, Vec<Ack>> {
    // Nothing that is done under this lock leaves it half done.
    acks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's side of a file.
struct Writer {
    file: File,
    lines: Vec<u8>,
    failed: bool,
    lost: Arc<AtomicU64>,
}

impl Writer {
    fn run(mut self, mut waiting: mpsc::Receiver<Entry>) {
        let mut entries = Vec::new();
        while waiting.blocking_recv_many(&mut entries, ACKS_PER_WRITE_MAX) > 0 {
            let acks = entries.iter().filter_map(|entry| match entry {
                Entry::Ack(ack) => Some(ack),
                Entry::Written(_) => None,
            });
            if let Err(error) = self.write(acks.clone()) {
                if !self.failed {
                    tracing::error!(%error, "cannot write acknowledgements");
                }
                self.failed = true;
                self.lost.fetch_add(acks.count() as u64, Ordering::Relaxed);
            }
            for entry in entries.drain(..) {
                if let Entry::Written(written) = entry {
                    // Whoever waited may have given up.
                    _ = written.send(());
                }
            }
        }
    }

    /// Writes whole lines in one go.
    fn write<'a>(&mut self, acks: impl Iterator<Item = &'a Ack>) -> io::Result<()> {
        self.lines.clear();
        for ack in acks {
            serde_json::to_writer(&mut self.lines, ack)?;
            self.lines.push(b'\n');
        }
        self.file.write_all(&self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::acks::read_acks;
    use crate::load::acks::tests::ack;

    #[tokio::test]
    async fn a_file_holds_every_acknowledgement_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acks.jsonl");
        let sink = AckSink::file(&path).unwrap();
        for number in 0..3_000 {
            sink.record(ack(number)).await;
        }
        sink.written().await;
        let mut read = Vec::new();
        let file = io::BufReader::new(File::open(&path).unwrap());
        read_acks(file, |ack| read.push(ack)).unwrap();
        assert_eq!(read, (0..3_000).map(ack).collect::<Vec<_>>());
        assert_eq!(sink.lost(), 0);
    }

    #[tokio::test]
    async fn memory_gives_back_what_it_collected() {
        let sink = AckSink::memory();
        sink.clone().record(ack(1)).await;
        sink.record(ack(2)).await;
        assert_eq!(sink.drain_collected(), [ack(1), ack(2)]);
        assert_eq!(sink.drain_collected(), []);
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_counted() {
        // Writing to this device always fails for want of space.
        let sink = AckSink::file(Path::new("/dev/full")).unwrap();
        sink.record(ack(1)).await;
        sink.record(ack(2)).await;
        sink.written().await;
        assert_eq!(sink.lost(), 2);
    }
}
