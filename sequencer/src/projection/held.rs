//! What is sealed is held back until its RFQ closes, and comes then, in order.
//!
//! Nothing that is written before shows that there was anything to hold back: positions count what is
//! written, not what happened, and what counts sealed quotes is not projected at all.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use gavel_protocol::{AgentId, Event, Offer, QuoteId, Ranked, RfqId, TimestampNs};

use super::rows::{AsText as _, At, Rows, Value, json, name};
use super::tables::TableId;
use crate::batch::Batch;

/// Everything that lies between the exchange's events and the rows.
#[derive(Debug, Default)]
pub(super) struct Curtain {
    /// What is held back, by the open RFQ that it is about.
    held: BTreeMap<RfqId, Vec<(TimestampNs, Event)>>,
    /// How many events have been written.
    position: i64,
}

/// Where an event goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It is written.
    Open,
    /// It is held back while this RFQ is open.
    Sealed(RfqId),
    /// It opens an RFQ, and is written.
    Opens(RfqId),
    /// It says how an RFQ is decided: what was held back for it is written, and then this.
    Decides(RfqId),
    /// It goes where the event before it went: it is a consequence of that.
    Follows,
    /// It is not projected.
    Nowhere,
}

impl Curtain {
    /// Returns how many events have been written.
    pub(super) fn position(&self) -> i64 {
        self.position
    }

    /// Writes the rows of a batch.
    pub(super) fn pass(&mut self, batch: &Batch, rows: &mut Rows) {
        for step in batch.steps() {
            let ts_event = step.stamped.ts_event;
            let mut before = Way::Open;
            for (event, ranking) in step.events_with_ranking() {
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
                        held.push((ts_event, *event));
                    }
                    Way::Opens(rfq) if !is_movement => {
                        self.held.insert(rfq, Vec::new());
                        self.write(ts_event, event, ranking, rows);
                    }
                    Way::Decides(rfq) => {
                        self.release(rfq, rows);
                        self.write(ts_event, event, ranking, rows);
                    }
                    Way::Nowhere if !is_movement => {}
                    Way::Open | Way::Sealed(_) | Way::Opens(_) | Way::Follows | Way::Nowhere => {
                        self.write(ts_event, event, ranking, rows)
                    }
                }
                before = way;
            }
        }
    }

    /// Writes what was held back for an RFQ.
    fn release(&mut self, rfq: RfqId, rows: &mut Rows) {
        let Some(held) = self.held.remove(&rfq) else { return };
        add_quotes(&held, rows);
        for (ts_event, event) in &held {
            self.write(*ts_event, event, &[], rows);
        }
    }

    fn write(&mut self, ts_event: TimestampNs, event: &Event, ranking: &[Ranked], rows: &mut Rows) {
        self.position += 1;
        rows.add_event(At { position: self.position, ts_event }, event, ranking);
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

/// A sealed quote, as it is at the close.
struct Quoted {
    rfq: Value,
    provider: Value,
    placed_at: TimestampNs,
    /// None for a group of bundles.
    offer: Option<Offer>,
    amendments: i64,
    canceled: Option<(TimestampNs, Value)>,
}

impl Quoted {
    fn new(rfq: RfqId, provider: AgentId, placed_at: TimestampNs, offer: Option<Offer>) -> Self {
        let (rfq, provider) = (rfq.text(), provider.text());
        Self { rfq, provider, placed_at, offer, amendments: 0, canceled: None }
    }
}

/// Writes the quotes among what was held back, each as it stands at the end, and the bundles.
fn add_quotes(held: &[(TimestampNs, Event)], rows: &mut Rows) {
    let mut quotes: BTreeMap<QuoteId, Quoted> = BTreeMap::new();
    let mut order = Vec::new();
    for (ts_event, event) in held {
        if let Event::QuotePlaced(e) = event {
            order.push(e.quote);
            quotes.insert(e.quote, Quoted::new(e.rfq, e.provider, *ts_event, Some(e.offer)));
        } else if let Event::BundlesQuoted(e) = event {
            match quotes.entry(e.quote) {
                Entry::Vacant(place) => {
                    order.push(e.quote);
                    place.insert(Quoted::new(e.rfq, e.provider, *ts_event, None));
                }
                Entry::Occupied(mut place) => place.get_mut().amendments += 1,
            }
        } else if let Event::QuoteAmended(e) = event
            && let Some(quote) = quotes.get_mut(&e.quote)
        {
            quote.offer = Some(e.offer);
            quote.amendments += 1;
        } else if let Event::QuoteCanceled(e) = event
            && let Some(quote) = quotes.get_mut(&e.quote)
        {
            quote.canceled = Some((*ts_event, name(&e.cause)));
        } else if let Event::BundleQuoted(e) = event {
            let row = [
                e.bundle.quote.text(),
                e.bundle.number.into(),
                e.rfq.text(),
                e.provider.text(),
                json(&e.offer.items),
                e.offer.price.raw().into(),
                e.offer.latency_ms.into(),
            ];
            rows.add(TableId::Bundles, row);
        }
    }
    for id in order {
        let Some(quote) = quotes.remove(&id) else { continue };
        add_quote(id, quote, rows);
    }
}

fn add_quote(id: QuoteId, quote: Quoted, rows: &mut Rows) {
    let offer = quote.offer.as_ref();
    let of_offer = |value: fn(&Offer) -> Value| offer.map_or(Value::Null, value);
    let (canceled_at, cause) = match quote.canceled {
        Some((at, cause)) => (at.into(), cause),
        None => (Value::Null, Value::Null),
    };
    let row = [
        id.text(),
        quote.rfq,
        quote.provider,
        quote.placed_at.into(),
        of_offer(|offer| offer.price.raw().into()),
        of_offer(|offer| offer.quantity.into()),
        offer.is_some_and(|offer| offer.all_or_none).into(),
        of_offer(|offer| offer.latency_ms.into()),
        of_offer(|offer| offer.valid_until.into()),
        of_offer(|offer| offer.standby_until.map_or(Value::Null, Value::from)),
        quote.amendments.into(),
        canceled_at,
        cause,
    ];
    rows.add(TableId::Quotes, row);
}
