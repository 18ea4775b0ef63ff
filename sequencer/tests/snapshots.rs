//! Snapshots over real journals, the embedded one and one on PostgreSQL: a restart from one equals a restart from the whole journal,
//! one that is damaged is passed over, and what is deleted is what nobody needs.
#![expect(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

#[path = "../../tests/src/postgres.rs"]
#[allow(dead_code, reason = "this file uses a part of it")]
mod postgres;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use gavel_protocol::{
    ClientId, Command, Digest, EnrolAccount, Event, Found, Micros, PublicKey, Request, Settings,
    TimestampNs,
};
use gavel_sequencer::journal::{AnyJournal, Head, Journal as _, JournalPlace, Record};
use gavel_sequencer::projection::{Projection, ProjectionPlace};
use gavel_sequencer::{
    Audit, Batch, Consumer, Inbox, Layout, Origin, Part, Reach, RecoveryError, RestoreError,
    Sequencer, SequencerConfig, SnapshotConfig, Snapshots, SnapshotsError, Source, StartError,
    Submission, make_snapshot, recover, replay,
};
use postgres::Database;
use sqlx::Connection as _;
use tokio::sync::Notify;

/// Remembers the operator, and how many commands and events it has seen.
#[derive(Default)]
struct Counted {
    seen: Mutex<Seen>,
    answers: AtomicU64,
    more: Notify,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    commands: u64,
    events: u64,
    operator: u64,
}

impl Consumer for Counted {
    fn sequenced(&self, _: Origin, _: TimestampNs) {}

    fn published(&self, batch: &Batch) {
        let mut seen = self.seen.lock().unwrap();
        seen.commands += batch.steps.len() as u64;
        seen.events += batch.events.len() as u64;
        for event in &batch.events {
            if let Event::Founded(founded) = event {
                seen.operator = founded.operator.raw();
            }
        }
        let answers = batch.steps().filter(|step| step.origin.is_some()).count();
        self.answers.fetch_add(answers as u64, Ordering::SeqCst);
        self.more.notify_one();
    }

    fn journal_failed(&self) {}

    fn snapshot(&self) -> Vec<u8> {
        let Seen { commands, events, operator } = self.seen();
        [commands, events, operator].into_iter().flat_map(u64::to_le_bytes).collect()
    }

    fn restore(&self, bytes: &[u8]) -> Result<(), RestoreError> {
        let (numbers, rest) = bytes.as_chunks();
        let ([commands, events, operator], []) = (numbers, rest) else {
            return Err(RestoreError::Damaged("three numbers"));
        };
        let [commands, events, operator] =
            [commands, events, operator].map(|bytes| u64::from_le_bytes(*bytes));
        *self.seen.lock().unwrap() = Seen { commands, events, operator };
        Ok(())
    }
}

impl Counted {
    fn seen(&self) -> Seen {
        *self.seen.lock().unwrap()
    }
}

/// An exchange with its journal in a folder or a database, and its snapshots in the folder: how it makes
/// these.
struct World {
    folder: tempfile::TempDir,
    database: Option<Database>,
    every: u64,
    kept: usize,
    keep_history: bool,
    followed: Vec<Reach>,
    accounts: u64,
}

impl World {
    /// Returns one with each kind of journal.
    fn all(every: u64) -> [Self; 2] {
        [Self::new(every), Self { database: Some(Database::shared()), ..Self::new(every) }]
    }

    /// Returns one with an embedded journal.
    fn new(every: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (kept, followed) = (3, Vec::new());
        Self { folder, database: None, every, kept, keep_history: false, followed, accounts: 0 }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn snapshots(&self) -> Snapshots {
        Snapshots::new(&self.path().join("snapshots"))
    }

    fn place(&self) -> JournalPlace {
        match &self.database {
            None => JournalPlace::Folder(self.path().into()),
            Some(database) => JournalPlace::Postgres(database.url().parse().unwrap()),
        }
    }

    async fn journal(&self) -> AnyJournal {
        self.place().open().await.unwrap()
    }

    async fn start(&self, counted: &Arc<Counted>) -> Result<Sequencer, StartError> {
        let found = Found {
            name: "test".parse().unwrap(),
            id_key: Digest::new([1; 32]),
            operator_key: PublicKey::new([2; 32]),
            settings: Settings::fee(10_000),
        };
        let snapshots = SnapshotConfig {
            folder: self.path().join("snapshots"),
            every: self.every,
            kept: self.kept,
            keep_history: self.keep_history,
            followed: self.followed.clone(),
            consumer: || Arc::new(Counted::default()),
        };
        let alive = Some(self.path().join("alive"));
        let (layout, snapshots) = (Layout::Thread, Some(snapshots));
        let config = SequencerConfig { layout, found, alive, snapshots, quarantine: None };
        let journal = self.journal().await;
        Sequencer::start(config, journal, Inbox::new(), counted.clone()).await
    }

    /// Starts, enrols accounts and stops.
    async fn run(&mut self, accounts: u64) -> (Audit, Seen) {
        let (sequencer, counted) = self.begin(accounts).await;
        let status = sequencer.status();
        let exchange = sequencer.stop().await.unwrap();
        assert!(!status.has_diverged());
        (Audit::of(&exchange), counted.seen())
    }

    /// Starts, and enrols accounts one by one, so that each has a record of its own.
    async fn begin(&mut self, accounts: u64) -> (Sequencer, Arc<Counted>) {
        let counted = Arc::new(Counted::default());
        let sequencer = self.start(&counted).await.unwrap();
        while counted.seen().operator == 0 {
            counted.more.notified().await;
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now = TimestampNs::from_nanos(u64::try_from(now.as_nanos()).unwrap());
        for answers in 1..=accounts {
            self.accounts += 1;
            let client_id = ClientId::from_parts(now, u128::from(self.accounts));
            let transaction_max = Micros::new(1_000_000);
            let command = Command::EnrolAccount(EnrolAccount { client_id, transaction_max });
            let origin = Some(Origin { connection: 1, session_seq: answers, part: Part::WHOLE });
            let agent = gavel_protocol::AgentId::new(counted.seen().operator);
            let request = Request { agent, command };
            let submission = Submission { origin, sequenced_answer: false, request };
            sequencer.inbox().submit(submission).unwrap();
            sequencer.inbox().wake();
            while counted.answers.load(Ordering::SeqCst) < answers {
                counted.more.notified().await;
            }
        }
        (sequencer, counted)
    }

    /// Recovers without going on, and returns what that came to and how many records it took.
    async fn recovered(&self) -> (Audit, Seen, u64) {
        let counted = Counted::default();
        let mut journal = self.journal().await;
        let snapshots = self.snapshots();
        let recovered = recover(&mut journal, Head::EMPTY, Some(&snapshots), &counted).await;
        let recovered = recovered.unwrap();
        (Audit::of(&recovered.exchange), counted.seen(), recovered.records)
    }

    /// The same from the journal alone.
    async fn replayed(&self) -> (Audit, Seen, u64) {
        let counted = Counted::default();
        let mut journal = self.journal().await;
        let replayed = replay(&mut journal, |batch| counted.published(batch)).await.unwrap();
        (Audit::of(&replayed.exchange), counted.seen(), replayed.records)
    }

    async fn first_kept(&self) -> u64 {
        self.journal().await.read_after(0).await.unwrap().unwrap().first_seq
    }

    /// Takes the last record out of the journal, as if it had never been appended.
    async fn cut_off_end(&self) {
        let cut = "DELETE FROM record WHERE last_seq = (SELECT MAX(last_seq) FROM record)";
        self.break_journal(cut).await;
        if let Some(database) = &self.database {
            database.query(
                "UPDATE gavel_journal.writer SET (last_seq, chain) = (SELECT last_seq, chain \
                 FROM gavel_journal.record ORDER BY last_seq DESC LIMIT 1)",
            );
        }
    }

    /// Replaces the last record.
    async fn forge_end(&self, forged: &Record) {
        let Record { last_seq, events_hash, checksum, chain, .. } = forged;
        let hex = match self.database {
            None => "x'",
            Some(_) => "'\\x",
        };
        self.break_journal(&format!(
            "UPDATE record SET events_hash = {hex}{events_hash}', checksum = {hex}{checksum}', \
             chain = {hex}{chain}' WHERE last_seq = {last_seq}"
        ))
        .await;
        if let Some(database) = &self.database {
            database.query(&format!("UPDATE gavel_journal.writer SET chain = {hex}{chain}'"));
        }
    }

    /// Changes a record behind the journal's back.
    async fn break_journal(&self, statement: &str) {
        if let Some(database) = &self.database {
            let statement = statement.replace(" record", " gavel_journal.record");
            assert_eq!(database.query(&format!("{statement} RETURNING 1")), "1");
            return;
        }
        let url = format!("sqlite://{}", self.path().join("journal.sqlite").display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let changed = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()));
        assert!(changed.execute(&mut connection).await.unwrap().rows_affected() > 0);
        connection.close().await.unwrap();
    }

    async fn refused(&self) -> RecoveryError {
        match self.start(&Arc::new(Counted::default())).await {
            Err(StartError::Recovering(error)) => error,
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it started"),
        }
    }
}

#[tokio::test]
async fn a_restart_from_a_snapshot_equals_one_from_the_whole_journal() {
    for mut world in World::all(1_000) {
        let (audit, seen) = world.run(20).await;
        assert_eq!(world.snapshots().list().unwrap(), [audit.seq], "a stop makes one");
        let (recovered, recovered_seen, records) = world.recovered().await;
        assert_eq!((recovered, recovered_seen, records), (audit, seen, 0));
        let (replayed, replayed_seen, _) = world.replayed().await;
        assert_eq!((replayed, replayed_seen), (audit, seen));

        // What comes after it is replayed on top of it.
        let (audit, seen) = world.run(20).await;
        fs::remove_file(world.snapshots().path(audit.seq)).unwrap();
        let (recovered, recovered_seen, records) = world.recovered().await;
        assert_eq!((recovered, recovered_seen), (audit, seen));
        let (replayed, replayed_seen, all) = world.replayed().await;
        assert_eq!((replayed, replayed_seen), (audit, seen));
        assert!(0 < records && records < all, "{records} of {all}");
        assert_eq!(audit.trial_balance, 0);
    }
}

#[tokio::test]
async fn a_damaged_or_foreign_snapshot_is_passed_over() {
    for mut world in World::all(1_000) {
        world.run(6).await;
        let (audit, seen) = world.run(6).await;
        let list = world.snapshots().list().unwrap();
        assert!(list.len() >= 2, "{list:?}");
        let other = {
            let mut other = World::new(1_000);
            let (other_audit, _) = other.run(12).await;
            assert_eq!(other_audit.seq + 1, audit.seq, "one command less: it has not been resumed");
            let (other_audit, _) = other.run(0).await;
            assert_eq!(other_audit.seq, audit.seq);
            fs::read(other.snapshots().path(audit.seq)).unwrap()
        };
        let newest = world.snapshots().path(audit.seq);
        let whole = fs::read(&newest).unwrap();
        let torn = whole[..whole.len() / 2].to_vec();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for bytes in [torn, flipped, other, Vec::new()] {
            fs::write(&newest, bytes).unwrap();
            let (recovered, recovered_seen, records) = world.recovered().await;
            assert_eq!((recovered, recovered_seen), (audit, seen));
            assert!(records > 0);
        }
        // With no snapshot at all, the whole journal is replayed.
        for seq in list {
            fs::write(world.snapshots().path(seq), b"torn").unwrap();
        }
        let (recovered, recovered_seen, _) = world.recovered().await;
        assert_eq!((recovered, recovered_seen), (audit, seen));
        // It runs, and the next stop makes a good one again.
        let (audit, _) = world.run(1).await;
        assert_eq!(world.snapshots().list().unwrap(), [audit.seq]);
    }
}

#[tokio::test]
async fn a_crash_while_a_snapshot_was_written_is_harmless() {
    for mut world in World::all(1_000) {
        let (audit, seen) = world.run(5).await;
        let path = world.snapshots().path(audit.seq);
        let whole = fs::read(&path).unwrap();
        let unfinished = path.with_extension("unfinished");
        for end in [0, 1, whole.len() / 2, whole.len()] {
            fs::remove_file(&path).ok();
            fs::write(&unfinished, &whole[..end]).unwrap();
            let (recovered, recovered_seen, _) = world.recovered().await;
            assert_eq!((recovered, recovered_seen), (audit, seen));
        }
        let (audit, _) = world.run(1).await;
        assert!(!unfinished.exists());
        assert_eq!(world.snapshots().list().unwrap(), [audit.seq]);
    }
}

#[tokio::test]
async fn records_before_the_oldest_kept_snapshot_are_deleted() {
    for mut world in World::all(10) {
        let mut lasts = Vec::new();
        while world.first_kept_after_run(12, &mut lasts).await == 1 {
            assert!(lasts.len() < 6, "nothing is ever deleted");
        }
        let kept = world.snapshots().list().unwrap();
        assert_eq!(kept.len(), 3);
        assert_eq!(world.first_kept().await, kept[0] + 1);
        let (audit, seen) = *lasts.last().unwrap();
        let (recovered, recovered_seen, _) = world.recovered().await;
        assert_eq!((recovered, recovered_seen), (audit, seen));
        // Each of the others can be continued from, too.
        for newest in kept.iter().skip(1).rev() {
            fs::remove_file(world.snapshots().path(*newest)).unwrap();
            let (recovered, recovered_seen, _) = world.recovered().await;
            assert_eq!((recovered, recovered_seen), (audit, seen));
        }
        // Another build's is not a damaged one.
        let path = world.snapshots().path(kept[0]);
        let whole = fs::read(&path).unwrap();
        let mut other = whole.clone();
        other[8] += 1;
        fs::write(&path, other).unwrap();
        let error = world.refused().await;
        assert!(
            matches!(
                error,
                RecoveryError::Snapshots(SnapshotsError::OtherFormat { format: 3, .. })
            ),
            "{error}"
        );
        // Without any, nothing is served: what is missing is not made up.
        fs::write(world.snapshots().path(kept[0]), b"torn").unwrap();
        let error = world.refused().await;
        assert!(
            matches!(error, RecoveryError::NoSnapshot { first_seq, source: Some(_) } if first_seq == kept[0] + 1),
            "{error}"
        );
    }
}

/// Whoever is killed then leaves the snapshots, and the journal as it is truncated so far.
#[tokio::test]
async fn a_crash_anywhere_between_snapshot_and_truncation_is_harmless() {
    for mut world in World::all(10) {
        world.keep_history = true;
        for _ in 0..2 {
            world.run(12).await;
        }
        let (audit, seen) = world.run(12).await;
        let kept = world.snapshots().list().unwrap();
        assert_eq!((kept.len(), world.first_kept().await), (3, 1), "nothing is deleted yet");
        for until in 1..=kept[0] {
            world.journal().await.truncate(until).await.unwrap();
            assert!(world.first_kept().await <= until + 1, "nothing after it is deleted");
            let (recovered, recovered_seen, records) = world.recovered().await;
            assert_eq!((recovered, recovered_seen, records), (audit, seen, 0));
        }
        assert_eq!(world.first_kept().await, kept[0] + 1);
        // The next snapshot goes on with it.
        world.keep_history = false;
        let (audit, seen) = world.run(12).await;
        let kept = world.snapshots().list().unwrap();
        assert_eq!(world.first_kept().await, kept[0] + 1);
        let (recovered, recovered_seen, _) = world.recovered().await;
        assert_eq!((recovered, recovered_seen), (audit, seen));
    }
}

impl World {
    async fn first_kept_after_run(&mut self, accounts: u64, lasts: &mut Vec<(Audit, Seen)>) -> u64 {
        lasts.push(self.run(accounts).await);
        self.first_kept().await
    }
}

#[tokio::test]
async fn a_journal_that_keeps_its_history_is_never_truncated() {
    for mut world in World::all(2) {
        world.keep_history = true;
        world.kept = 1;
        for _ in 0..4 {
            world.run(4).await;
        }
        assert_eq!(world.snapshots().list().unwrap().len(), 1);
        assert_eq!(world.first_kept().await, 1);
    }
}

#[tokio::test]
async fn what_a_follower_has_still_to_take_stays_in_the_journal() {
    for mut world in World::all(2) {
        let reach = Reach::default();
        (world.kept, world.followed) = (1, vec![reach.clone()]);
        let at = ProjectionPlace::Sqlite(world.path().join("projection.sqlite"));
        world.run(4).await;
        let oldest = world.snapshots().list().unwrap()[0];
        world.run(4).await;
        assert_eq!(world.first_kept().await, 1, "it may not have begun");
        assert_eq!(world.snapshots().list().unwrap()[0], oldest);
        let mut projected = 0;
        for _ in 0..3 {
            let source = Source {
                journal: world.place().reader(),
                snapshots: Some(world.snapshots()),
                reach: reach.clone(),
            };
            let consumer = Arc::<Counted>::default();
            let projection = Projection::catch_up(source, consumer, &at).await.unwrap();
            assert!(projection.events > projected);
            projected = projection.events;
            // What it has taken is deleted by the next stop, what it has not taken is not.
            world.run(4).await;
            let kept = world.snapshots().list().unwrap();
            assert_eq!((kept[0], kept.len()), (projection.seq, 2));
            assert_eq!(world.first_kept().await, projection.seq + 1);
            world.run(4).await;
            assert_eq!(world.first_kept().await, projection.seq + 1);
        }
    }
}

#[tokio::test]
async fn with_one_snapshot_kept_the_last_record_stays() {
    for mut world in World::all(2) {
        world.kept = 1;
        let (audit, _) = world.run(10).await;
        assert_eq!(world.first_kept().await, audit.seq, "it holds the head");
        let (audit, seen) = world.run(10).await;
        let (recovered, recovered_seen, _) = world.recovered().await;
        assert_eq!((recovered, recovered_seen), (audit, seen));
    }
}

#[tokio::test]
async fn a_journal_that_ends_before_its_snapshot_is_refused() {
    for mut world in World::all(1_000) {
        let (audit, _) = world.run(5).await;
        fs::remove_file(world.path().join("alive")).unwrap();
        world.cut_off_end().await;
        let error = world.refused().await;
        assert!(
            matches!(error, RecoveryError::BehindSnapshot { snapshot_seq } if snapshot_seq == audit.seq),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_journal_without_its_end_is_refused_from_a_snapshot_too() {
    for mut world in World::all(1_000) {
        world.run(5).await;
        let (audit, _) = world.run(5).await;
        fs::remove_file(world.snapshots().path(audit.seq)).unwrap();
        world.cut_off_end().await;
        let error = world.refused().await;
        assert!(
            matches!(error, RecoveryError::NotAsNoted { noted_seq, .. } if noted_seq == audit.seq),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_snapshot_is_made_of_an_exchange_that_has_stopped() {
    for mut world in World::all(1_000) {
        let (audit, _) = world.run(5).await;
        fs::remove_file(world.snapshots().path(audit.seq)).unwrap();
        let (counted, mut journal) = (Arc::<Counted>::default(), world.journal().await);
        let made = make_snapshot(&mut journal, Head::EMPTY, &world.snapshots(), counted).await;
        assert_eq!(made.unwrap(), audit.seq);
        drop(journal);
        assert_eq!(world.recovered().await.2, 0);
    }
}

#[tokio::test]
async fn a_shadow_that_cannot_write_holds_nobody_up() {
    for mut world in World::all(2) {
        let (sequencer, counted) = world.begin(1).await;
        let folder = world.path().join("snapshots");
        fs::remove_dir_all(&folder).ok();
        while fs::write(&folder, b"in the way").is_err() {
            // A snapshot was made in between.
            fs::remove_dir_all(&folder).ok();
        }
        let status = sequencer.status();
        let exchange = sequencer.stop().await.unwrap();
        assert!(!status.has_failed() && !status.has_diverged());
        fs::remove_file(&folder).unwrap();
        let (recovered, recovered_seen, _) = world.recovered().await;
        assert_eq!((recovered, recovered_seen), (Audit::of(&exchange), counted.seen()));
        let (audit, _) = world.run(1).await;
        assert_eq!(world.snapshots().list().unwrap().last(), Some(&audit.seq));
    }
}

#[tokio::test]
async fn a_record_whose_events_are_not_caused_by_its_commands_is_found_while_everything_runs() {
    for mut world in World::all(1_000) {
        let (sequencer, counted) = world.begin(3).await;
        let status = sequencer.status();
        // The last record, whole in itself and in the chain, but with other events.
        let mut reader = world.place().reader();
        let before = reader.read_after(status.durable_seq() - 2).await.unwrap().unwrap();
        let last = reader.read_after(before.last_seq).await.unwrap().unwrap();
        let seq = last.last_seq;
        let forged = Record::following(&before.head(), seq, last.commands, Digest::new([7; 32]));
        world.forge_end(&forged).await;
        reader.close().await.unwrap();
        sequencer.stop().await.unwrap();
        assert!(status.has_diverged());
        assert!(counted.seen().commands > 0);
        assert!(world.snapshots().list().unwrap().is_empty(), "nothing of it is saved");
        let error = world.refused().await;
        assert!(matches!(error, RecoveryError::NotAsNoted { .. }), "{error}");
    }
}
