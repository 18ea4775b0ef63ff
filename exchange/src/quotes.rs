//! Placing, amending and canceling sealed quotes.

use gavel_matcher::Quote;
use gavel_protocol::{
    AmendQuote, CancelCause, CancelQuote, Event, IdKind, Outcome, PlaceQuote, QuoteAmended,
    QuoteCanceled, QuoteId, QuotePlaced, QuoteTarget, RejectReason, TimestampNs,
};

use crate::apply::Asker;
use crate::events::Events;
use crate::exchange::Exchange;

impl Exchange {
    pub(crate) fn place_quote(
        &mut self,
        asker: Asker,
        c: &PlaceQuote,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let Asker { agent: provider, account } = asker;
        let slot = self.open_rfq_slot(c.rfq)?;
        if self.rfqs.at(slot).account == account {
            return Err(RejectReason::SelfTrade);
        }
        self.check_validity(slot, c.valid_until)?;
        if self.rfqs.has_quoted(c.rfq, account) {
            return Err(RejectReason::QuoteExists);
        }
        self.exposures.check_quote(account)?;
        self.rfqs.check_room(slot)?;

        let quote = QuoteId::new(self.mint(IdKind::Quote));
        let place = (c.price, self.seq);
        self.rfqs.place(slot, Quote::new(quote, c.rfq, (provider, account), place, c.valid_until));
        self.exposures.quote_placed(account);
        let (rfq, price, valid_until) = (c.rfq, c.price, c.valid_until);
        out.push(Event::QuotePlaced(QuotePlaced { quote, rfq, provider, price, valid_until }));
        Ok(())
    }

    pub(crate) fn amend_quote(
        &mut self,
        asker: Asker,
        c: &AmendQuote,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let target = self.resolve(asker, c.target).ok_or(RejectReason::UnknownQuote)?;
        let quote = *self.own_quote(asker, target)?;
        let slot = self.open_rfq_slot(quote.rfq)?;
        self.check_validity(slot, c.valid_until)?;
        let kept_place = self.rfqs.amend(quote.id, c.price, c.valid_until, self.seq);
        out.push(Event::QuoteAmended(QuoteAmended {
            quote: quote.id,
            rfq: quote.rfq,
            provider: asker.agent,
            price: c.price,
            valid_until: c.valid_until,
            kept_place,
        }));
        Ok(())
    }

    pub(crate) fn cancel_quote(
        &mut self,
        asker: Asker,
        c: &CancelQuote,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        if c.target == QuoteTarget::ClientId(c.client_id) {
            return Err(RejectReason::UnknownQuote);
        }
        if let QuoteTarget::ClientId(target) = c.target
            && self.outcome_of(asker, target).is_none()
        {
            return self.keep_cancel(asker, target, out);
        }
        let target = self.resolve(asker, c.target).ok_or(RejectReason::UnknownQuote)?;
        let quote = self.own_quote(asker, target)?.id;
        let quote = self.rfqs.cancel_quote(quote);
        self.exposures.quote_ended(quote.account);
        out.push(Event::QuoteCanceled(QuoteCanceled {
            quote: quote.id,
            rfq: quote.rfq,
            provider: asker.agent,
            cause: CancelCause::Agent,
        }));
        Ok(())
    }

    /// Checks that a quote would be firm until its RFQ closes.
    fn check_validity(&self, slot: u32, valid_until: TimestampNs) -> Result<(), RejectReason> {
        let closes_at = self.clock.sequenced(self.rfqs.at(slot).closes_at);
        if valid_until < closes_at {
            return Err(RejectReason::ValidUntilTooShort);
        }
        Ok(())
    }

    fn resolve(&self, asker: Asker, target: QuoteTarget) -> Option<QuoteId> {
        match target {
            QuoteTarget::Id(quote) => Some(quote),
            QuoteTarget::ClientId(target) => match self.outcome_of(asker, target)? {
                Outcome::Quote(quote) => Some(quote),
                Outcome::Done
                | Outcome::CancelKept
                | Outcome::Account(_)
                | Outcome::Agent(_)
                | Outcome::Capability(_)
                | Outcome::Rfq(_) => None,
            },
        }
    }

    /// Returns a live quote of the agent. Somebody else's is as unknown as one that never was.
    fn own_quote(&self, asker: Asker, quote: QuoteId) -> Result<&Quote, RejectReason> {
        let quote = self.rfqs.quote(quote).filter(|quote| quote.provider == asker.agent);
        quote.ok_or(RejectReason::UnknownQuote)
    }
}
