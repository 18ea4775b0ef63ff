//! Requests that broke the core: kept aside, so that whoever sends one again does not break it again.
//!
//! A request whose application panics was not journaled: the process stops, recovery brings back what
//! was before, and the client, who has no answer, sends it again. Its digest is in a file by then, one
//! to a line, and the way in refuses it. An operator who knows better deletes the line.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use gavel_protocol::{Digest, Request};
use rkyv::rancor::Failure;

/// The digests of requests that are refused.
#[derive(Debug)]
pub(crate) struct Quarantine {
    refused: HashSet<Digest>,
    path: PathBuf,
}

impl Quarantine {
    /// Reads what is kept in a file; if there is none, nothing is.
    ///
    /// # Errors
    ///
    /// If it is there and cannot be read, or holds something else.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let refused: Result<_, _> = lines.map(|line| line.trim().parse::<Digest>()).collect();
        let refused = refused.map_err(|_| io::Error::other("a line is no digest of a request"))?;
        Ok(Self { refused, path: path.into() })
    }

    /// Returns whether a request is refused.
    pub(crate) fn refuses(&self, request: &Request) -> bool {
        !self.refused.is_empty() && self.refused.contains(&digest(request))
    }

    /// Keeps a request aside, from the next start on.
    fn add(&self, request: &Request) {
        let (digest, agent) = (digest(request), request.agent);
        let kept =
            OpenOptions::new().create(true).append(true).open(&self.path).and_then(|mut file| {
                writeln!(file, "{digest}")?;
                file.sync_all()
            });
        match kept {
            Ok(()) => {
                tracing::error!(%agent, %digest, "a request broke the core; it is refused from now on")
            }
            Err(error) => {
                tracing::error!(%agent, %digest, %error, "a request broke the core; it could not be kept aside")
            }
        }
    }
}

/// Watches over the application of a request: if it panics, the request is kept aside.
pub(crate) struct Applying<'a> {
    pub(crate) request: &'a Request,
    pub(crate) quarantine: Option<&'a Quarantine>,
}

impl Drop for Applying<'_> {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(quarantine) = self.quarantine
        {
            quarantine.add(self.request);
        }
    }
}

fn digest(request: &Request) -> Digest {
    let bytes = rkyv::to_bytes::<Failure>(request);
    let bytes = bytes.expect("memory is the only thing that an archive needs");
    Digest::new(blake3::hash(&bytes).into())
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use gavel_protocol::{AdvanceTime, AgentId, Command, RejectReason};

    use super::*;
    use crate::inbox::{Inbox, Submission};

    fn request(agent: u64) -> Request {
        Request { agent: AgentId::new(agent), command: Command::AdvanceTime(AdvanceTime {}) }
    }

    #[test]
    fn what_panics_is_refused_after_the_next_start_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("quarantine");
        let quarantine = Quarantine::read(&path).unwrap();
        let (good, poison) = (request(1), request(2));
        for (request, panics) in [(&good, false), (&poison, true)] {
            let applied = catch_unwind(AssertUnwindSafe(|| {
                let _watch = Applying { request, quarantine: Some(&quarantine) };
                assert!(!panics, "as a broken invariant would");
            }));
            assert_eq!(applied.is_err(), panics);
        }
        let inbox = Inbox::new();
        inbox.set_quarantine(Quarantine::read(&path).unwrap());
        let submit = |request: &Request| {
            let request = request.clone();
            inbox.submit(Submission { origin: None, sequenced_answer: false, request })
        };
        assert_eq!(submit(&good), Ok(()));
        assert_eq!(submit(&poison), Err(RejectReason::Quarantined));
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("quarantine");
        fs::write(&path, "no digest\n").unwrap();
        assert!(Quarantine::read(&path).is_err());
    }
}
