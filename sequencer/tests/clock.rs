//! A wall clock that jumps ahead halts new business, until it comes back or the operator confirms it.
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

use std::sync::{Arc, Mutex};

use gavel_protocol::{
    AgentId, ClientId, Command, Digest, DurationNs, Event, Found, PublicKey, Reopen, Request,
    Settings, TimestampNs,
};
use gavel_sequencer::journal::SqliteJournal;
use gavel_sequencer::{Batch, Consumer, Inbox, Note, Now, Origin, Stepper, Submission};

const BEGIN: TimestampNs = TimestampNs::from_nanos(1_767_225_600_000_000_000);
const HOUR_S: u64 = 3_600;

#[derive(Default)]
struct Seen(Mutex<Vec<Event>>);

impl Consumer for Seen {
    fn sequenced(&self, _: Origin, _: TimestampNs) {}

    fn published(&self, batch: &Batch) {
        self.0.lock().unwrap().extend(batch.events.iter().copied());
    }

    fn journal_failed(&self) {}
}

struct Exchange {
    stepper: Stepper<SqliteJournal>,
    inbox: Inbox,
    seen: Arc<Seen>,
    _folder: tempfile::TempDir,
}

/// What the clocks show after so many seconds, with the wall clock so far ahead.
fn after(elapsed_s: u64, ahead_s: u64) -> Now {
    let elapsed = DurationNs::from_secs(elapsed_s);
    Now { wall: BEGIN.after(DurationNs::from_secs(elapsed_s + ahead_s)), elapsed }
}

impl Exchange {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(folder.path()).await.unwrap();
        let (inbox, seen) = (Inbox::new(), Arc::new(Seen::default()));
        let found = Found {
            name: "clock".parse().unwrap(),
            id_key: Digest::new([5; 32]),
            operator_key: PublicKey::new([255; 32]),
            settings: Settings::fee(0),
        };
        let of = (found, Note::default());
        let started = Stepper::start(journal, inbox.clone(), seen.clone(), of, after(0, 0)).await;
        Self { stepper: started.unwrap(), inbox, seen, _folder: folder }
    }

    /// Lets the exchange work once at `now`, and returns what was published.
    async fn work(&mut self, now: Now) -> Vec<Event> {
        self.seen.0.lock().unwrap().clear();
        self.stepper.work(now);
        self.stepper.begin_commit();
        self.stepper.end_commit().await.unwrap();
        assert!(!self.stepper.has_work(now), "it would look again and again");
        self.seen.0.lock().unwrap().clone()
    }

    fn reopen(&self, operator: AgentId) {
        let client_id = ClientId::from_parts(BEGIN, 1);
        let command = Command::Reopen(Reopen { client_id, capability: None });
        let request = Request { agent: operator, command };
        let submission = Submission { origin: None, sequenced_answer: false, request };
        self.inbox.submit(submission).unwrap();
    }
}

#[tokio::test]
async fn it_halts_and_reopens_when_the_clock_comes_back() {
    let mut exchange = Exchange::start().await;
    exchange.work(after(1, 0)).await;
    let halted = exchange.work(after(2, HOUR_S)).await;
    assert!(matches!(halted[..], [Event::Halted(_)]), "{halted:?}");
    assert!(exchange.stepper.exchange().now() <= after(1, 0).wall, "time stands still");
    assert_eq!(exchange.work(after(600, HOUR_S)).await, []);
    let reopened = exchange.work(after(601, 0)).await;
    assert!(matches!(reopened[..], [Event::Reopened(_)]), "{reopened:?}");
    assert_eq!(exchange.stepper.exchange().now(), after(601, 0).wall);
}

#[tokio::test]
async fn the_operator_confirms_a_jump_by_reopening() {
    let mut exchange = Exchange::start().await;
    let founded = exchange.work(after(1, 0)).await;
    let [Event::Founded(founded)] = founded[..] else { panic!("{founded:?}") };
    exchange.work(after(2, HOUR_S)).await;
    exchange.reopen(AgentId::new(founded.operator.raw() ^ 1));
    exchange.work(after(3, HOUR_S)).await;
    assert!(exchange.stepper.has_clock_jumped(), "a stranger cannot confirm it");
    exchange.reopen(founded.operator);
    exchange.work(after(4, HOUR_S)).await;
    assert!(!exchange.stepper.has_clock_jumped() && !exchange.stepper.exchange().is_halted());
    exchange.reopen(founded.operator);
    exchange.work(after(5, HOUR_S)).await;
    assert_eq!(exchange.stepper.exchange().now(), after(5, HOUR_S).wall);
}
