//! The arguments of what is kept: snapshots, backups.

use std::path::PathBuf;

use clap::{Args, Parser};
use gavel_sequencer::limits::{SNAPSHOT_EVERY, SNAPSHOTS_KEPT};

use crate::args::JournalArg;

/// What is kept of the past.
#[derive(Clone, Copy, Debug, Args)]
pub struct KeepArgs {
    /// Commands after which a snapshot is made. A start replays at most as many, and a few more.
    #[arg(long, default_value_t = SNAPSHOT_EVERY, value_name = "COMMANDS",
        value_parser = clap::value_parser!(u64).range(1..))]
    pub snapshot_every: u64,
    /// Snapshots that are kept. The journal begins with the oldest of them, or with what a projection still needs.
    #[arg(long, default_value_t = SNAPSHOTS_KEPT as u64, value_name = "NUMBER",
        value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub keep_snapshots: u64,
    /// Keep the whole journal, from its first command.
    #[arg(long)]
    pub keep_history: bool,
}

/// Arguments of `gavel backup`.
#[derive(Debug, Parser)]
#[command(after_help = "\
A backup holds everything that the data directory does: what is sealed, and every key. Keep it as
secret as that. What is acknowledged after it is not in it. A journal on PostgreSQL is backed up with
pg_dump instead.

Example, while the exchange runs or not:

  gavel backup --data gavel-data --to /mnt/backup/monday
  gavel restore --from /mnt/backup/monday --data gavel-data-again")]
pub struct BackupArgs {
    /// Where the exchange keeps everything; it may be running.
    #[arg(long, default_value = "gavel-data")]
    pub data: PathBuf,
    /// Where to put the backup: a directory that is empty or not there yet.
    #[arg(long)]
    pub to: PathBuf,
}

/// Arguments of `gavel restore`.
#[derive(Debug, Parser)]
#[command(
    after_help = "Example:\n\n  gavel restore --from /mnt/backup/monday --data gavel-data-again"
)]
pub struct RestoreArgs {
    /// A backup that `gavel backup` has made.
    #[arg(long)]
    pub from: PathBuf,
    /// The data directory to make of it: empty, or not there yet.
    #[arg(long)]
    pub data: PathBuf,
}

/// Arguments of `gavel snapshot`.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n\n  gavel snapshot --data gavel-data --make")]
pub struct SnapshotArgs {
    /// Where the exchange keeps everything.
    #[arg(long, default_value = "gavel-data")]
    pub data: PathBuf,
    /// Where the journal is kept.
    #[command(flatten)]
    pub journal: JournalArg,
    /// Make one of the journal's end first; the exchange must not be running.
    #[arg(long)]
    pub make: bool,
}
