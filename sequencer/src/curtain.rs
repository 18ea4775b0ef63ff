//! What is sealed is held back until its RFQ is decided, and comes then.
//!
//! Nothing that comes before shows that there was anything to hold back: positions count what has
//! come, not what happened, and what counts sealed quotes does not come at all.

use std::collections::BTreeMap;

use gavel_protocol::{Event, Ranked, RfqId, TimestampNs};
use rkyv::rancor::Failure;
use rkyv::with::AsVec;
use rkyv::{Archive, Deserialize, Serialize};

use crate::batch::Batch;
use crate::publish::{Consumer, StreamEvent};

/// Takes what comes through the curtain.
pub(crate) trait Receiver {
    /// Whether it takes what subscribers get, too.
    const TAKES_STREAMS: bool;

    /// Takes an event, with the ranked list of a close.
    fn receive(&mut self, passed: Passed, ranking: &[Ranked]);

    /// Takes what was held back for an RFQ that is decided, in the order in which it happened.
    fn receive_held(&mut self, held: Vec<Passed>);
}

/// An event that has come through.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) at: At,
    pub(crate) event: Event,
    /// What subscribers get of it.
    pub(crate) streams: Vec<StreamEvent>,
}

/// Where and when something happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    /// The place among all that came through the curtain, from 1.
    pub(crate) position: i64,
    /// When it happened.
    pub(crate) ts_event: TimestampNs,
}

/// Everything that lies between the exchange's events and whoever receives them.
#[derive(Debug, Default, Archive, Serialize, Deserialize)]
pub(crate) struct Curtain {
    /// What is held back, by the open RFQ that it is about.
    #[rkyv(with = AsVec)]
    held: BTreeMap<RfqId, Vec<Held>>,
    /// How many events have come through.
    position: i64,
}

/// An event that has not come through.
#[derive(Debug, Archive, Serialize, Deserialize)]
struct Held {
    ts_event: TimestampNs,
    event: Event,
    /// What subscribers have got of it: the buyer its book, solvers their problem.
    streams: Vec<StreamEvent>,
}

/// Receives nothing. What is held back is held back all the same.
pub(crate) struct Nobody;

impl Receiver for Nobody {
    const TAKES_STREAMS: bool = false;

    fn receive(&mut self, _: Passed, _: &[Ranked]) {}

    fn receive_held(&mut self, _: Vec<Passed>) {}
}

/// Where an event goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It comes through.
    Open,
    /// It is held back while this RFQ is open.
    Sealed(RfqId),
    /// It opens an RFQ, and comes through.
    Opens(RfqId),
    /// It says how an RFQ is decided: what was held back for it comes, and then this.
    Decides(RfqId),
    /// It goes where the event before it went: it is a consequence of that.
    Follows,
    /// It never comes through.
    Nowhere,
}

impl Curtain {
    /// Returns how many events have come through.
    pub(crate) fn position(&self) -> i64 {
        self.position
    }

    /// Returns it as bytes. Equal ones have equal bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let written = rkyv::to_bytes::<Failure>(self);
        written.expect("memory is the only thing that writing to a Vec needs").into_vec()
    }

    /// Reads it back, validating every byte. Returns `None` if it is not what was written.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        rkyv::from_bytes::<Self, Failure>(bytes).ok()
    }

    /// Publishes a batch of a replay, and lets through what may be seen of it.
    pub(crate) fn pass<R: Receiver>(
        &mut self,
        batch: &Batch,
        consumer: &dyn Consumer,
        receiver: &mut R,
    ) {
        let wanted: fn(&Event) -> bool = match R::TAKES_STREAMS {
            true => |_| true,
            // Whoever receives it later may want them.
            false => |event| matches!(way_of(event), Way::Sealed(_)),
        };
        let mut streams = Vec::new();
        consumer.replayed(batch, wanted, &mut |place, event| streams.push((place, event)));
        let mut streams = streams.into_iter().peekable();
        let mut place = 0;
        for step in batch.steps() {
            let mut before = Way::Open;
            for (event, ranking) in step.events_with_ranking() {
                let of_this = std::iter::from_fn(|| streams.next_if(|(other, _)| *other == place));
                let streams = of_this.map(|(_, event)| event).collect();
                let happened = Held { ts_event: step.stamped.ts_event, event: *event, streams };
                let way = match way_of(event) {
                    Way::Follows => before,
                    way @ (Way::Open
                    | Way::Sealed(_)
                    | Way::Opens(_)
                    | Way::Decides(_)
                    | Way::Nowhere) => way,
                };
                self.let_through(way, happened, ranking, receiver);
                (before, place) = (way, place + 1);
            }
        }
    }

    fn let_through(
        &mut self,
        way: Way,
        happened: Held,
        ranking: &[Ranked],
        receiver: &mut impl Receiver,
    ) {
        // A movement is the market's, whatever caused it.
        let is_movement = matches!(happened.event, Event::Moved(_));
        match way {
            Way::Sealed(rfq) if let Some(held) = self.held.get_mut(&rfq) => held.push(happened),
            Way::Opens(rfq) if !is_movement => {
                self.held.insert(rfq, Vec::new());
                receiver.receive(self.next(happened), ranking);
            }
            Way::Decides(rfq) => {
                self.release(rfq, receiver);
                receiver.receive(self.next(happened), ranking);
            }
            Way::Nowhere if !is_movement => {}
            Way::Open | Way::Sealed(_) | Way::Opens(_) | Way::Follows | Way::Nowhere => {
                receiver.receive(self.next(happened), ranking);
            }
        }
    }

    /// Lets through what was held back for an RFQ.
    fn release(&mut self, rfq: RfqId, receiver: &mut impl Receiver) {
        let Some(held) = self.held.remove(&rfq) else { return };
        receiver.receive_held(held.into_iter().map(|happened| self.next(happened)).collect());
    }

    /// Gives an event the next position.
    fn next(&mut self, Held { ts_event, event, streams }: Held) -> Passed {
        self.position += 1;
        Passed { at: At { position: self.position, ts_event }, event, streams }
    }
}

fn way_of(event: &Event) -> Way {
    match event {
        Event::RfqOpened(e) => Way::Opens(e.rfq),
        Event::QuotePlaced(e) => Way::Sealed(e.rfq),
        Event::QuoteAmended(e) => Way::Sealed(e.rfq),
        Event::QuoteCanceled(e) => Way::Sealed(e.rfq),
        Event::BundlesQuoted(e) => Way::Sealed(e.rfq),
        Event::BundleQuoted(e) => Way::Sealed(e.rfq),
        Event::RfqDeclined(e) => Way::Sealed(e.rfq),
        Event::BookShown(e) => Way::Sealed(e.rfq),
        Event::QuotePicked(e) => Way::Sealed(e.rfq),
        Event::ClearingStarted(e) => Way::Sealed(e.rfq),
        Event::BundlesPosed(e) => Way::Sealed(e.rfq),
        Event::AllocationProposed(e) => Way::Sealed(e.rfq),
        Event::RfqCanceled(e) => Way::Decides(e.rfq),
        Event::RfqCleared(e) => Way::Decides(e.rfq),
        Event::RfqClosed(e) => Way::Decides(e.rfq),
        Event::BundleLost(e) => Way::Decides(e.rfq),
        Event::Awarded(e) => Way::Decides(e.rfq),
        Event::StandbyEnded(e) => Way::Decides(e.rfq),
        Event::Moved(_) => Way::Follows,
        // Answers, not events of the market; or they count what is sealed.
        Event::Rejected(_)
        | Event::Repeated(_)
        | Event::CancelKept(_)
        | Event::TimeAdvanced(_)
        | Event::MassCanceled(_)
        | Event::LoggedOn(_)
        | Event::SessionEnded(_) => Way::Nowhere,
        Event::Founded(_)
        | Event::AccountEnrolled(_)
        | Event::AgentEnrolled(_)
        | Event::CapabilityListed(_)
        | Event::Deposited(_)
        | Event::Halted(_)
        | Event::Reopened(_)
        | Event::PriceBandSet(_)
        | Event::ProviderInvited(_)
        | Event::RfqTaken(_)
        | Event::StandingQuoteSet(_)
        | Event::StandingQuoteCanceled(_)
        | Event::MassQuoted(_)
        | Event::LineRejected(_)
        | Event::EnvelopeSigned(_)
        | Event::WorkStarted(_)
        | Event::Delivered(_)
        | Event::ContractVerified(_)
        | Event::ContractSettled(_)
        | Event::ContractExpired(_)
        | Event::ContractTakenOver(_)
        | Event::ReputationChanged(_)
        | Event::ProviderSuspended(_)
        | Event::Resumed(_)
        | Event::Upgraded(_) => Way::Open,
    }
}
