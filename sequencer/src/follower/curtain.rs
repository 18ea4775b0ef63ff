//! What is sealed is held back until its RFQ is decided, and comes then.
//!
//! Nothing that comes before shows that there was anything to hold back: positions count what has
//! come, not what happened, and what counts sealed quotes does not come at all.

use std::collections::BTreeMap;

use gavel_protocol::{Event, Ranked, RfqId, TimestampNs};

use crate::batch::{Batch, StepView};

/// Takes what comes through the curtain.
pub(crate) trait Receiver {
    /// Looks at a step before anything of it comes through; its first event has this `order`.
    fn look(&mut self, _step: &StepView<'_>, _order: u64) {}

    /// Takes an event, with the ranked list of a close.
    fn receive(&mut self, at: At, event: &Event, ranking: &[Ranked]);

    /// Takes what was held back for an RFQ that is decided, in the order in which it happened.
    fn receive_held(&mut self, held: &[(At, Event)]);
}

/// Where and when something happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    /// The place among all that came through the curtain, from 1.
    pub(crate) position: i64,
    /// The place among all that happened, from 1. It shows what did not come through: not to be passed on.
    pub(crate) order: u64,
    /// When it happened.
    pub(crate) ts_event: TimestampNs,
}

/// Everything that lies between the exchange's events and whoever receives them.
#[derive(Debug, Default)]
pub(super) struct Curtain {
    /// What is held back, by the open RFQ that it is about.
    held: BTreeMap<RfqId, Vec<(Happened, Event)>>,
    /// How many events have come through.
    position: i64,
    /// How many events have happened.
    happened: u64,
}

/// Where and when something happened that may not have come through.
#[derive(Clone, Copy, Debug)]
struct Happened {
    order: u64,
    ts_event: TimestampNs,
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
    pub(super) fn position(&self) -> i64 {
        self.position
    }

    /// Lets through what may be seen of a batch.
    pub(super) fn pass(&mut self, batch: &Batch, receiver: &mut impl Receiver) {
        for step in batch.steps() {
            receiver.look(&step, self.happened + 1);
            let mut before = Way::Open;
            for (event, ranking) in step.events_with_ranking() {
                self.happened += 1;
                let happened = Happened { order: self.happened, ts_event: step.stamped.ts_event };
                let way = match way_of(event) {
                    Way::Follows => before,
                    way @ (Way::Open
                    | Way::Sealed(_)
                    | Way::Opens(_)
                    | Way::Decides(_)
                    | Way::Nowhere) => way,
                };
                // A movement is the market's, whatever caused it.
                let is_movement = matches!(event, Event::Moved(_));
                match way {
                    Way::Sealed(rfq) if let Some(held) = self.held.get_mut(&rfq) => {
                        held.push((happened, *event));
                    }
                    Way::Opens(rfq) if !is_movement => {
                        self.held.insert(rfq, Vec::new());
                        receiver.receive(self.next(happened), event, ranking);
                    }
                    Way::Decides(rfq) => {
                        self.release(rfq, receiver);
                        receiver.receive(self.next(happened), event, ranking);
                    }
                    Way::Nowhere if !is_movement => {}
                    Way::Open | Way::Sealed(_) | Way::Opens(_) | Way::Follows | Way::Nowhere => {
                        receiver.receive(self.next(happened), event, ranking);
                    }
                }
                before = way;
            }
        }
    }

    /// Lets through what was held back for an RFQ.
    fn release(&mut self, rfq: RfqId, receiver: &mut impl Receiver) {
        let Some(held) = self.held.remove(&rfq) else { return };
        let held = held.into_iter().map(|(happened, event)| (self.next(happened), event));
        receiver.receive_held(&held.collect::<Vec<_>>());
    }

    /// Returns the next position.
    fn next(&mut self, Happened { order, ts_event }: Happened) -> At {
        self.position += 1;
        At { position: self.position, order, ts_event }
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
