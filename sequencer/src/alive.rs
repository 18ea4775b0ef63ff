//! The note that says when the exchange was last alive, so that quiet hours before a crash do not
//! count as an outage.
//!
//! It is written beside the journal once a second and not synchronised: losing it with the power
//! makes the outage look longer, never shorter than it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use gavel_protocol::TimestampNs;

use crate::limits::ALIVE_EVERY;
use crate::run::wall_clock;

/// Writes the note until it is stopped or dropped.
pub(crate) struct Alive {
    stopping: crossbeam::channel::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Alive {
    /// Starts to write.
    pub(crate) fn start(path: PathBuf) -> std::io::Result<Self> {
        let (stopping, stopped) = crossbeam::channel::bounded(0);
        let run = move || {
            loop {
                note(&path);
                // Nothing is ever sent: either the time is up, or the sender is gone.
                if stopped.recv_timeout(ALIVE_EVERY)
                    == Err(crossbeam::channel::RecvTimeoutError::Disconnected)
                {
                    note(&path);
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

/// Returns when the exchange was last alive, if there is a note that can be read.
pub(crate) fn last_alive(path: &Path) -> Option<TimestampNs> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn note(path: &Path) {
    if let Err(error) = fs::write(path, wall_clock().to_string()) {
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
        assert_eq!(last_alive(&path), None);
        let before = wall_clock();
        drop(Alive::start(path.clone()).unwrap());
        assert!(last_alive(&path).unwrap() >= before);
        fs::write(&path, "torn").unwrap();
        assert_eq!(last_alive(&path), None);
    }
}
