//! An embedded journal that was cut off at any byte, or has any bit flipped: what was noted beside it is
//! there and unchanged, or the journal is refused. Never is it silently shorter.
//!
//! How many places are tried can be set from outside: see `cargo xtask faults`.
#![expect(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use gavel_protocol::{AdvanceTime, AgentId, Command, Digest, Request, Stamped, TimestampNs};
use gavel_sequencer::journal::{Head, Journal, Record, SqliteJournal, encode_command};

/// Records of the journal; and of how many commands each, so that its log is longer than what is cut.
const RECORDS: u64 = 10;
const COMMANDS: u64 = 40;
/// As many threads as there are cores on the machines that this usually runs on.
const THREADS: usize = 2;
/// The end of the log that is cut off at every byte.
const CUT_BYTES: usize = 64 * 1_024;

fn from_outside(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Adds a row to the table of faults, where `cargo xtask faults` asks for one.
fn row(text: &str) {
    let Ok(path) = std::env::var("GAVEL_FAULTS_TABLE") else { return };
    let mut table = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    writeln!(table, "{text}").unwrap();
}

/// The files of a journal as a crash leaves them: nothing was folded, nothing was closed.
struct Crashed {
    files: Vec<(PathBuf, Vec<u8>)>,
    head: Head,
}

impl Crashed {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = SqliteJournal::open(folder.path()).await.unwrap();
        let mut head = Head::EMPTY;
        for _ in 0..RECORDS {
            let record = record(&head);
            journal.append(&record).await.unwrap();
            head = record.head();
        }
        let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.map(|path| {
            let bytes = fs::read(&path).unwrap();
            (PathBuf::from(path.file_name().unwrap()), bytes)
        });
        let mut files: Vec<_> = files.filter(|(_, bytes)| !bytes.is_empty()).collect();
        files.sort_unstable();
        Self { files, head }
    }

    fn file(&self, end: &str) -> usize {
        let ends = |(path, _): &(PathBuf, Vec<u8>)| path.to_string_lossy().ends_with(end);
        self.files.iter().position(ends).unwrap()
    }

    /// Puts the files where nothing else is, one of them changed.
    fn write(&self, folder: &Path, changed: usize, bytes: &[u8]) {
        for (place, (path, whole)) in self.files.iter().enumerate() {
            let bytes = if place == changed { bytes } else { whole };
            fs::write(folder.join(path), bytes).unwrap();
        }
    }

    /// Reads the journal with one of its files changed, and checks that it is whole, refused, or was
    /// never noted to be longer.
    async fn is_refused(&self, changed: usize, bytes: &[u8], noted: &Head) -> bool {
        // Of its own: a connection that is let go may still be at work in the one before.
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path(), changed, bytes);
        let Ok(mut journal) = SqliteJournal::open(folder.path()).await else { return true };
        let (mut head, mut has_noted) = (Head::EMPTY, *noted == Head::EMPTY);
        loop {
            match journal.read_after(head.seq).await {
                Err(_) => return true,
                Ok(None) => break,
                Ok(Some(found)) => {
                    if !found.is_intact() || !found.follows(&head) {
                        return true;
                    }
                    // The chain is over everything before: what has it is what was written.
                    head = found.head();
                    has_noted |= head == *noted;
                }
            }
        }
        assert!(head.seq <= self.head.seq, "records that nobody wrote");
        !has_noted
    }
}

/// Returns a record that follows `head`; every command of it is there, if only to be counted.
fn record(head: &Head) -> Record {
    let mut commands = Vec::new();
    for seq in head.seq + 1..=head.seq + COMMANDS {
        let command = Command::AdvanceTime(AdvanceTime {});
        let request = Request { agent: AgentId::EXCHANGE, command };
        let stamped = Stamped { seq, ts_event: TimestampNs::from_nanos(seq), request };
        encode_command(&stamped, &mut commands);
    }
    Record::following(head, head.seq + COMMANDS, commands, Digest::new([1; 32]))
}

#[test]
fn a_journal_cut_off_at_any_byte_is_never_silently_shorter_than_its_note() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let crashed = runtime().block_on(Crashed::new());
    let wal = crashed.file("-wal");
    let bytes = &crashed.files[wal].1;
    assert!(bytes.len() > CUT_BYTES, "the log is too short: {}", bytes.len());
    let step = CUT_BYTES / from_outside("GAVEL_CUTS", 200).min(CUT_BYTES);
    let cut_off = |cut: usize| {
        let (crashed, left) = (&crashed, &bytes[..bytes.len() - cut]);
        async move {
            // Without a note the end may be missing, and what is left is whole; with one it is refused.
            if (cut / step).is_multiple_of(32) {
                assert!(!crashed.is_refused(wal, left, &Head::EMPTY).await, "cut by {cut}");
            }
            assert!(crashed.is_refused(wal, left, &crashed.head).await, "cut by {cut}");
        }
    };
    std::thread::scope(|scope| {
        for first in 0..THREADS {
            let cuts = (1..=CUT_BYTES).step_by(step).skip(first).step_by(THREADS);
            scope.spawn(move || cuts.for_each(|cut| runtime().block_on(cut_off(cut))));
        }
    });
    let tried = CUT_BYTES.div_ceil(step);
    row(&format!("| journal cut off at {tried} places | {tried} refused | 0 | | true |"));
}

#[tokio::test]
async fn a_flipped_bit_is_refused_or_changes_nothing() {
    let crashed = Crashed::new().await;
    let (tries, mut refused) = (from_outside("GAVEL_FLIPS", 200), 0);
    // Any generator does, as long as it is the same each time: Knuth's constants.
    let mut state = 1_u64;
    let mut draw = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..tries {
        let file = draw(crashed.files.len());
        let mut bytes = crashed.files[file].1.clone();
        let (at, bit) = (draw(bytes.len()), draw(8));
        bytes[at] ^= 1 << bit;
        refused += u32::from(crashed.is_refused(file, &bytes, &crashed.head).await);
    }
    row(&format!("| {tries} bits of a journal flipped | {refused} refused | 0 | | true |"));
}
