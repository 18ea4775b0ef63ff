//! An exchange for one input: the real sequencer and edge, step by step, with a journal in memory, and
//! the same market each time.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ed25519_dalek::{Signer as _, SigningKey};
use gavel_exchange::Exchange;
use gavel_gateway::{FanOut, Pipe, Pipes};
use gavel_protocol::{
    AgentId, Attributes, Bundle, BundleTerms, CapabilityId, ClientId, ClientMessage, Codec,
    Command, ContractId, Currency, Deposit, Digest, DurationNs, EnrolAccount, EnrolAgent, Event,
    Found, GroupRule, Item, ListCapability, LogonRequest, Micros, Nonce, OpenRfq, Outcome,
    PublicKey, QuoteBundles, Request, RfqId, RfqTerms, Roles, Settings, SignatureBytes,
    TimestampNs, logon_message,
};
use gavel_sequencer::journal::{Journal, JournalError, Record};
use gavel_sequencer::{Batch, Consumer, Inbox, Note, Now, Origin, Stepper, Submission, replay};

/// When each begins: 2026-01-01 00:00 UTC.
const BEGIN: TimestampNs = TimestampNs::from_nanos(1_767_225_600_000_000_000);
/// What every connection is challenged with, so that a logon of the corpus is good for every one.
const NONCE: Nonce = Nonce::new([8; 32]);
/// Commands of a second that a session may send; what is more than that is refused.
const COMMANDS_PER_SECOND: u32 = 256;
/// What each account begins with, and what a transaction may cost.
const MONEY: Micros = Micros::new(1_000_000_000_000);

/// Who takes part. Each has an account of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Operator,
    Buyer,
    Provider,
    Solver,
}

/// See the module.
pub(super) struct Stage {
    pub cast: Cast,
    pub now: TimestampNs,
    stepper: Stepper<InMemory>,
    journal: InMemory,
    inbox: Inbox,
    ears: Arc<Ears>,
    pipes: Pipes,
    client_ids: u128,
}

/// What there is to refer to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cast {
    pub buyer: AgentId,
    pub provider: AgentId,
    pub capability: CapabilityId,
    /// The buyer's: sealed, for ten minutes.
    pub rfq: RfqId,
    /// The buyer's: two items, for ten minutes.
    pub items: RfqId,
    /// The buyer's: four items, for which allocations are proposed.
    pub clearing: RfqId,
    /// Of the buyer with the provider, who has not started.
    pub contract: ContractId,
}

/// A journal in memory, which never fails.
#[derive(Clone, Default)]
struct InMemory {
    records: Arc<Mutex<Vec<Record>>>,
}

/// Gets what is published: the edge, and beside it what became of each command.
struct Ears {
    fan_out: Arc<FanOut>,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    operator: Option<AgentId>,
    outcome: Option<Outcome>,
    accepted: u64,
    contract: Option<ContractId>,
}

impl Who {
    fn key(self) -> SigningKey {
        SigningKey::from_bytes(&[self as u8 + 1; 32])
    }
}

impl Stage {
    /// Founds the exchange, and opens a market in it.
    pub fn new() -> Self {
        let (inbox, fan_out, journal) = (Inbox::new(), FanOut::new(), InMemory::default());
        let ears = Arc::new(Ears { fan_out: Arc::clone(&fan_out), heard: Mutex::default() });
        let found = Found {
            name: "stage".parse().unwrap(),
            id_key: Digest::new([9; 32]),
            operator_key: public(Who::Operator),
            settings: Settings::fee(10_000),
        };
        let consumer: Arc<dyn Consumer> = ears.clone();
        let founding = (found, Note::default());
        let now = Now { wall: BEGIN, elapsed: DurationNs::ZERO };
        let started = Stepper::start(journal.clone(), inbox.clone(), consumer, founding, now);
        let stepper = ready(started).unwrap();
        let pipes = Pipes::new(&fan_out, &inbox, COMMANDS_PER_SECOND);
        let (agent, rfq) = (AgentId::EXCHANGE, RfqId::new(0));
        let (capability, contract) = (CapabilityId::new(0), ContractId::new(0));
        let (buyer, provider, items, clearing) = (agent, agent, rfq, rfq);
        let cast = Cast { buyer, provider, capability, rfq, items, clearing, contract };
        let (now, client_ids) = (BEGIN, 0);
        let mut stage = Self { cast, now, stepper, journal, inbox, ears, pipes, client_ids };
        stage.settle();
        stage.open_market();
        stage
    }

    fn open_market(&mut self) {
        let operator = self.ears.lock().operator.unwrap();
        let client_id = self.client_id();
        let (name, currency, terms) = ("work".parse().unwrap(), Currency::USD, crate::terms());
        let list = ListCapability { client_id, name, currency, terms };
        let listed = self.submit(operator, Command::ListCapability(list));
        let Outcome::Capability(capability) = listed else { panic!("{listed:?}") };
        self.cast.capability = capability;
        self.cast.buyer = self.enrol(operator, Who::Buyer, Roles::TRADER);
        self.cast.provider = self.enrol(operator, Who::Provider, Roles::TRADER);
        self.enrol(operator, Who::Solver, Roles::SOLVER);
        let standing = crate::standing(capability, 1, 10_000_000);
        self.submit(self.cast.provider, Command::SetStandingQuote(standing));
        // At once: the standing quote takes it.
        self.open(crate::rfq(capability, 0), None);
        self.cast.contract = self.ears.lock().contract.unwrap();
        let sealed = crate::rfq(capability, 600_000);
        self.cast.rfq = self.open(sealed, None);
        let item = Item { quantity: 1, load: 1, reserve: Micros::new(10_000_000) };
        let (terms, bundles) = crate::rfq_for_items(capability, 600_000, &[item; 2]);
        self.cast.items = self.open(terms, Some(Box::new(bundles)));
        let (terms, bundles) = crate::rfq_for_items(capability, 1, &[item; 4]);
        self.cast.clearing = self.open(terms, Some(Box::new(bundles)));
        // The best one alone keeps the two out that are better together.
        for bundle in [([0, 1], 11_000_000), ([1, 2], 10_000_000), ([2, 3], 11_000_000)] {
            self.quote(crate::bundle(&bundle.0, bundle.1));
        }
        self.now = self.now.after(DurationNs::from_millis(1));
        self.settle();
    }

    fn quote(&mut self, bundle: Bundle) {
        let (client_id, rfq) = (self.client_id(), self.cast.clearing);
        let (group, bundles, signature) = (crate::group(GroupRule::Xor), vec![bundle], None);
        let quote = QuoteBundles { client_id, rfq, group, bundles, signature };
        self.submit(self.cast.provider, Command::QuoteBundles(Box::new(quote)));
    }

    fn enrol(&mut self, operator: AgentId, who: Who, roles: Roles) -> AgentId {
        let enrol = EnrolAccount { client_id: self.client_id(), transaction_max: MONEY };
        let enrolled = self.submit(operator, Command::EnrolAccount(enrol));
        let Outcome::Account(account) = enrolled else { panic!("{enrolled:?}") };
        let (client_id, amount, currency) = (self.client_id(), MONEY, Currency::USD);
        let deposit = Deposit { client_id, account, amount, currency };
        self.submit(operator, Command::Deposit(deposit));
        let (client_id, key, attributes) = (self.client_id(), public(who), Attributes::default());
        let enrol = EnrolAgent { client_id, account, key, roles, attributes };
        let enrolled = self.submit(operator, Command::EnrolAgent(enrol));
        let Outcome::Agent(agent) = enrolled else { panic!("{enrolled:?}") };
        agent
    }

    fn open(&mut self, terms: RfqTerms, bundles: Option<Box<BundleTerms>>) -> RfqId {
        let open = OpenRfq { bundles, ..OpenRfq::plain(self.client_id(), terms) };
        let opened = self.submit(self.cast.buyer, Command::OpenRfq(Box::new(open)));
        let Outcome::Rfq(opened) = opened else { panic!("{opened:?}") };
        opened.rfq
    }

    fn submit(&mut self, agent: AgentId, command: Command) -> Outcome {
        let request = Request { agent, command };
        let submission = Submission { origin: None, sequenced_answer: false, request };
        self.inbox.submit(submission).unwrap();
        self.ears.lock().outcome = None;
        self.settle();
        self.ears.lock().outcome.expect("nothing of the stage's own is rejected")
    }

    fn client_id(&mut self) -> ClientId {
        self.client_ids += 1;
        ClientId::from_parts(self.now, (1 << 79) | self.client_ids)
    }

    /// Opens a connection.
    pub fn connect(&self, codec: Codec) -> Pipe {
        self.pipes.open(codec, NONCE, self.elapsed()).unwrap()
    }

    /// Closes a connection; its session has no time to come back.
    pub fn close(&mut self, pipe: Pipe) {
        pipe.close(self.elapsed());
        self.pipes.end_lost_sessions(self.elapsed());
        self.settle();
    }

    /// Returns the time on the edge's clock.
    pub fn elapsed(&self) -> DurationNs {
        self.now.since(BEGIN)
    }

    /// Lets the core work and the journal commit until there is nothing left to do.
    pub fn settle(&mut self) {
        let now = Now { wall: self.now, elapsed: self.elapsed() };
        while self.stepper.has_work(now) || !self.stepper.is_settled() {
            self.stepper.work(now);
            self.stepper.begin_commit();
            ready(self.stepper.end_commit()).unwrap();
        }
    }

    /// Returns the exchange.
    pub fn exchange(&self) -> &Exchange {
        self.stepper.exchange()
    }

    /// Returns how many commands have taken effect.
    pub fn accepted(&self) -> u64 {
        self.ears.lock().accepted
    }

    /// Returns what the journal holds.
    pub fn records(&self) -> Vec<Record> {
        self.journal.lock().clone()
    }

    /// Makes the exchange anew out of its journal.
    pub fn replayed(&self) -> Exchange {
        ready(replay(&mut self.journal.clone(), |_| {})).unwrap().exchange
    }
}

impl Ears {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Consumer for Ears {
    fn sequenced(&self, origin: Origin, ts_event: TimestampNs) {
        self.fan_out.sequenced(origin, ts_event);
    }

    fn published(&self, batch: &Batch) {
        let mut heard = self.lock();
        for step in batch.steps() {
            heard.outcome = step.events[0].outcome().ok();
            heard.accepted += u64::from(heard.outcome.is_some());
        }
        for event in &batch.events {
            match event {
                Event::Founded(founded) => heard.operator = Some(founded.operator),
                Event::Awarded(awarded) => heard.contract = Some(awarded.contract),
                _ => {}
            }
        }
        self.fan_out.published(batch);
    }

    fn journal_failed(&self) {
        self.fan_out.journal_failed();
    }
}

impl InMemory {
    fn lock(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for InMemory {
    async fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        self.lock().push(record.clone());
        Ok(())
    }

    async fn read_after(&mut self, seq: u64) -> Result<Option<Record>, JournalError> {
        Ok(self.lock().iter().find(|record| record.first_seq == seq + 1).cloned())
    }

    async fn close(self) -> Result<(), JournalError> {
        Ok(())
    }
}

fn public(who: Who) -> PublicKey {
    PublicKey::new(who.key().verifying_key().to_bytes())
}

/// Returns the frame of a logon that every stage accepts.
pub(super) fn logon(who: Who, codec: Codec) -> Vec<u8> {
    let key = public(who);
    let message = logon_message(&NONCE, &key, &"stage".parse().unwrap());
    let request = ClientMessage::LogonRequest(LogonRequest {
        key,
        signature: SignatureBytes::new(who.key().sign(&message).to_bytes()),
        resume: None,
        cancel_on_disconnect: true,
        grace: DurationNs::ZERO,
        sequenced_answers: false,
    });
    let mut frame = Vec::new();
    request.encode(codec, 0, &mut frame);
    frame
}

/// Returns what comes of something that never waits.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("memory does not wait"),
    }
}
