//! Sealed quotes come into their table when their RFQ is decided, each as it stands then.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use gavel_protocol::{AgentId, Event, Offer, QuoteId, RfqId, TimestampNs};

use super::rows::{AsText as _, Rows, Value, json, name};
use super::tables::TableId;
use crate::curtain::{At, Passed};

/// A sealed quote, as it is at the close.
struct Quoted {
    rfq: Value,
    provider: Value,
    placed: At,
    /// None for a group of bundles.
    offer: Option<Offer>,
    amendments: i64,
    canceled: Option<(TimestampNs, Value)>,
}

impl Quoted {
    fn new(rfq: RfqId, provider: AgentId, placed: At, offer: Option<Offer>) -> Self {
        let (rfq, provider) = (rfq.text(), provider.text());
        Self { rfq, provider, placed, offer, amendments: 0, canceled: None }
    }
}

/// Writes the quotes among what was held back, each as it stands at the end, and the bundles.
pub(super) fn add_quotes(held: &[Passed], rows: &mut Rows) {
    let mut quotes: BTreeMap<QuoteId, Quoted> = BTreeMap::new();
    let mut order = Vec::new();
    for Passed { at, event, .. } in held {
        if let Event::QuotePlaced(e) = event {
            order.push(e.quote);
            quotes.insert(e.quote, Quoted::new(e.rfq, e.provider, *at, Some(e.offer)));
        } else if let Event::BundlesQuoted(e) = event {
            match quotes.entry(e.quote) {
                Entry::Vacant(place) => {
                    order.push(e.quote);
                    place.insert(Quoted::new(e.rfq, e.provider, *at, None));
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
            quote.canceled = Some((at.ts_event, name(&e.cause)));
        } else if let Event::BundleQuoted(e) = event {
            let row = [
                e.bundle.quote.text(),
                e.bundle.number.into(),
                e.rfq.text(),
                e.provider.text(),
                json(&e.offer.items),
                e.offer.price.raw().into(),
                e.offer.latency_ms.into(),
                at.position.into(),
            ];
            rows.add_row(TableId::Bundles, row);
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
        quote.placed.ts_event.into(),
        of_offer(|offer| offer.price.raw().into()),
        of_offer(|offer| offer.quantity.into()),
        offer.is_some_and(|offer| offer.all_or_none).into(),
        of_offer(|offer| offer.latency_ms.into()),
        of_offer(|offer| offer.valid_until.into()),
        of_offer(|offer| offer.standby_until.map_or(Value::Null, Value::from)),
        quote.amendments.into(),
        canceled_at,
        cause,
        quote.placed.position.into(),
    ];
    rows.add_row(TableId::Quotes, row);
}
