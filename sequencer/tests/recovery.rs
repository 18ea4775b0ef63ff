//! The sequencer over a real embedded journal: what was published is there again after a restart,
//! and what was damaged is refused.
#![expect(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use gavel_protocol::{
    ClientId, Command, Digest, EnrolAccount, Event, Found, Micros, PublicKey, Request, Settings,
    TimestampNs,
};
use gavel_sequencer::journal::{JournalError, SqliteJournal};
use gavel_sequencer::{
    Audit, Batch, Consumer, Inbox, Layout, Origin, Part, RecoveryError, Sequencer, SequencerConfig,
    StartError, Submission, replay,
};
use sqlx::Connection as _;
use tokio::sync::Notify;

/// Keeps what was published, and says when there is more.
#[derive(Default)]
struct Kept {
    events: Mutex<Vec<Event>>,
    answers: AtomicU64,
    more: Notify,
}

impl Consumer for Kept {
    fn sequenced(&self, _: Origin, _: TimestampNs) {}

    fn published(&self, batch: &Batch) {
        self.events.lock().unwrap().extend_from_slice(&batch.events);
        let answers = batch.steps().filter(|step| step.origin.is_some()).count();
        self.answers.fetch_add(answers as u64, Ordering::SeqCst);
        self.more.notify_one();
    }

    fn journal_failed(&self) {}
}

impl Kept {
    async fn wait_for_answers(&self, count: u64) {
        while self.answers.load(Ordering::SeqCst) < count {
            self.more.notified().await;
        }
    }

    fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
}

fn config(layout: Layout) -> SequencerConfig {
    let found = Found {
        name: "test".parse().unwrap(),
        id_key: Digest::new([1; 32]),
        operator_key: PublicKey::new([2; 32]),
        settings: Settings::fee(10_000),
    };
    SequencerConfig { layout, found, alive: None, snapshots: None, quarantine: None }
}

fn config_in(folder: &Path, layout: Layout) -> SequencerConfig {
    SequencerConfig { alive: Some(folder.join("alive")), ..config(layout) }
}

async fn start(folder: &Path, layout: Layout, kept: &Arc<Kept>) -> Sequencer {
    let journal = SqliteJournal::open(folder).await.unwrap();
    Sequencer::start(config_in(folder, layout), journal, Inbox::new(), kept.clone()).await.unwrap()
}

/// Enrols accounts, and waits until that is durable. Returns the events of the whole journal.
async fn enrol(folder: &Path, layout: Layout, accounts: u64) -> (Vec<Event>, Audit) {
    let kept = Arc::new(Kept::default());
    let sequencer = start(folder, layout, &kept).await;
    let operator = loop {
        if let Some(Event::Founded(founded)) = kept.events().first() {
            break founded.operator;
        }
        kept.more.notified().await;
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = TimestampNs::from_nanos(u64::try_from(now.as_nanos()).unwrap());
    for number in 0..accounts {
        let client_id = ClientId::from_parts(now, u128::from(number));
        let transaction_max = Micros::new(1_000_000);
        let command = Command::EnrolAccount(EnrolAccount { client_id, transaction_max });
        let origin = Some(Origin { connection: 1, session_seq: number, part: Part::WHOLE });
        let request = Request { agent: operator, command };
        let submission = Submission { origin, sequenced_answer: false, request };
        sequencer.inbox().submit(submission).unwrap();
        sequencer.inbox().wake();
    }
    kept.wait_for_answers(accounts).await;
    let exchange = sequencer.stop().await.unwrap();
    (kept.events(), Audit::of(&exchange))
}

async fn break_journal(folder: &Path, statement: &str) {
    let url = format!("sqlite://{}", folder.join("journal.sqlite").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let changed = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()));
    assert!(changed.execute(&mut connection).await.unwrap().rows_affected() > 0);
    connection.close().await.unwrap();
}

async fn restart_error(folder: &Path) -> RecoveryError {
    let journal = SqliteJournal::open(folder).await.unwrap();
    let kept = Arc::new(Kept::default());
    let config = config_in(folder, Layout::Thread);
    let started = Sequencer::start(config, journal, Inbox::new(), kept).await;
    match started {
        Err(StartError::Recovering(error)) => error,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a damaged journal was accepted"),
    }
}

#[tokio::test]
async fn what_was_published_is_there_again_after_a_restart() {
    for layout in [Layout::Thread, Layout::Inline] {
        let folder = tempfile::tempdir().unwrap();
        let (first, audit) = enrol(folder.path(), layout, 100).await;
        let mut journal = SqliteJournal::open(folder.path()).await.unwrap();
        let mut replayed_events = Vec::new();
        let replayed =
            replay(&mut journal, |batch| replayed_events.extend_from_slice(&batch.events)).await;
        assert_eq!(replayed_events, first);
        assert_eq!(Audit::of(&replayed.unwrap().exchange), audit);
        drop(journal);

        let (second, _) = enrol(folder.path(), layout, 0).await;
        assert_eq!(second[..first.len()], first);
        let resumed = second[first.len()..].iter().any(|event| matches!(event, Event::Resumed(_)));
        assert!(resumed, "a restart resumes");
    }
}

#[tokio::test]
async fn a_second_exchange_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let held = SqliteJournal::open(folder.path()).await.unwrap();
    let second = SqliteJournal::open(folder.path()).await;
    assert!(matches!(second, Err(JournalError::InUse { .. })));
    drop(held);
    SqliteJournal::open(folder.path()).await.unwrap();
}

#[tokio::test]
async fn a_damaged_record_is_refused_with_its_place() {
    let damages = [
        "UPDATE record SET commands = zeroblob(length(commands)) WHERE first_seq > 1",
        "UPDATE record SET events_hash = zeroblob(32) WHERE first_seq > 1",
        "UPDATE record SET chain = zeroblob(32) WHERE first_seq > 1",
        "UPDATE record SET rules_version = 9 WHERE first_seq > 1",
        "DELETE FROM record WHERE first_seq = 1",
    ];
    for damage in damages {
        let folder = tempfile::tempdir().unwrap();
        enrol(folder.path(), Layout::Thread, 3).await;
        break_journal(folder.path(), damage).await;
        let error = restart_error(folder.path()).await;
        assert!(
            matches!(error, RecoveryError::Damaged { first_seq: 2.., .. }),
            "{damage}: {error}"
        );
    }
}

#[tokio::test]
async fn a_journal_without_its_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    enrol(folder.path(), Layout::Thread, 3).await;
    let cut = "DELETE FROM record WHERE last_seq = (SELECT MAX(last_seq) FROM record)";
    break_journal(folder.path(), cut).await;
    // Whole in itself: only the note beside it tells.
    let mut journal = SqliteJournal::open(folder.path()).await.unwrap();
    let replayed = replay(&mut journal, |_| {}).await.unwrap();
    drop(journal);
    let error = restart_error(folder.path()).await;
    let RecoveryError::NotAsNoted { noted_seq, found_seq } = error else { panic!("{error}") };
    assert_eq!((noted_seq, found_seq), (4, replayed.head.seq));
    std::fs::remove_file(folder.path().join("alive")).unwrap();
    enrol(folder.path(), Layout::Thread, 0).await;
}
