//! A synthetic provider: keeps a standing quote, answers sealed RFQs, and does the work it is awarded.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gavel_client::{CommandError, EventStream, StreamEvent, StreamItem};
use gavel_protocol::{
    Accepted, AmendQuote, CancelCause, CancelQuote, CapabilityEntry, Command, ContractId,
    ContractState, Deliver, DurationNs, Micros, Offer, Outcome, PlaceQuote, PrivateEvent,
    PublicEvent, QuoteTarget, RfqAnnounced, SetStandingQuote, StartWork, TimestampNs,
};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;
use tokio::time::sleep;

use super::blobs::{deliverable, digest_of};
use super::config::LoadConfig;
use super::desk::{Desk, ExchangeClock, Measure, Trader};
use super::run::Phase;
use super::schedule::Alarm;
use super::tally::Latency;
use crate::limits::JOBS_MAX;

/// What a unit of work costs a provider: between 5 and 15 units of money.
const COSTS: std::ops::RangeInclusive<i64> = 5_000_000..=15_000_000;

/// A price in percent of the cost.
const MARGINS: std::ops::RangeInclusive<i64> = 105..=160;

/// Units on offer by one standing quote.
const STANDING_CAPACITY: u32 = 10_000;

/// How long a standing quote is firm, and how long a sealed one beyond its RFQ's close: an outage of
/// the exchange moves the close, but not a quote's validity.
const VALIDITY: DurationNs = DurationNs::from_secs(3_600);

/// A provider leaves an RFQ alone if less than the window's part of this size is left. That also
/// covers the error of its clock: the exchange stamps what comes together with one time.
const REACTION_PER_WINDOW: u64 = 4;

/// See the module.
pub(crate) struct Provider {
    pub(crate) trader: Trader<Sent>,
    pub(crate) private: EventStream,
    pub(crate) topic: EventStream,
    pub(crate) config: Arc<LoadConfig>,
    pub(crate) capability: CapabilityEntry,
    pub(crate) clock: ExchangeClock,
    pub(crate) random: ChaCha8Rng,
    pub(crate) pricing: Pricing,
    /// Contracts that are being worked on.
    pub(crate) working: HashSet<ContractId>,
}

/// What a provider remembers of a command that it has sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    at: Instant,
    then: Then,
}

/// What is to be done once a command was accepted.
#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    /// Amend the sealed quote that was placed.
    Amend {
        valid_until: TimestampNs,
    },
    /// Cancel the sealed quote that was placed.
    Cancel,
}

/// What a provider asks for its work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pricing {
    cost: Micros,
    revision: u64,
}

impl Pricing {
    /// Draws a provider's cost. Revisions begin with the wall clock, so that they grow across runs.
    pub(crate) fn draw(random: &mut ChaCha8Rng) -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let revision = u64::try_from(since_1970.as_nanos()).unwrap_or_default();
        Self { cost: Micros::new(random.random_range(COSTS)), revision }
    }

    /// Draws a price, rounded down.
    fn price(self, random: &mut ChaCha8Rng) -> Micros {
        Micros::new(self.cost.raw() * random.random_range(MARGINS) / 100)
    }

    /// Returns the next update of the standing quote.
    pub(crate) fn standing_quote(
        &mut self,
        capability: &CapabilityEntry,
        now: TimestampNs,
        random: &mut ChaCha8Rng,
    ) -> Command {
        self.revision += 1;
        Command::SetStandingQuote(SetStandingQuote {
            capability: capability.capability,
            revision: self.revision,
            price: self.price(random),
            latency_ms: 0,
            capacity: STANDING_CAPACITY,
            valid_until: now.after(VALIDITY),
            terms: capability.terms,
        })
    }
}

impl Provider {
    /// Trades until that is over.
    pub(crate) async fn run(mut self, mut alarm: Alarm, mut phase: watch::Receiver<Phase>) {
        loop {
            let now = *phase.borrow_and_update();
            if now == Phase::LoggingOut {
                break;
            }
            tokio::select! {
                due = alarm.due(), if now == Phase::Trading => self.quote_standing(due).await,
                item = self.private.next() => {
                    let Some(Ok(item)) = item else { break };
                    if !self.handle_private(item).await {
                        break;
                    }
                }
                item = self.topic.next() => {
                    let Some(Ok(item)) = item else { break };
                    self.handle_public(item).await;
                }
                Some(Ok((sent, answer))) = self.trader.answers.join_next() => {
                    self.handle_answer(sent, answer).await;
                }
                Some(Ok(contract)) = self.trader.jobs.join_next() => {
                    self.working.remove(&contract);
                }
                changed = phase.changed() => if changed.is_err() { break },
            }
        }
        self.trader.finish().await;
    }

    async fn quote_standing(&mut self, due: Instant) {
        let now = self.clock.now();
        let command = self.pricing.standing_quote(&self.capability, now, &mut self.random);
        self.send(command, Some((Latency::QuoteAck, due)), Then::Nothing).await;
    }

    async fn send(&mut self, command: Command, measure: Measure, then: Then) {
        self.trader.send(command, measure, Sent { at: Instant::now(), then }).await;
    }

    async fn handle_public(&mut self, item: StreamItem) {
        match item {
            StreamItem::Event(_, StreamEvent::Public(PublicEvent::RfqAnnounced(announced))) => {
                self.quote_sealed(&announced, Instant::now()).await;
            }
            // Whatever was announced meanwhile goes without a quote of this provider.
            StreamItem::Resync { .. } => {
                self.trader.desk.records.tally.count(|counts| counts.resyncs += 1);
            }
            StreamItem::Event(..) => {}
        }
    }

    async fn quote_sealed(&mut self, announced: &RfqAnnounced, read_at: Instant) {
        // An RFQ of window zero has closed by the time it is announced, and a quote for one that is
        // about to close would come too late.
        let reaction = DurationNs::from_nanos(self.config.window.nanos() / REACTION_PER_WINDOW);
        if announced.closes_at <= self.clock.now().after(reaction) {
            return;
        }
        let price = self.pricing.price(&mut self.random);
        let valid_until = announced.closes_at.after(VALIDITY);
        let LoadConfig { amended_share, canceled_share, .. } = *self.config;
        let then = match self.random.random::<f64>() {
            draw if draw < amended_share => Then::Amend { valid_until },
            draw if draw < amended_share + canceled_share => Then::Cancel,
            _ => Then::Nothing,
        };
        let client_id = self.trader.desk.client.next_client_id();
        let rfq = announced.rfq;
        let place =
            PlaceQuote { client_id, rfq, offer: Offer::new(price, valid_until), signature: None };
        self.send(Command::PlaceQuote(place), Some((Latency::QuoteAck, read_at)), then).await;
    }

    /// Reads the time, and changes its mind about a quote if it means to.
    async fn handle_answer(&mut self, sent: Sent, answer: Result<Accepted, CommandError>) {
        // Counted where it came in, if it was rejected.
        let Ok(Accepted { ts_event, outcome, .. }) = answer else { return };
        self.clock.observe(sent.at, ts_event);
        let Outcome::Quote(quote) = outcome else { return };
        let client_id = self.trader.desk.client.next_client_id();
        let target = QuoteTarget::Id(quote);
        let command = match sent.then {
            Then::Nothing => return,
            Then::Amend { valid_until } => {
                let price = self.pricing.price(&mut self.random);
                Command::AmendQuote(AmendQuote {
                    client_id,
                    target,
                    offer: Offer::new(price, valid_until),
                    signature: None,
                })
            }
            Then::Cancel => Command::CancelQuote(CancelQuote { client_id, target }),
        };
        self.send(command, None, Then::Nothing).await;
    }

    /// Handles an item of the private stream. Returns whether there is anything to go on with.
    async fn handle_private(&mut self, item: StreamItem) -> bool {
        match item {
            StreamItem::Event(_, StreamEvent::Private(event)) => self.handle_event(event).await,
            StreamItem::Event(_, StreamEvent::Public(_)) => {}
            StreamItem::Resync { .. } => return self.resync().await,
        }
        true
    }

    async fn handle_event(&mut self, event: PrivateEvent) {
        match event {
            PrivateEvent::Awarded(awarded) => self.work(awarded.contract, ContractState::Awarded),
            PrivateEvent::StandingQuoteCanceled(canceled) => match canceled.cause {
                CancelCause::SessionLost | CancelCause::Expired | CancelCause::UsedUp => {
                    self.quote_standing(Instant::now()).await;
                }
                CancelCause::Agent | CancelCause::MassCancel => {}
            },
            PrivateEvent::RfqEnded(_)
            | PrivateEvent::QuoteLost(_)
            | PrivateEvent::QuoteCanceled(_)
            | PrivateEvent::WorkStarted(_)
            | PrivateEvent::Delivered(_)
            | PrivateEvent::ContractVerified(_)
            | PrivateEvent::ContractSettled(_)
            | PrivateEvent::ContractExpired(_)
            | PrivateEvent::Invited(_)
            | PrivateEvent::InvitedRfqEnded(_)
            | PrivateEvent::InvitedRfqTaken(_)
            | PrivateEvent::RfqCleared(_)
            | PrivateEvent::BundleLost(_)
            | PrivateEvent::Declined(_)
            | PrivateEvent::BookOpened(_)
            | PrivateEvent::QuoteShown(_)
            | PrivateEvent::Standby(_)
            | PrivateEvent::ContractTakenOver(_)
            | PrivateEvent::ReputationChanged(_)
            | PrivateEvent::ProviderSuspended(_) => {}
        }
    }

    /// Takes the state in place of the events that cannot be had any more. Returns whether the
    /// client lives.
    async fn resync(&mut self) -> bool {
        let records = Arc::clone(&self.trader.desk.records);
        records.tally.count(|counts| counts.resyncs += 1);
        match self.trader.desk.client.statement().await {
            Ok(statement) => {
                for entry in &statement.contracts {
                    self.work(entry.contract, entry.state);
                }
                // A statement does not tell of standing quotes: this one may have been canceled.
                self.quote_standing(Instant::now()).await;
                true
            }
            Err(error) => {
                records.tally.refused(&error);
                error.reason().is_some()
            }
        }
    }

    /// Begins, or goes on with, the work of a contract.
    fn work(&mut self, contract: ContractId, state: ContractState) {
        let has_started = match state {
            ContractState::Awarded => false,
            ContractState::Started => true,
            ContractState::Delivered => return,
        };
        if self.working.len() >= JOBS_MAX || !self.working.insert(contract) {
            return;
        }
        let job = Job {
            desk: self.trader.desk.clone(),
            contract,
            has_started,
            takes: self.random.random_range(self.config.work.clone()),
            stores: self.config.blobs,
        };
        self.trader.jobs.spawn(job.run());
    }
}

/// The work of one contract.
struct Job {
    desk: Desk,
    contract: ContractId,
    has_started: bool,
    takes: Duration,
    /// Whether the deliverable is stored too.
    stores: bool,
}

impl Job {
    /// Starts, works, delivers. Answers are written down whatever they are; a delivery that was
    /// rejected leaves the contract to expire.
    async fn run(self) -> ContractId {
        let Self { desk, contract, has_started, takes, stores } = self;
        if !has_started {
            let client_id = desk.client.next_client_id();
            _ = desk.call(Command::StartWork(StartWork { client_id, contract })).await;
        }
        sleep(takes).await;
        let work = deliverable(contract);
        if stores && let Err(error) = desk.client.put_blob(&work).await {
            desk.records.tally.refused(&error);
            desk.records.tally.count(|counts| counts.blobs_failed += 1);
            return contract;
        }
        let (client_id, deliverable) = (desk.client.next_client_id(), digest_of(&work));
        _ = desk.call(Command::Deliver(Deliver { client_id, contract, deliverable })).await;
        contract
    }
}
