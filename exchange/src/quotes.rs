//! Answers to RFQs: placing, amending and canceling sealed quotes, and declining.

use gavel_matcher::{Owner, Quote, Rfq};
use gavel_protocol::{
    AmendQuote, CancelCause, CancelQuote, DeclineRfq, Event, Format, IdKind, Micros, Offer,
    Outcome, PlaceQuote, QuoteAmended, QuoteCanceled, QuoteId, QuotePlaced, QuoteSignature,
    QuoteTarget, RejectReason, RfqDeclined, RfqTerms, TimestampNs,
};
use gavel_settlement::{post_bond, return_bond};

use crate::closing::push_movement;
use crate::deadlines::Due;
use crate::events::Events;
use crate::exchange::Exchange;
use crate::operator::rejected;
use crate::rules::is_eligible;

impl Exchange {
    pub(crate) fn place_quote(
        &mut self,
        asker: Owner,
        c: &PlaceQuote,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        if c.signature.is_none() {
            self.check_unsigned()?;
        }
        let slot = self.open_rfq_slot(c.rfq)?;
        let rfq = self.rfqs.at(slot);
        self.check_not_halted(rfq.terms.capability)?;
        check_signature(rfq, c.signature.as_deref())?;
        check_takes_quotes(rfq, &c.offer)?;
        self.check_may_answer(asker, rfq)?;
        if rfq.closed {
            return Err(RejectReason::TooLate);
        }
        self.check_offer(rfq, &c.offer)?;
        let declined = match self.rfqs.answer_of(c.rfq, asker.account) {
            Some(answer) if answer.declined.is_none() => return Err(RejectReason::QuoteExists),
            Some(answer) => Some(answer.id),
            None => None,
        };
        self.check_quote_rate(asker)?;
        // What was declined makes room for the quote that takes its place.
        if declined.is_none() {
            self.exposures.check_quote(asker.slots.account)?;
            self.rfqs.check_room(slot)?;
        }
        let terms = rfq.terms;
        let bond = bond_for(&c.offer, &terms)?;
        let posted = self.post_bond(asker, bond, &terms)?;

        if let Some(declined) = declined {
            self.forget_answer(declined);
        }
        let id = QuoteId::new(self.mint(IdKind::Quote));
        let mut quote = Quote::new(id, c.rfq, asker, c.offer, self.seq);
        quote.bond = bond;
        self.add_answer(slot, quote);
        self.count_quote(asker);
        let (rfq, provider, offer) = (c.rfq, asker.agent, c.offer);
        out.push(Event::QuotePlaced(QuotePlaced { quote: id, rfq, provider, offer }));
        out.extend(posted);
        Ok(())
    }

    pub(crate) fn amend_quote(
        &mut self,
        asker: Owner,
        c: &AmendQuote,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        if c.signature.is_none() {
            self.check_unsigned()?;
        }
        let target = self.resolve(asker, c.target).ok_or(RejectReason::UnknownQuote)?;
        let quote = *self.own_quote(asker, target)?;
        let slot = self.open_rfq_slot(quote.rfq)?;
        let rfq = self.rfqs.at(slot);
        self.check_not_halted(rfq.terms.capability)?;
        check_signature(rfq, c.signature.as_deref())?;
        check_takes_quotes(rfq, &c.offer)?;
        if self.directory.at(asker.slots.agent).fades.is_suspended(self.clock.market_now()) {
            return Err(RejectReason::ProviderSuspended);
        }
        if rfq.closed || (self.is_past_cutoff(rfq) && is_worse(&c.offer, &quote.offer)) {
            return Err(RejectReason::TooLate);
        }
        self.check_offer(rfq, &c.offer)?;
        self.check_quote_rate(asker)?;
        let terms = rfq.terms;
        let bond = bond_for(&c.offer, &terms)?;
        let more = bond.minus(quote.bond).expect("the difference of two amounts above zero fits");
        let posted = self.post_bond(asker, more.max(Micros::ZERO), &terms)?;

        let kept_place = self.rfqs.amend(quote.id, c.offer, bond, self.seq);
        self.count_quote(asker);
        out.push(Event::QuoteAmended(QuoteAmended {
            quote: quote.id,
            rfq: quote.rfq,
            provider: asker.agent,
            offer: c.offer,
            kept_place,
        }));
        out.extend(posted);
        if more < Micros::ZERO {
            let less = Micros::new(-more.raw());
            let returned = return_bond(&mut self.ledger, asker.account, (less, terms.currency));
            push_movement(returned, out);
        }
        Ok(())
    }

    pub(crate) fn cancel_quote(
        &mut self,
        asker: Owner,
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
        let quote = *self.own_quote(asker, target)?;
        let slot = self.open_rfq_slot(quote.rfq)?;
        let rfq = self.rfqs.at(slot);
        if rfq.closed || self.is_past_cutoff(rfq) {
            return Err(RejectReason::TooLate);
        }
        self.end_quote(quote.id, CancelCause::Agent, out);
        Ok(())
    }

    pub(crate) fn decline_rfq(
        &mut self,
        asker: Owner,
        c: &DeclineRfq,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let slot = self.open_rfq_slot(c.rfq)?;
        let rfq = self.rfqs.at(slot);
        if rfq.terms.format == Format::Dutch {
            return Err(RejectReason::WrongFormat);
        }
        if rfq.directed && !self.rfqs.invitations.invites(rfq, asker.agent) {
            return Err(RejectReason::NotInvited);
        }
        if rfq.owner.account == asker.account {
            return Err(RejectReason::SelfTrade);
        }
        if rfq.closed {
            return Err(RejectReason::TooLate);
        }
        if self.rfqs.answer_of(c.rfq, asker.account).is_some() {
            return Err(RejectReason::QuoteExists);
        }
        self.exposures.check_quote(asker.slots.account)?;
        self.rfqs.check_room(slot)?;

        let id = QuoteId::new(self.mint(IdKind::Quote));
        let nothing = Offer::new(Micros::ZERO, TimestampNs::default());
        let mut answer = Quote::new(id, c.rfq, asker, nothing, self.seq);
        answer.declined = Some(c.reason);
        self.add_answer(slot, answer);
        let (rfq, provider, reason) = (c.rfq, asker.agent, c.reason);
        out.push(Event::RfqDeclined(RfqDeclined { rfq, provider, reason }));
        Ok(())
    }

    /// Ends a live quote, gives its bond back and says so.
    pub(crate) fn end_quote(&mut self, quote: QuoteId, cause: CancelCause, out: &mut Events<'_>) {
        let quote = self.forget_answer(quote);
        let (id, rfq, provider) = (quote.id, quote.rfq, quote.owner.agent);
        out.push(Event::QuoteCanceled(QuoteCanceled { quote: id, rfq, provider, cause }));
        if quote.bond > Micros::ZERO {
            let rfq = self.rfqs.slot(rfq).expect("invariant: a quote ends with its RFQ");
            let currency = self.rfqs.at(rfq).terms.currency;
            let bond = (quote.bond, currency);
            push_movement(return_bond(&mut self.ledger, quote.owner.account, bond), out);
        }
    }

    /// Checks that a provider may answer an RFQ with an offer of its own.
    pub(crate) fn check_may_answer(&self, asker: Owner, rfq: &Rfq) -> Result<(), RejectReason> {
        let agent = self.directory.at(asker.slots.agent);
        if rfq.directed && !self.rfqs.invitations.invites(rfq, asker.agent) {
            return Err(RejectReason::NotInvited);
        }
        if !is_eligible(agent, &rfq.terms, self.clock.market_now()) {
            return Err(RejectReason::NotEligible);
        }
        if agent.fades.is_suspended(self.clock.market_now()) {
            return Err(RejectReason::ProviderSuspended);
        }
        if rfq.owner.account == asker.account {
            return Err(RejectReason::SelfTrade);
        }
        Ok(())
    }

    /// Puts up a bond, unless there is none to be put up.
    pub(crate) fn post_bond(
        &mut self,
        provider: Owner,
        bond: Micros,
        terms: &RfqTerms,
    ) -> Result<Option<Event>, RejectReason> {
        if bond == Micros::ZERO {
            return Ok(None);
        }
        let posted = post_bond(&mut self.ledger, provider.account, (bond, terms.currency));
        posted.map(|movement| Some(Event::Moved(movement))).map_err(rejected)
    }

    /// Adds an answer, and closes an RFQ that waits for nobody else.
    pub(crate) fn add_answer(&mut self, slot: u32, answer: Quote) {
        self.rfqs.place(slot, answer);
        self.exposures.quote_placed(answer.owner.slots.account);
        let rfq = *self.rfqs.at(slot);
        if !rfq.directed {
            return;
        }
        let all_answered = self.rfqs.invitations.set_answered(&rfq, answer.owner.agent, true);
        if all_answered && rfq.terms.close_early {
            let now = self.clock.market_now();
            self.rfqs.at_mut(slot).closes_at = now;
            self.deadlines.set(Due::Rfq(slot), now);
        }
    }

    /// Removes an answer.
    pub(crate) fn forget_answer(&mut self, quote: QuoteId) -> Quote {
        let quote = self.rfqs.cancel_quote(quote);
        self.exposures.quote_ended(quote.owner.slots.account);
        let slot = self.rfqs.slot(quote.rfq).expect("invariant: an answer ends with its RFQ");
        let rfq = *self.rfqs.at(slot);
        if let Some(book) = rfq.bundles {
            self.rfqs.books.at_mut(book).remove_group(quote.id);
        }
        // Its account may have other groups of bundles.
        if rfq.directed && self.rfqs.answer_of(rfq.id, quote.owner.account).is_none() {
            self.rfqs.invitations.set_answered(&rfq, quote.owner.agent, false);
        }
        quote
    }

    /// Checks what an offer names against its RFQ.
    fn check_offer(&self, rfq: &Rfq, offer: &Offer) -> Result<(), RejectReason> {
        let decided_at = rfq.closes_at.after(rfq.terms.pick_within);
        if offer.valid_until < self.clock.sequenced(decided_at) {
            return Err(RejectReason::ValidUntilTooShort);
        }
        if !rfq.terms.split && offer.quantity < rfq.terms.quantity {
            return Err(RejectReason::QuantityTooSmall);
        }
        self.check_band(rfq.terms.capability, offer.price)
    }

    fn is_past_cutoff(&self, rfq: &Rfq) -> bool {
        self.clock.market_now() >= rfq.cutoff_at()
    }

    fn resolve(&self, asker: Owner, target: QuoteTarget) -> Option<QuoteId> {
        match target {
            QuoteTarget::Id(quote) => Some(quote),
            QuoteTarget::ClientId(target) => match self.outcome_of(asker, target)? {
                Outcome::Quote(quote) => Some(quote),
                Outcome::Done
                | Outcome::CancelKept
                | Outcome::Account(_)
                | Outcome::Agent(_)
                | Outcome::Capability(_)
                | Outcome::Rfq(_)
                | Outcome::Taken(_) => None,
            },
        }
    }

    /// Returns a live quote of the agent. Somebody else's is as unknown as one that never was.
    pub(crate) fn own_quote(&self, asker: Owner, quote: QuoteId) -> Result<&Quote, RejectReason> {
        let quote = self.rfqs.quote(quote);
        let own = quote.filter(|q| q.owner.agent == asker.agent && q.declined.is_none());
        own.ok_or(RejectReason::UnknownQuote)
    }
}

/// Checks that a signature is for this RFQ. That it is the provider's has been checked before.
pub(crate) fn check_signature(
    rfq: &Rfq,
    signature: Option<&QuoteSignature>,
) -> Result<(), RejectReason> {
    match signature {
        Some(signature) if Some(signature.rfq_digest) != rfq.signed.map(|s| s.digest) => {
            Err(RejectReason::RfqDigestMismatch)
        }
        Some(_) | None => Ok(()),
    }
}

/// Checks that the RFQ's format takes such an offer.
fn check_takes_quotes(rfq: &Rfq, offer: &Offer) -> Result<(), RejectReason> {
    let takes = match rfq.terms.format {
        Format::FirstPrice => true,
        Format::SecondPrice => !offer.all_or_none,
        Format::BuyersChoice => true,
        Format::Dutch | Format::Combinatorial => false,
    };
    if takes { Ok(()) } else { Err(RejectReason::WrongFormat) }
}

/// Returns what must be put up for an offer: a part of what it asks for, rounded up.
pub(crate) fn bond_for(offer: &Offer, terms: &RfqTerms) -> Result<Micros, RejectReason> {
    if terms.bond_bps == 0 {
        return Ok(Micros::ZERO);
    }
    let total = offer.price.times(offer.quantity.min(terms.quantity));
    let bond = total.and_then(|total| total.bps_rounded_up(terms.bond_bps));
    bond.ok_or(RejectReason::AmountOverflow)
}

/// Returns whether an offer is worse for the buyer than another in anything.
fn is_worse(offer: &Offer, than: &Offer) -> bool {
    offer.price > than.price
        || offer.latency_ms > than.latency_ms
        || offer.quantity < than.quantity
        // More units, all of them or none, may fit no more.
        || (offer.all_or_none && offer.quantity != than.quantity)
        || (offer.all_or_none && !than.all_or_none)
        || offer.valid_until < than.valid_until
        || offer.standby_until < than.standby_until
}
