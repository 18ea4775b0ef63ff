//! `gavel backup` and `gavel restore`: copy a data directory so that the copy is whole, while the
//! exchange runs or not, and make a data directory of such a copy.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use gavel_gateway::FanOut;
use gavel_protocol::Digest;
use gavel_sequencer::audit::AuditReader;
use gavel_sequencer::journal::{
    Head, Journal as _, JournalReader as _, SqliteJournal, SqliteReader,
};
use gavel_sequencer::{Audit, Snapshots, SnapshotsError, recover};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Exit;
use crate::args::{BackupArgs, RestoreArgs};
use crate::commands::block_on;
use crate::data_dir::{AUDIT_KEY, AUDIT_SECRET, DataDir};
use crate::output::Output;

/// What says that a backup is whole, and what it is of. Written last.
const MANIFEST: &str = "backup.json";

/// What a backup says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    /// The last command that is in it.
    seq: u64,
    /// The chain value there.
    chain: Digest,
}

/// Makes a backup.
pub fn backup(args: &BackupArgs, output: &Output) -> anyhow::Result<Exit> {
    block_on(async {
        let (data, copy) = (DataDir::new(&args.data), DataDir::new(&args.to));
        data.whereabouts()?;
        if !SqliteReader::new(&data.journal()).is_there() {
            bail!(
                "there is no journal in {}: one on PostgreSQL is backed up with `pg_dump --schema \
                 gavel_journal`, after a copy of this directory (see docs/OPERATIONS.md)",
                data.root().display()
            );
        }
        make_empty(copy.root())?;
        copy_all(&data, &copy).await?;
        let (head, audit) = verified(&copy, Head::EMPTY).await?;
        let Head { seq, chain } = head;
        let manifest = serde_json::to_string_pretty(&Manifest { seq, chain });
        let manifest = manifest.context("cannot write JSON")?;
        write(&copy.root().join(MANIFEST), &manifest)?;
        let text = format!(
            "everything up to command {seq} is in {}, verified: state {}, trial balance {}\n\
             it holds what is sealed and every key: keep it as secret as {}",
            copy.root().display(),
            audit.state_hash,
            audit.trial_balance,
            data.root().display(),
        );
        output.summary(text, &summary(&copy, head, &audit));
        Ok(Exit::Done)
    })
}

/// Makes a data directory of a backup.
pub fn restore(args: &RestoreArgs, output: &Output) -> anyhow::Result<Exit> {
    block_on(async {
        let (copy, data) = (DataDir::new(&args.from), DataDir::new(&args.data));
        let path = copy.root().join(MANIFEST);
        let manifest = fs::read_to_string(&path).with_context(|| {
            format!("{} is no backup, or one that was not finished", copy.root().display())
        })?;
        let manifest: Manifest = serde_json::from_str(&manifest)
            .with_context(|| format!("{} is damaged", path.display()))?;
        make_empty(data.root())?;
        copy_folder(copy.root(), data.root(), &|name| name != MANIFEST)?;
        let noted = Head { seq: manifest.seq, chain: manifest.chain };
        let (head, audit) = verified(&data, noted).await.with_context(|| {
            format!("what is in {} is not what was backed up; delete it", data.root().display())
        })?;
        let text = format!(
            "everything up to command {} is in {}, verified: state {}, trial balance {}\n\
             what was acknowledged after that is lost here. Never let the exchange it was copied \
             from run beside it",
            head.seq,
            data.root().display(),
            audit.state_hash,
            audit.trial_balance,
        );
        output.summary(text, &summary(&data, head, &audit));
        Ok(Exit::Done)
    })
}

fn summary(at: &DataDir, head: Head, audit: &Audit) -> serde_json::Value {
    json!({
        "path": at.root(),
        "seq": head.seq,
        "chain": head.chain,
        "state_hash": audit.state_hash.to_string(),
        "trial_balance": i64::try_from(audit.trial_balance).unwrap_or(i64::MAX),
    })
}

/// Copies a data directory from which an exchange may be serving.
///
/// The order matters: the note of the journal's end before the journal, so that it is of what is
/// copied; audit log and snapshots before the journal, so that what comes after them is in it; blobs
/// last, so that those which the journal names are there.
async fn copy_all(data: &DataDir, copy: &DataDir) -> anyhow::Result<()> {
    let everything = |_: &str| true;
    for folder in ["keys", "tls"] {
        copy_folder(&data.root().join(folder), &copy.root().join(folder), &everything)?;
    }
    copy_file(&data.alive(), &copy.alive())?;
    copy_file(&data.whereabouts_file(), &copy.whereabouts_file())?;
    let notes = [DataDir::quarantine, DataDir::projected_file];
    for note in notes.iter().filter(|note| note(data).exists()) {
        copy_file(&note(data), &note(copy))?;
    }
    copy_audit(data, copy).await?;
    let copied = copy_snapshots(&data.snapshots(), &copy.snapshots())?;
    let mut reader = SqliteReader::new(&data.journal());
    reader.copy(&copy.journal()).await?;
    Box::new(reader).close().await?;
    // Of the snapshots that were copied, those are of no use that the journal has left behind.
    let mut journal = SqliteJournal::open(&copy.journal()).await?;
    let first = journal.read_after(0).await?.map_or(1, |record| record.first_seq);
    journal.close().await?;
    for seq in copied.iter().filter(|seq| **seq + 1 < first) {
        fs::remove_file(copy.snapshots().path(*seq)).context("cannot delete a snapshot")?;
    }
    if first > 1 && copied.is_empty() {
        bail!(
            "the journal begins with command {first}, and no snapshot of what was before it can be read: \
             this directory cannot be gone on with, and a copy of it could not be either"
        );
    }
    if first > 1 && copied.iter().all(|seq| *seq + 1 < first) {
        bail!(
            "the exchange has made snapshots faster than they could be copied: delete {} and try again",
            copy.root().display()
        );
    }
    // What is still being written has a `#` in its name.
    let finished = |name: &str| !name.contains('#');
    copy_folder(&data.blobs()?, &copy.root().join("blobs"), &finished)
}

/// Copies the audit log and what it is kept with, if there is one.
async fn copy_audit(data: &DataDir, copy: &DataDir) -> anyhow::Result<()> {
    let (from, to) = (data.audit_folder(), copy.audit_folder());
    copy_folder(&from, &to, &|name| [AUDIT_KEY, AUDIT_SECRET].contains(&name))?;
    if !data.audit_store().exists() {
        return Ok(());
    }
    let mut log = AuditReader::open(&data.audit_store()).await?;
    log.copy(&copy.audit_store()).await?;
    log.close().await?;
    let synchronised = File::open(copy.audit_store()).and_then(|file| file.sync_all());
    synchronised.with_context(|| format!("cannot synchronise {}", copy.audit_store().display()))
}

/// Copies the good snapshots, and returns the commands that they stand for.
fn copy_snapshots(from: &Snapshots, to: &Snapshots) -> anyhow::Result<Vec<u64>> {
    let mut copied = Vec::new();
    for seq in from.list()? {
        match from.read(seq) {
            Ok(saved) => {
                to.write(&saved)?;
                copied.push(seq);
            }
            // A newer one has taken its place meanwhile.
            Err(SnapshotsError::Reading { source, .. })
                if source.kind() == io::ErrorKind::NotFound => {}
            Err(error @ SnapshotsError::Damaged { .. }) => {
                tracing::warn!(%error, "it is left out");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(copied)
}

/// Brings a copy to its end, as a start would, and leaves it as it was.
async fn verified(data: &DataDir, noted: Head) -> anyhow::Result<(Head, Audit)> {
    let last = data.last_note()?.head;
    let noted = if last.seq > noted.seq { last } else { noted };
    let mut journal = SqliteJournal::open(&data.journal()).await?;
    let recovered = recover(&mut journal, noted, Some(&data.snapshots()), &*FanOut::new()).await?;
    journal.close().await?;
    fs::remove_file(data.journal().join("journal.lock")).context("cannot remove the lock")?;
    let audit = Audit::of(&recovered.exchange);
    if audit.trial_balance != 0 {
        bail!("the ledger is not balanced: {}", audit.trial_balance);
    }
    Ok((recovered.head, audit))
}

/// Makes a directory for its owner only, unless it is there and empty.
fn make_empty(path: &Path) -> anyhow::Result<()> {
    match fs::read_dir(path) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                bail!("{} is not empty: name a directory that is not there yet", path.display());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.with_context(|| format!("cannot make {}", path.display()))?;
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
    }
    Ok(())
}

/// Copies a folder, if it is there, durably.
fn copy_folder(from: &Path, to: &Path, wanted: &dyn Fn(&str) -> bool) -> anyhow::Result<()> {
    let reading = || format!("cannot read {}", from.display());
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(reading)?,
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(to);
    made.with_context(|| format!("cannot make {}", to.display()))?;
    for entry in entries {
        let entry = entry.with_context(reading)?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(wanted) {
            continue;
        }
        let (from, to) = (entry.path(), to.join(&name));
        match entry.file_type().with_context(reading)?.is_dir() {
            true => copy_folder(&from, &to, wanted)?,
            false => copy_file(&from, &to)?,
        }
    }
    File::open(to)
        .and_then(|folder| folder.sync_all())
        .with_context(|| format!("cannot synchronise {}", to.display()))
}

fn copy_file(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copied = fs::copy(from, to).and_then(|_| File::open(to)?.sync_all());
    copied.with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let written = fs::write(path, text).and_then(|()| File::open(path)?.sync_all());
    written.with_context(|| format!("cannot write {}", path.display()))
}
