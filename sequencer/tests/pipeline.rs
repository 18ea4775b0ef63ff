//! A journal that takes a record while the one before is on its way: what is durable is published in
//! order, and nothing after what was not.
#![expect(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use gavel_protocol::{
    AgentId, ClientId, Command, Digest, EnrolAccount, Found, Micros, PublicKey, Request, Settings,
    TimestampNs,
};
use gavel_sequencer::journal::{Journal, JournalError, Record};
use gavel_sequencer::{
    Batch, Consumer, Inbox, Layout, Origin, Sequencer, SequencerConfig, Submission,
};
use tokio::sync::{Notify, mpsc};

/// How many records the journal takes at a time.
const DEPTH: usize = 2;

/// A journal that says what it is sent, and makes it durable when it is told to.
struct Told {
    sent: mpsc::UnboundedSender<u64>,
    told: mpsc::UnboundedReceiver<Result<(), JournalError>>,
    in_flight: usize,
}

impl Journal for Told {
    async fn append(&mut self, _: &Record) -> Result<(), JournalError> {
        unreachable!("what can be sent ahead is")
    }

    fn in_flight_max(&self) -> usize {
        DEPTH
    }

    async fn begin_append(&mut self, record: &Record) -> Result<(), JournalError> {
        self.in_flight += 1;
        assert!(self.in_flight <= DEPTH, "there was no room");
        self.sent.send(record.last_seq).unwrap();
        Ok(())
    }

    async fn end_append(&mut self) -> Result<(), JournalError> {
        let told = self.told.recv().await.unwrap();
        self.in_flight -= 1;
        told
    }

    async fn read_after(&mut self, _: u64) -> Result<Option<Record>, JournalError> {
        Ok(None)
    }

    async fn close(self) -> Result<(), JournalError> {
        assert_eq!(self.in_flight, 0, "it was let go of too early");
        Ok(())
    }
}

/// Keeps the places of what was published.
#[derive(Default)]
struct Kept {
    seqs: Mutex<Vec<u64>>,
    failures: AtomicU64,
    more: Notify,
}

impl Consumer for Kept {
    fn sequenced(&self, _: Origin, _: TimestampNs) {}

    fn published(&self, batch: &Batch) {
        self.seqs.lock().unwrap().extend(batch.steps().map(|step| step.stamped.seq));
        self.more.notify_one();
    }

    fn journal_failed(&self) {
        self.failures.fetch_add(1, Ordering::SeqCst);
        self.more.notify_one();
    }
}

impl Kept {
    async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            self.more.notified().await;
        }
    }

    fn seqs(&self) -> Vec<u64> {
        self.seqs.lock().unwrap().clone()
    }
}

/// A sequencer, and what its journal is told.
struct Scene {
    kept: Arc<Kept>,
    inbox: Inbox,
    sequencer: Sequencer,
    sent: mpsc::UnboundedReceiver<u64>,
    tell: mpsc::UnboundedSender<Result<(), JournalError>>,
}

impl Scene {
    /// Begins with two records on their way: the one that founds the exchange, and one more.
    async fn with_two_on_their_way() -> Self {
        let (sent_in, sent) = mpsc::unbounded_channel();
        let (tell, told) = mpsc::unbounded_channel();
        let found = Found {
            name: "test".parse().unwrap(),
            id_key: Digest::new([1; 32]),
            operator_key: PublicKey::new([2; 32]),
            settings: Settings::fee(10_000),
        };
        let layout = Layout::Thread;
        let config =
            SequencerConfig { layout, found, alive: None, snapshots: None, quarantine: None };
        let (journal, inbox) = (Told { sent: sent_in, told, in_flight: 0 }, Inbox::new());
        let kept = Arc::new(Kept::default());
        let consumer: Arc<dyn Consumer> = kept.clone();
        let sequencer = Sequencer::start(config, journal, inbox.clone(), consumer).await.unwrap();
        let mut scene = Self { kept, inbox, sequencer, sent, tell };
        assert_eq!(scene.sent.recv().await, Some(1));
        scene.submit(2);
        assert_eq!(scene.sent.recv().await, Some(2));
        scene
    }

    /// Submits a command that will be accepted or rejected, whichever: it has a place.
    fn submit(&self, number: u64) {
        let client_id = ClientId::from_parts(TimestampNs::from_nanos(number), number.into());
        let enrol = EnrolAccount { client_id, transaction_max: Micros::new(1) };
        let request = Request { agent: AgentId::EXCHANGE, command: Command::EnrolAccount(enrol) };
        let submission = Submission { origin: None, sequenced_answer: false, request };
        self.inbox.submit(submission).unwrap();
        self.inbox.wake();
    }
}

#[tokio::test]
async fn the_next_record_is_sent_ahead_and_published_when_it_is_durable_itself() {
    let mut scene = Scene::with_two_on_their_way().await;
    assert_eq!(scene.kept.seqs(), [0; 0], "nothing is durable yet");
    // There is no room for these before the first is durable.
    scene.submit(3);
    scene.submit(4);
    scene.tell.send(Ok(())).unwrap();
    scene.kept.until(|kept| !kept.seqs().is_empty()).await;
    assert_eq!(scene.kept.seqs(), [1], "the second is not durable yet");
    assert_eq!(scene.sequencer.status().durable_seq(), 1);
    assert!(scene.sent.recv().await.is_some());
    for _ in 0..3 {
        scene.tell.send(Ok(())).unwrap();
    }
    scene.kept.until(|kept| kept.seqs().len() == 4).await;
    scene.sequencer.stop().await.unwrap();
    assert_eq!(scene.kept.seqs(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn nothing_is_published_after_a_record_that_comes_to_nothing() {
    let scene = Scene::with_two_on_their_way().await;
    scene.tell.send(Err(JournalError::Superseded { seq: 1 })).unwrap();
    scene.tell.send(Ok(())).unwrap();
    scene.kept.until(|kept| kept.failures.load(Ordering::SeqCst) > 0).await;
    assert!(scene.sequencer.status().has_failed());
    scene.sequencer.stop().await.unwrap();
    assert_eq!(scene.kept.seqs(), [0; 0]);
}

#[tokio::test]
async fn what_is_on_its_way_when_the_exchange_is_stopped_is_published() {
    let scene = Scene::with_two_on_their_way().await;
    let stopping = tokio::spawn(scene.sequencer.stop());
    scene.tell.send(Ok(())).unwrap();
    scene.tell.send(Ok(())).unwrap();
    assert!(stopping.await.unwrap().is_some());
    assert_eq!(scene.kept.seqs(), [1, 2]);
}
