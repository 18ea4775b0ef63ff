//! What everybody may ask of a capability: its book.

use alloc::vec::Vec;

use gavel_matcher::Dutch;
use gavel_protocol::limits::{BOOK_ITEMS_MAX, BOOK_LINES_MAX};
use gavel_protocol::{
    Book, CapabilityId, PublicTerms, RejectReason, RfqAnnounced, StandingEntry, StreamPosition,
};

use crate::exchange::Exchange;

impl Exchange {
    /// Returns the book of a capability: the best standing quotes and the oldest open RFQs that
    /// everybody may answer. Which number its stream goes on with is for whoever keeps the stream.
    ///
    /// # Errors
    ///
    /// [`RejectReason::UnknownCapability`].
    pub fn book(&mut self, capability: CapabilityId) -> Result<Book, RejectReason> {
        let known = *self.directory.capability(capability)?;
        let mut standing = Vec::new();
        self.standing.visit_best(capability, |quote| {
            standing.push(StandingEntry {
                capability,
                provider: quote.provider,
                revision: quote.revision,
                price: quote.price,
                latency_ms: quote.latency_ms,
                capacity: quote.capacity,
                valid_until: quote.valid_until,
            });
            standing.len() < BOOK_LINES_MAX
        });
        let (rfqs_total, rfqs) = self.rfqs.rfqs_for(capability);
        let mut items = 0;
        let rfqs = rfqs.take(BOOK_LINES_MAX).take_while(|(_, rfq)| {
            items += rfq.bundles.map_or(0, |book| self.rfqs.books.at(book).items().len());
            items <= BOOK_ITEMS_MAX
        });
        let rfqs = rfqs.map(|(slot, rfq)| RfqAnnounced {
            rfq: rfq.id,
            buyer: rfq.owner.agent,
            closes_at: self.clock.sequenced(rfq.closes_at),
            terms: PublicTerms::of(&rfq.terms),
            dutch: self.rfqs.dutch(slot).map(Dutch::terms),
            bundles: rfq.bundles.map(|book| self.rfqs.books.at(book).public_terms()),
            signed: rfq.signed,
        });
        Ok(Book {
            capability,
            next: StreamPosition { stream_seq: 0 },
            band: known.band,
            halted: self.halted || known.halted,
            standing_total: self.standing.live_in(capability),
            rfqs: rfqs.collect(),
            rfqs_total,
            standing,
        })
    }
}
