//! The note that says when the exchange was last alive, so that quiet hours before a crash do not
//! count as an outage, and where its journal ended then, so that nobody takes a shorter one for whole.
//!
//! It is written beside the journal once a second and not synchronised: losing it with the power
//! makes the outage look longer, never shorter than it was, and checks less of the journal.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use gavel_protocol::{Digest, TimestampNs};

use crate::journal::Head;
use crate::limits::ALIVE_EVERY;
use crate::run::{Status, wall_clock};

/// What is noted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// When the exchange was last alive.
    pub alive_at: TimestampNs,
    /// Where its journal ended then.
    pub head: Head,
}

/// Writes the note until it is stopped or dropped.
pub(crate) struct Alive {
    stopping: crossbeam::channel::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Alive {
    /// Starts to write.
    pub(crate) fn start(path: PathBuf, status: Arc<Status>) -> std::io::Result<Self> {
        let (stopping, stopped) = crossbeam::channel::bounded(0);
        let run = move || {
            loop {
                note(&path, &status);
                // Nothing is ever sent: either the time is up, or the sender is gone.
                if stopped.recv_timeout(ALIVE_EVERY)
                    == Err(crossbeam::channel::RecvTimeoutError::Disconnected)
                {
                    note(&path, &status);
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("alive".into()).spawn(run)?;
        Ok(Self { stopping, thread: Some(thread) })
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let (closed, _) = crossbeam::channel::bounded(0);
        drop(std::mem::replace(&mut self.stopping, closed));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Returns what was noted last, if there is a note that can be read.
pub fn last_note(path: &Path) -> Option<Note> {
    let text = fs::read_to_string(path).ok()?;
    let mut words = text.split_whitespace();
    let alive_at = words.next()?.parse().ok()?;
    let seq = words.next()?.parse().ok()?;
    let chain: Digest = words.next()?.parse().ok()?;
    // The end shows that it was written whole.
    (words.next() == Some("end")).then_some(Note { alive_at, head: Head { seq, chain } })
}

fn note(path: &Path, status: &Status) {
    // Read before the clock: whoever was alive then had committed this.
    let Head { seq, chain } = status.head();
    if let Err(error) = fs::write(path, format!("{} {seq} {chain} end\n", wall_clock())) {
        tracing::warn!(%error, "cannot note that the exchange is alive");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_is_there_when_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alive");
        assert_eq!(last_note(&path), None);
        let (before, status) = (wall_clock(), Arc::new(Status::default()));
        let head = Head { seq: 7, chain: Digest::new([9; 32]) };
        status.set_durable(head);
        drop(Alive::start(path.clone(), status).unwrap());
        let found = last_note(&path).unwrap();
        assert!(found.alive_at >= before);
        assert_eq!(found.head, head);
        let whole = fs::read_to_string(&path).unwrap();
        for end in 0..whole.len() - "\n".len() {
            fs::write(&path, &whole[..end]).unwrap();
            assert_eq!(last_note(&path), None, "a note that was cut off after {end} bytes");
        }
    }
}
