//! A synthetic buyer: opens RFQs when they are due, and accepts what is delivered, or lets silence.

use std::sync::Arc;
use std::time::Instant;

use gavel_client::{CommandError, EventStream, StreamEvent, StreamItem};
use gavel_protocol::{
    AcceptDelivery, Accepted, AccountId, BlobSource, CapabilityEntry, Command, ContractId,
    ContractState, Delivered, Digest, Disclosure, DurationNs, Micros, OpenRfq, Outcome,
    PrivateEvent, RejectReason, RfqEnded, RfqId, RfqTerms,
};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use tokio::sync::{mpsc, watch};

use super::blobs::{SPEC, digest_of};
use super::book::{Book, Opened};
use super::config::{ACCEPTANCE_WITHIN, CURRENCY, DELIVERY_WITHIN, LoadConfig};
use super::desk::{Desk, Trader};
use super::operator::TopUp;
use super::run::Phase;
use super::schedule::Alarm;
use super::tally::Latency;

/// What a buyer pays per unit at the most: between 15 and 40 units of money.
const RESERVES: std::ops::RangeInclusive<i64> = 15_000_000..=40_000_000;

/// Units of work that a buyer asks for.
const QUANTITIES: std::ops::RangeInclusive<u32> = 1..=3;

/// See the module.
pub(crate) struct Buyer {
    pub(crate) trader: Trader<Opened>,
    pub(crate) account: AccountId,
    pub(crate) events: EventStream,
    pub(crate) config: Arc<LoadConfig>,
    pub(crate) capabilities: Arc<[CapabilityEntry]>,
    pub(crate) random: ChaCha8Rng,
    pub(crate) top_ups: mpsc::Sender<TopUp>,
    pub(crate) book: Book,
    /// Money that was spent, or missing, since the last top-up.
    pub(crate) wanted: Micros,
}

impl Buyer {
    /// Trades until that is over.
    pub(crate) async fn run(mut self, mut alarm: Alarm, mut phase: watch::Receiver<Phase>) {
        loop {
            let now = *phase.borrow_and_update();
            if now == Phase::LoggingOut || (now == Phase::Settling && self.has_settled()) {
                break;
            }
            tokio::select! {
                due = alarm.due(), if now == Phase::Trading => self.open_rfq(due).await,
                item = self.events.next() => {
                    let Some(Ok(item)) = item else { break };
                    if !self.handle_item(item).await {
                        break;
                    }
                }
                Some(Ok((opened, answer))) = self.trader.answers.join_next() => {
                    self.handle_answer(opened, &answer);
                }
                Some(Ok(_)) = self.trader.jobs.join_next() => {}
                changed = phase.changed() => if changed.is_err() { break },
            }
        }
        self.trader.finish().await;
    }

    fn has_settled(&self) -> bool {
        self.book.is_empty() && self.trader.answers.is_empty() && self.trader.jobs.is_empty()
    }

    async fn open_rfq(&mut self, due: Instant) {
        let index = self.random.random_range(0..self.capabilities.len());
        let quantity = self.random.random_range(QUANTITIES);
        let reserve = Micros::new(self.random.random_range(RESERVES));
        let is_window_zero = self.random.random_bool(self.config.window_zero_share);
        let is_silent = self.random.random_bool(self.config.silent_share);
        let discloses = self.random.random_bool(0.5);

        let CapabilityEntry { capability, terms, .. } = self.capabilities[index];
        let rfq = RfqTerms {
            quantity,
            window: if is_window_zero { DurationNs::ZERO } else { self.config.window },
            admit_standing: is_window_zero,
            disclosure: if discloses { Disclosure::ClearingPrice } else { Disclosure::Nothing },
            delivery_within: DELIVERY_WITHIN,
            acceptance_within: if is_silent { self.config.silence } else { ACCEPTANCE_WITHIN },
            spec: digest_of(SPEC),
            terms,
            ..RfqTerms::plain(capability, CURRENCY, reserve)
        };
        let client_id = self.trader.desk.client.next_client_id();
        let command = Command::OpenRfq(Box::new(OpenRfq::plain(client_id, rfq)));
        let total = reserve.times(quantity).expect("three times the highest reserve fits");
        let opened = Opened { due, is_window_zero, is_silent, total };
        self.trader.send(command, Some((Latency::RfqAck, due)), opened).await;
    }

    fn handle_answer(&mut self, opened: Opened, answer: &Result<Accepted, CommandError>) {
        match answer {
            Ok(Accepted { outcome: Outcome::Rfq(handle), .. }) => {
                self.trader.desk.records.tally.count(|counts| counts.rfqs += 1);
                self.book.opened(handle.rfq, opened);
                self.conclude(handle.rfq);
            }
            Err(error) if error.reason() == Some(RejectReason::InsufficientFunds) => {
                self.want(opened.total);
            }
            // Counted where it came in.
            Ok(_) | Err(_) => {}
        }
    }

    /// Handles an item of the private stream. Returns whether there is anything to go on with.
    async fn handle_item(&mut self, item: StreamItem) -> bool {
        match item {
            StreamItem::Event(_, StreamEvent::Private(event)) => self.handle_event(event),
            StreamItem::Event(_, StreamEvent::Public(_)) => {}
            StreamItem::Resync { .. } => return self.resync().await,
        }
        true
    }

    fn handle_event(&mut self, event: PrivateEvent) {
        let tally = &self.trader.desk.records.tally;
        match event {
            PrivateEvent::Awarded(awarded) => {
                tally.count(|counts| counts.awards += 1);
                self.book.awarded(&awarded, Instant::now());
            }
            PrivateEvent::RfqEnded(RfqEnded { rfq, quotes, .. }) => {
                tally.count(|counts| counts.quotes += u64::from(quotes));
                self.book.ended(rfq);
                self.conclude(rfq);
            }
            PrivateEvent::Delivered(Delivered { contract, deliverable, .. }) => {
                if self.book.is_to_be_accepted(contract) {
                    self.accept(contract, Some(deliverable));
                }
            }
            PrivateEvent::ContractSettled(settled) => {
                tally.count(|counts| counts.contracts_settled += 1);
                self.book.contract_ended(settled.contract);
                self.want(settled.released);
                self.want(settled.fee);
            }
            PrivateEvent::ContractExpired(expired) => {
                tally.count(|counts| counts.contracts_expired += 1);
                self.book.contract_ended(expired.contract);
            }
            PrivateEvent::ContractTakenOver(taken_over) => {
                self.book.contract_ended(taken_over.contract);
            }
            PrivateEvent::WorkStarted(_)
            | PrivateEvent::ContractVerified(_)
            | PrivateEvent::QuoteLost(_)
            | PrivateEvent::QuoteCanceled(_)
            | PrivateEvent::StandingQuoteCanceled(_)
            | PrivateEvent::Invited(_)
            | PrivateEvent::InvitedRfqEnded(_)
            | PrivateEvent::InvitedRfqTaken(_)
            | PrivateEvent::RfqCleared(_)
            | PrivateEvent::BundleLost(_)
            | PrivateEvent::Declined(_)
            | PrivateEvent::BookOpened(_)
            | PrivateEvent::QuoteShown(_)
            | PrivateEvent::Standby(_)
            | PrivateEvent::ReputationChanged(_)
            | PrivateEvent::ProviderSuspended(_) => {}
        }
    }

    /// Measures an RFQ once all is known of it.
    fn conclude(&mut self, rfq: RfqId) {
        if let Some((due, awarded_at)) = self.book.conclude(rfq) {
            let tally = &self.trader.desk.records.tally;
            tally.measure(Latency::WindowZeroAward, due, awarded_at);
        }
    }

    fn accept(&mut self, contract: ContractId, deliverable: Option<Digest>) {
        let deliverable = deliverable.filter(|_| self.config.blobs);
        self.trader.jobs.spawn(check_and_accept(self.trader.desk.clone(), contract, deliverable));
    }

    /// Takes the state in place of the events that cannot be had any more. Returns whether the
    /// client lives.
    async fn resync(&mut self) -> bool {
        let tally = &self.trader.desk.records.tally;
        tally.count(|counts| counts.resyncs += 1);
        match self.trader.desk.client.statement().await {
            Ok(statement) => {
                for rfq in self.book.reconcile(&statement) {
                    self.conclude(rfq);
                }
                let delivered = |state| state == ContractState::Delivered;
                for entry in statement.contracts.iter().filter(|entry| delivered(entry.state)) {
                    if self.book.is_to_be_accepted(entry.contract) {
                        self.accept(entry.contract, None);
                    }
                }
                true
            }
            Err(error) => {
                tally.refused(&error);
                error.reason().is_some()
            }
        }
    }

    /// Asks for money once enough is wanted. What finds no place is asked for later.
    fn want(&mut self, amount: Micros) {
        self.wanted = self.wanted.plus(amount).unwrap_or(self.wanted);
        let top_up = TopUp { account: self.account, amount: self.wanted };
        if self.wanted.raw() >= self.config.deposit.raw() / 2
            && self.top_ups.try_send(top_up).is_ok()
        {
            self.wanted = Micros::ZERO;
        }
    }
}

/// Fetches what was delivered, if it is to be checked, and accepts it if it is as announced.
async fn check_and_accept(
    desk: Desk,
    contract: ContractId,
    deliverable: Option<Digest>,
) -> ContractId {
    if let Some(announced) = deliverable {
        let source = BlobSource::Deliverable(contract);
        let fetched = desk.client.fetch_blob(source).await.map(|bytes| digest_of(&bytes));
        let is_as_announced = matches!(fetched, Ok(digest) if digest == announced);
        desk.records.tally.count(|counts| match is_as_announced {
            true => counts.blobs_checked += 1,
            false => counts.blobs_failed += 1,
        });
        if let Err(error) = &fetched {
            desk.records.tally.refused(error);
        }
        if !is_as_announced {
            return contract;
        }
    }
    let client_id = desk.client.next_client_id();
    let accept = AcceptDelivery { client_id, contract };
    // Written down, whatever the answer.
    _ = desk.call(Command::AcceptDelivery(accept)).await;
    contract
}
