//! The note that says when the exchange was last alive, so that quiet hours before a crash do not
//! count as an outage, and where its journal ended then, so that nobody takes a shorter one for whole.
//!
//! It is written once a second, to a file beside it that then takes its place: a note that is there is a whole
//! one, or somebody has damaged it, and then nobody goes on without it.

use std::fs::{self, File};
use std::io::{self, Write as _};
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

/// Returns what was noted last; nothing before there was a note.
///
/// # Errors
///
/// If it cannot be read, or is none.
pub fn last_note(path: &Path) -> io::Result<Note> {
    match fs::read_to_string(path) {
        Ok(text) => parsed(&text).ok_or_else(|| io::ErrorKind::InvalidData.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Note::default()),
        Err(error) => Err(error),
    }
}

fn parsed(text: &str) -> Option<Note> {
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
    if let Err(error) = replace(path, &format!("{} {seq} {chain} end\n", wall_clock())) {
        tracing::warn!(%error, "cannot note that the exchange is alive");
    }
}

/// Replaces a file by a whole one, whatever happens.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_is_there_when_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alive");
        assert_eq!(last_note(&path).unwrap(), Note::default());
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
            assert!(last_note(&path).is_err(), "a note that was cut off after {end} bytes");
        }
    }
}
