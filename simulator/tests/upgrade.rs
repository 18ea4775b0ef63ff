//! An exchange that a build of other rules has stopped goes on under these: from the last snapshot that
//! build made, and from nothing else, wherever its journal is.
//!
//! `cargo xtask faults` lets the one build leave a data directory, and runs this with the other.
#![cfg(feature = "next-rules")]
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

#[path = "../../tests/src/postgres.rs"]
#[allow(dead_code, reason = "this file uses a part of it")]
mod postgres;

use std::fs;
use std::path::{Path, PathBuf};

use gavel_exchange::Exchange;
use gavel_gateway::FanOut;
use gavel_protocol::{
    Command, Digest, Found, PublicKey, RULES_UPGRADED_FROM, RULES_VERSION, Settings,
};
use gavel_sequencer::journal::{AnyJournal, Journal as _, JournalPlace, Record, decode_commands};
use gavel_sequencer::projection::{Projection, ProjectionError, ProjectionPlace};
use gavel_sequencer::{
    Inbox, Layout, Reach, RecoveryError, Replayed, Replica, Sequencer, SequencerConfig,
    SnapshotConfig, Snapshots, Source, StartError, last_note, recover, replay,
};
use postgres::Database;
use tempfile::TempDir;

/// A copy of what the other build has left.
struct Left {
    folder: TempDir,
    /// Where the journal is, if not in the folder.
    database: Option<Database>,
}

impl Left {
    /// Returns a copy as it is, and one whose journal is on a server.
    async fn copies() -> [Self; 2] {
        let on_server = Self { database: Some(Database::shared()), ..Self::copy() };
        let folder = JournalPlace::Folder(on_server.path().join("journal"));
        let (mut from, mut to) = (folder.open().await.unwrap(), on_server.journal().await);
        while let Some(record) = from.read_after(to.head().seq).await.unwrap() {
            to.append(&record).await.unwrap();
        }
        to.close().await.unwrap();
        [Self::copy(), on_server]
    }

    fn copy() -> Self {
        let from = std::env::var("GAVEL_UPGRADE_FROM");
        let from = PathBuf::from(from.expect("`cargo xtask faults` says where it is"));
        let folder = tempfile::tempdir().unwrap();
        for part in ["journal", "snapshots", "projection"] {
            fs::create_dir(folder.path().join(part)).unwrap();
            for entry in fs::read_dir(from.join(part)).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), folder.path().join(part).join(entry.file_name())).unwrap();
            }
        }
        fs::copy(from.join("alive"), folder.path().join("alive")).unwrap();
        Self { folder, database: None }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn snapshots(&self) -> Snapshots {
        Snapshots::new(&self.path().join("snapshots"))
    }

    async fn journal(&self) -> AnyJournal {
        let place = match &self.database {
            None => JournalPlace::Folder(self.path().join("journal")),
            Some(database) => JournalPlace::Postgres(database.url().parse().unwrap()),
        };
        place.open().await.unwrap()
    }

    async fn start(&self) -> Result<Sequencer, StartError> {
        let found = Found {
            name: "another".parse().unwrap(),
            id_key: Digest::new([1; 32]),
            operator_key: PublicKey::new([2; 32]),
            settings: Settings::fee(0),
        };
        let snapshots = SnapshotConfig {
            folder: self.path().join("snapshots"),
            every: u64::MAX,
            kept: 3,
            keep_history: true,
            followed: Vec::new(),
            consumer: || FanOut::new(),
        };
        let config = SequencerConfig {
            layout: Layout::Thread,
            found,
            alive: Some(self.path().join("alive")),
            snapshots: Some(snapshots),
            quarantine: None,
        };
        Sequencer::start(config, self.journal().await, Inbox::new(), FanOut::new()).await
    }

    async fn recovered(&self) -> Replayed {
        let (snapshots, edge) = (self.snapshots(), FanOut::new());
        let noted = last_note(&self.path().join("alive")).unwrap().head;
        recover(&mut self.journal().await, noted, Some(&snapshots), &*edge).await.unwrap()
    }

    async fn source(&self) -> Source {
        let (journal, snapshots) = (self.journal().await.into_reader(), Some(self.snapshots()));
        Source { journal, snapshots, reach: Reach::default() }
    }

    /// Returns where the projection is that the other build has kept up.
    fn projection(&self) -> ProjectionPlace {
        ProjectionPlace::Sqlite(self.path().join("projection").join("projection.sqlite"))
    }

    /// Returns the records after the command `seq`.
    async fn after(&self, seq: u64) -> Vec<Record> {
        let (mut journal, mut seq, mut records) = (self.journal().await, seq, Vec::new());
        while let Some(record) = journal.read_after(seq).await.unwrap() {
            seq = record.last_seq;
            records.push(record);
        }
        records
    }
}

fn upgrades(records: &[Record]) -> usize {
    let commands = records.iter().flat_map(|record| decode_commands(&record.commands).unwrap());
    commands.filter(|c| matches!(c.request.command, Command::Upgrade(_))).count()
}

async fn run_once(left: &Left) -> Exchange {
    left.start().await.unwrap().stop().await.unwrap()
}

#[tokio::test]
async fn it_goes_on_from_the_last_snapshot_and_never_replays_across() {
    for left in Left::copies().await {
        let last = *left.snapshots().list().unwrap().last().unwrap();
        let saved = left.snapshots().read(last).unwrap();
        assert_eq!(saved.rules_version, RULES_UPGRADED_FROM);
        assert!(left.after(last).await.is_empty(), "the other build was stopped, not killed");

        let upgraded = run_once(&left).await;
        let records = left.after(last).await;
        assert!(records.iter().all(|record| record.rules_version == RULES_VERSION));
        assert_eq!(upgrades(&records[..1]), 1, "it comes first");
        assert_eq!(upgraded.trial_balance(), 0);
        let before = saved.exchange().unwrap();
        assert!(before.seq() == last && before.name().is_some());
        assert_eq!(upgraded.name(), before.name(), "what was there is there");

        // From then on it is an exchange of these rules, with a snapshot of its own.
        let recovered = left.recovered().await;
        assert_eq!(recovered.exchange.state_hash(), upgraded.state_hash());
        run_once(&left).await;
        assert_eq!(upgrades(&left.after(last).await), 1);

        // The snapshot it went on from still leads to where it is, an older one or the beginning does not.
        let snapshots = left.snapshots();
        let mut journal = left.journal().await;
        let start = Replica::at(&mut journal, &snapshots, last, FanOut::new()).await;
        assert_eq!(start.unwrap().head().seq, last);
        let older = snapshots.list().unwrap()[0];
        assert!(older < last, "the other build made more than one");
        let start = Replica::at(&mut journal, &snapshots, older, FanOut::new()).await;
        assert!(start.is_err(), "{start:?}");
        let refused = replay(&mut journal, |_| {}).await.unwrap_err();
        assert!(
            matches!(refused, RecoveryError::OtherRules { rules_version, .. } if rules_version == RULES_UPGRADED_FROM),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_projection_goes_on_and_is_made_anew_from_where_these_rules_begin() {
    for left in Left::copies().await {
        let seq = run_once(&left).await.seq();
        let at = left.projection();
        let went_on = Projection::catch_up(left.source().await, FanOut::new(), &at).await.unwrap();
        assert_eq!(went_on.seq, seq);
        let rebuilt = Projection::rebuild(left.source().await, FanOut::new(), &at).await.unwrap();
        assert_eq!(rebuilt, went_on);
        // What was before is for the other build.
        let new = ProjectionPlace::Sqlite(left.path().join("new.sqlite"));
        let refused = Projection::catch_up(left.source().await, FanOut::new(), &new).await;
        let Err(ProjectionError::Replaying(refused)) = refused else { panic!("{refused:?}") };
        assert!(matches!(refused, RecoveryError::OtherRules { .. }), "{refused}");
        let refused = Projection::rebuild(left.source().await, FanOut::new(), &new).await;
        let Err(ProjectionError::Replaying(refused)) = refused else { panic!("{refused:?}") };
        assert!(matches!(refused, RecoveryError::OtherRules { .. }), "{refused}");
    }
}

#[tokio::test]
async fn without_a_snapshot_of_the_end_it_asks_for_the_other_build() {
    for left in Left::copies().await {
        let last = *left.snapshots().list().unwrap().last().unwrap();
        fs::remove_file(left.snapshots().path(last)).unwrap();
        let before = left.after(0).await.len();
        let Err(StartError::Recovering(refused)) = left.start().await else { panic!("it started") };
        let text = refused.to_string();
        assert!(text.contains(&format!("rules version {RULES_UPGRADED_FROM}")), "{text}");
        assert_eq!(left.after(0).await.len(), before, "nothing was changed");
    }
}
