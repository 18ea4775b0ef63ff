//! Snapshots: files with the whole state as it was after some command, so that a start need not
//! replay what came before it.
//!
//! A file is written beside its place, synchronised and renamed into it, so one that has its name is
//! whole unless the disk has damaged it; its digest tells. Its header says which point of which
//! journal it stands for.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use gavel_exchange::{Exchange, Snapshot};
use gavel_protocol::{Digest, RULES_UPGRADED_FROM, RULES_VERSION};

use crate::curtain::Curtain;
use crate::journal::Head;
use crate::publish::RestoreError;

/// What a file begins with.
const MAGIC: [u8; 8] = *b"gavelsnp";
/// The format of the file, and of what is held back in it: frames that subscribers get among them.
const FORMAT: u32 = 2;
/// Magic, format, rules version, seq, chain, and the lengths of the parts.
const HEADER_BYTES: usize = 8 + 4 + 4 + 8 + 32 + 3 * 8;
/// The digest of the header and of everything that follows the digest.
const DIGEST_BYTES: usize = 32;

const EXTENSION: &str = "snapshot";
const UNFINISHED: &str = "unfinished";

/// A folder of snapshots.
#[derive(Clone, Debug)]
pub struct Snapshots {
    folder: PathBuf,
}

/// What a snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Where the journal ended when it was as it is here.
    pub head: Head,
    /// The rules that brought it about.
    pub rules_version: u32,
    /// The exchange: a [`Snapshot`] as bytes.
    pub exchange: Vec<u8>,
    /// What the consumer saved.
    pub consumer: Vec<u8>,
    /// What is held back from whoever follows the journal, and how many events have come through.
    pub curtain: Vec<u8>,
}

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotsError {
    /// The folder cannot be read.
    #[error("cannot read the snapshots in {path}")]
    Listing {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read the snapshot {path}")]
    Reading {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written or deleted.
    #[error("cannot write or delete the snapshot {path}")]
    Writing {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The bytes are not those that were written.
    #[error("the snapshot {path} is damaged: {problem}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Another build has written it.
    #[error("the snapshot {path} has format {format}, which this build does not read")]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// It needs another build.
    #[error(
        "the snapshot {path} was made under rules version {rules_version}, this build applies \
         version {RULES_VERSION}: use a build of that version"
    )]
    OtherRules {
        /// The file.
        path: PathBuf,
        /// The version it needs.
        rules_version: u32,
    },
    /// It is of another history.
    #[error("the snapshot of command {seq} is not of this journal")]
    OtherJournal {
        /// The command.
        seq: u64,
    },
    /// The consumer cannot continue from it.
    #[error("the snapshot of command {seq} cannot be continued from")]
    Restoring {
        /// The command.
        seq: u64,
        /// Why.
        #[source]
        source: RestoreError,
    },
}

impl Snapshots {
    /// Names a folder of snapshots; it need not exist.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.into() }
    }

    /// Returns the commands of which there are snapshots, the oldest first, without looking into them.
    ///
    /// # Errors
    ///
    /// [`SnapshotsError::Listing`].
    pub fn list(&self) -> Result<Vec<u64>, SnapshotsError> {
        let mut found = Vec::new();
        for path in self.files()? {
            let is_one = path.extension().is_some_and(|extension| extension == EXTENSION);
            let seq = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            found.extend(seq.filter(|seq| is_one && *seq > 0 && self.path(*seq) == path));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Returns where the snapshot of a command is.
    pub fn path(&self, seq: u64) -> PathBuf {
        self.folder.join(format!("{seq:020}.{EXTENSION}"))
    }

    /// Reads a snapshot, and checks that every byte is as it was written.
    ///
    /// # Errors
    ///
    /// [`SnapshotsError`].
    pub fn read(&self, seq: u64) -> Result<Saved, SnapshotsError> {
        let path = self.path(seq);
        let bytes = fs::read(&path);
        let bytes =
            bytes.map_err(|source| SnapshotsError::Reading { path: path.clone(), source })?;
        let saved = Saved::from_bytes(&bytes, &path)?;
        if saved.head.seq != seq {
            let problem = "it is of another command than its name says";
            return Err(SnapshotsError::Damaged { path, problem });
        }
        Ok(saved)
    }

    /// Writes a snapshot durably, and reads it back.
    ///
    /// # Errors
    ///
    /// [`SnapshotsError`]; then it is not there, or not to be relied on.
    pub fn write(&self, saved: &Saved) -> Result<(), SnapshotsError> {
        let path = self.path(saved.head.seq);
        let unfinished = path.with_extension(UNFINISHED);
        let written = self.write_to(saved, &unfinished).and_then(|()| {
            fs::rename(&unfinished, &path)?;
            File::open(&self.folder)?.sync_all()
        });
        if let Err(source) = written {
            // A full disk is not to be filled further by what is of no use.
            drop(fs::remove_file(&unfinished));
            return Err(SnapshotsError::Writing { path, source });
        }
        match self.read(saved.head.seq)? == *saved {
            true => Ok(()),
            false => Err(SnapshotsError::Damaged { path, problem: "it was read back otherwise" }),
        }
    }

    fn write_to(&self, saved: &Saved, path: &Path) -> io::Result<()> {
        // It holds what is sealed.
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let header = Header::of(saved).to_bytes();
        file.write_all(&header)?;
        file.write_all(&digest_of(&header, &saved.parts()))?;
        for part in saved.parts() {
            file.write_all(part)?;
        }
        file.sync_all()
    }

    /// Keeps the newest snapshot, and of the others so many that `kept` are left, each at least
    /// `apart` commands after the one before it, and the newest one of `followed` or before it: whoever
    /// follows the journal has come so far, and goes on from there. Deletes the rest, damaged ones first
    /// of all.
    ///
    /// Returns the command that the oldest one stands for, if there are as many as are to be kept:
    /// then nobody needs what is before it. Every one that counts was read back.
    ///
    /// # Errors
    ///
    /// [`SnapshotsError`]; then nothing may be deleted because of what is kept here.
    pub fn retain(
        &self,
        kept: usize,
        apart: u64,
        followed: u64,
    ) -> Result<Option<u64>, SnapshotsError> {
        for path in self.files()? {
            if path.extension().is_some_and(|extension| extension == UNFINISHED) {
                delete(&path)?;
            }
        }
        let mut good = Vec::new();
        for seq in self.list()? {
            match self.read(seq) {
                Ok(saved) if saved.rules_version == RULES_VERSION => good.push(seq),
                Err(error @ SnapshotsError::Damaged { .. }) => {
                    tracing::warn!(%error, "it is deleted");
                    delete(&self.path(seq))?;
                }
                // Another build's: for that build.
                Ok(_)
                | Err(SnapshotsError::OtherRules { .. } | SnapshotsError::OtherFormat { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let chosen = chosen(&good, kept.max(1), apart);
        let followed = good.iter().rev().find(|seq| **seq <= followed);
        // Without one, the oldest may stand for what is gone of the journal.
        let base = followed.or(good.first());
        for seq in good.iter().filter(|seq| !chosen.contains(seq) && Some(*seq) != base) {
            delete(&self.path(*seq))?;
        }
        let oldest = chosen.first().filter(|_| chosen.len() >= kept);
        Ok(oldest.zip(followed).map(|(oldest, followed)| *oldest.min(followed)))
    }

    fn files(&self) -> Result<Vec<PathBuf>, SnapshotsError> {
        let listing = |source| SnapshotsError::Listing { path: self.folder.clone(), source };
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(listing)?,
        };
        entries.map(|entry| Ok(entry.map_err(listing)?.path())).collect()
    }
}

impl Saved {
    /// Returns its parts, in the order in which they are in the file.
    fn parts(&self) -> [&[u8]; 3] {
        [&self.exchange, &self.consumer, &self.curtain]
    }

    /// Reads what a snapshot's file holds, and checks that every byte is as it was written. Errors name
    /// the file.
    ///
    /// # Errors
    ///
    /// [`SnapshotsError`].
    pub fn from_bytes(bytes: &[u8], file: &Path) -> Result<Self, SnapshotsError> {
        let path = || file.to_path_buf();
        let damaged = |problem| SnapshotsError::Damaged { path: path(), problem };
        let header = Header::read(bytes).ok_or_else(|| damaged("it has no header"))?;
        let Header { format, rules_version, head, parts: lengths } = header;
        if format != FORMAT {
            return Err(SnapshotsError::OtherFormat { path: path(), format });
        }
        let (header_bytes, rest) = bytes.split_at(HEADER_BYTES);
        let parts = rest.split_at_checked(DIGEST_BYTES);
        let (digest, payload) = parts.ok_or_else(|| damaged("it is cut off"))?;
        if digest != digest_of(header_bytes, &[payload]) {
            return Err(damaged("a wrong digest"));
        }
        if !(RULES_UPGRADED_FROM..=RULES_VERSION).contains(&rules_version) {
            return Err(SnapshotsError::OtherRules { path: path(), rules_version });
        }
        let [exchange, consumer, curtain] =
            cut(payload, lengths).ok_or_else(|| damaged("wrong lengths"))?;
        Ok(Self { head, rules_version, exchange, consumer, curtain })
    }

    /// Returns whether what is held back can be read.
    pub fn is_curtain_whole(&self) -> bool {
        Curtain::from_bytes(&self.curtain).is_some()
    }

    /// Makes the exchange anew.
    ///
    /// # Errors
    ///
    /// [`gavel_exchange::SnapshotError`] if the bytes are not an exchange's.
    pub fn exchange(&self) -> Result<Exchange, gavel_exchange::SnapshotError> {
        let exchange = Exchange::restore(Snapshot::from_bytes(&self.exchange)?);
        match exchange.seq() == self.head.seq {
            true => Ok(exchange),
            false => Err(gavel_exchange::SnapshotError::Damaged),
        }
    }
}

/// Returns which of these to keep. Counted from the oldest on, so that many stops in a row do not push
/// out what is far enough back.
fn chosen(good: &[u64], kept: usize, apart: u64) -> Vec<u64> {
    let mut chosen: Vec<u64> = Vec::new();
    for seq in good {
        let is_apart = chosen.last().is_none_or(|last| seq.saturating_sub(*last) >= apart);
        if is_apart || good.last() == Some(seq) {
            chosen.push(*seq);
        }
    }
    chosen.split_off(chosen.len().saturating_sub(kept))
}

/// Cuts what is in a file into parts of these lengths.
fn cut<const PARTS: usize>(mut payload: &[u8], lengths: [u64; PARTS]) -> Option<[Vec<u8>; PARTS]> {
    let mut parts = [const { Vec::new() }; PARTS];
    for (part, length) in parts.iter_mut().zip(lengths) {
        let (of_this, rest) = payload.split_at_checked(usize::try_from(length).ok()?)?;
        (*part, payload) = (of_this.to_vec(), rest);
    }
    payload.is_empty().then_some(parts)
}

fn delete(path: &Path) -> Result<(), SnapshotsError> {
    fs::remove_file(path).map_err(|source| SnapshotsError::Writing { path: path.into(), source })
}

fn digest_of(header: &[u8], payload: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(header);
    for part in payload {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// What a file says of itself.
struct Header {
    format: u32,
    rules_version: u32,
    head: Head,
    /// The bytes of each part.
    parts: [u64; 3],
}

impl Header {
    fn of(saved: &Saved) -> Self {
        Self {
            format: FORMAT,
            rules_version: saved.rules_version,
            head: saved.head,
            parts: saved.parts().map(|part| part.len() as u64),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.format.to_le_bytes());
        bytes.extend_from_slice(&self.rules_version.to_le_bytes());
        bytes.extend_from_slice(&self.head.seq.to_le_bytes());
        bytes.extend_from_slice(self.head.chain.as_bytes());
        for length in self.parts {
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        bytes
    }

    /// Reads a header whose digest is still to be checked.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (format, rest) = rest.split_first_chunk()?;
        let (rules_version, rest) = rest.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        let (chain, rest) = rest.split_first_chunk::<32>()?;
        let (exchange, rest) = rest.split_first_chunk()?;
        let (consumer, rest) = rest.split_first_chunk()?;
        let (curtain, _) = rest.split_first_chunk()?;
        (*magic == MAGIC).then(|| Self {
            format: u32::from_le_bytes(*format),
            rules_version: u32::from_le_bytes(*rules_version),
            head: Head { seq: u64::from_le_bytes(*seq), chain: Digest::new(*chain) },
            parts: [exchange, consumer, curtain].map(|length| u64::from_le_bytes(*length)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(seq: u64) -> Saved {
        let head = Head { seq, chain: Digest::new([7; 32]) };
        let exchange = Exchange::new().snapshot().to_bytes();
        let (consumer, curtain) = (vec![1, 2, 3], vec![4, 5]);
        Saved { head, rules_version: RULES_VERSION, exchange, consumer, curtain }
    }

    fn some() -> (tempfile::TempDir, Snapshots) {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::new(&folder.path().join("snapshots"));
        (folder, snapshots)
    }

    #[test]
    fn what_is_written_is_read() {
        let (_folder, snapshots) = some();
        assert!(snapshots.list().unwrap().is_empty());
        for seq in [20, 3] {
            snapshots.write(&saved(seq)).unwrap();
            assert_eq!(snapshots.read(seq).unwrap(), saved(seq));
        }
        assert_eq!(snapshots.list().unwrap(), [3, 20]);
        assert!(matches!(snapshots.read(4), Err(SnapshotsError::Reading { .. })));
    }

    #[test]
    fn a_file_that_is_cut_off_or_changed_anywhere_is_refused() {
        let (_folder, snapshots) = some();
        snapshots.write(&saved(3)).unwrap();
        let path = snapshots.path(3);
        let whole = fs::read(&path).unwrap();
        for end in 0..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            let read = snapshots.read(3);
            assert!(matches!(read, Err(SnapshotsError::Damaged { .. })), "cut at {end}: {read:?}");
        }
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert!(snapshots.read(3).is_err(), "changed at {place}");
        }
        // Whole, but of another place.
        fs::write(&path, &whole).unwrap();
        fs::rename(&path, snapshots.path(4)).unwrap();
        assert!(matches!(snapshots.read(4), Err(SnapshotsError::Damaged { .. })));
    }

    #[test]
    fn a_snapshot_of_other_rules_is_not_read() {
        let (_folder, snapshots) = some();
        snapshots.write(&saved(3)).unwrap();
        let saved = saved(3);
        let header = Header { rules_version: RULES_VERSION + 1, ..Header::of(&saved) }.to_bytes();
        let digest = digest_of(&header, &saved.parts());
        let bytes = [&header[..], &digest, &saved.parts().concat()].concat();
        fs::write(snapshots.path(3), bytes).unwrap();
        let read = snapshots.read(3);
        let other = RULES_VERSION + 1;
        assert!(
            matches!(read, Err(SnapshotsError::OtherRules { rules_version, .. }) if rules_version == other),
            "{read:?}"
        );
        assert_eq!(snapshots.retain(1, 1, u64::MAX).unwrap(), None, "it does not count");
        assert_eq!(snapshots.list().unwrap(), [3], "and stays for the build that reads it");
    }

    #[test]
    fn the_newest_stays_with_those_that_are_far_enough_apart() {
        assert!(chosen(&[], 3, 10).is_empty());
        assert_eq!(chosen(&[5, 8, 9], 3, 10), [5, 9]);
        assert_eq!(chosen(&[5, 9, 16, 20, 26, 27], 4, 10), [5, 16, 26, 27]);
        assert_eq!(chosen(&[5, 16, 26, 27], 3, 10), [16, 26, 27]);
        assert_eq!(chosen(&[5, 9], 1, 10), [9]);
    }

    #[test]
    fn nothing_is_given_up_before_there_are_enough_good_ones() {
        let (_folder, snapshots) = some();
        for seq in [10, 20] {
            snapshots.write(&saved(seq)).unwrap();
        }
        fs::write(snapshots.path(30), b"torn").unwrap();
        fs::write(snapshots.path(40).with_extension(UNFINISHED), b"torn").unwrap();
        assert_eq!(snapshots.retain(3, 10, u64::MAX).unwrap(), None);
        assert_eq!(snapshots.files().unwrap().len(), 2);
        snapshots.write(&saved(30)).unwrap();
        assert_eq!(snapshots.retain(3, 10, u64::MAX).unwrap(), Some(10));
        snapshots.write(&saved(40)).unwrap();
        assert_eq!(snapshots.retain(3, 10, u64::MAX).unwrap(), Some(20));
        assert_eq!(snapshots.list().unwrap(), [20, 30, 40]);
    }

    #[test]
    fn what_a_follower_goes_on_from_stays() {
        let (_folder, snapshots) = some();
        for seq in [10, 20, 30, 40] {
            snapshots.write(&saved(seq)).unwrap();
        }
        assert_eq!(snapshots.retain(2, 10, 9).unwrap(), None, "it begins with the first command");
        assert_eq!(snapshots.list().unwrap(), [10, 30, 40]);
        snapshots.write(&saved(20)).unwrap();
        assert_eq!(snapshots.retain(2, 10, 29).unwrap(), Some(20));
        assert_eq!(snapshots.list().unwrap(), [20, 30, 40]);
        assert_eq!(snapshots.retain(2, 10, 35).unwrap(), Some(30));
        assert_eq!(snapshots.list().unwrap(), [30, 40]);
    }
}
