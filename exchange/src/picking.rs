//! Buyer's choice: the book is shown to the buyer at the close, and it picks.

use gavel_matcher::{Fill, Owner, Rfq, rank};
use gavel_protocol::{
    BookShown, Event, Format, LossReason, PickQuote, QuotePicked, QuoteRef, RankedResult,
    RejectReason,
};

use crate::awards::Award;
use crate::deadlines::Due;
use crate::events::Events;
use crate::exchange::Exchange;

impl Exchange {
    /// Shows the book of the RFQ in `slot` to its buyer, who may pick from now on. An empty one
    /// passes.
    pub(crate) fn show_book(&mut self, slot: u32, out: &mut Events<'_>) {
        let ranked_before = out.ranking.len();
        let decided = self.decided(slot);
        let Self { rfqs, clearing, directory, .. } = self;
        clearing.candidates.clear();
        rfqs.visit_answers(slot, |quote| {
            if quote.declined.is_none() {
                let candidate = decided.candidate(quote, directory);
                quote.reputation_bps = candidate.reputation_bps;
                clearing.candidates.push(candidate);
            }
        });
        if clearing.candidates.is_empty() {
            return self.pass_rfq(slot, out);
        }
        let terms = self.within_band(decided.terms);
        rank(&mut self.clearing, &terms, out.ranking);
        let rfq = self.rfqs.at_mut(slot);
        rfq.closed = true;
        let Rfq { id, owner, closes_at, terms, .. } = *rfq;
        let pick_until = closes_at.after(terms.pick_within);
        self.deadlines.set(Due::Rfq(slot), pick_until);
        let ranked = u32::try_from(out.ranking.len() - ranked_before);
        out.push(Event::BookShown(BookShown {
            rfq: id,
            buyer: owner.agent,
            pick_until: self.clock.sequenced(pick_until),
            ranked: ranked.expect("invariant: a close has at most CANDIDATES_MAX entries"),
        }));
    }

    pub(crate) fn pick_quote(
        &mut self,
        asker: Owner,
        c: &PickQuote,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let slot = self.open_rfq_slot(c.rfq)?;
        let rfq = *self.rfqs.at(slot);
        if rfq.owner.agent != asker.agent {
            return Err(RejectReason::UnknownRfq);
        }
        if rfq.terms.format != Format::BuyersChoice {
            return Err(RejectReason::WrongFormat);
        }
        if !rfq.closed {
            return Err(RejectReason::WrongState);
        }
        let quote = self.rfqs.quote(c.quote).filter(|quote| quote.rfq == c.rfq);
        let quote = quote.filter(|quote| quote.declined.is_none());
        let quote = quote.ok_or(RejectReason::UnknownQuote)?;
        let candidate = self.decided(slot).candidate(quote, &self.directory);
        if candidate.barred.is_some() || candidate.offer.price > self.within_band(rfq.terms).reserve
        {
            return Err(RejectReason::NotEligible);
        }
        self.check_band(rfq.terms.capability, candidate.offer.price)?;
        if !self.exposures.may_contract(candidate.owner.slots.account) {
            return Err(RejectReason::ContractLimit);
        }

        out.push(Event::QuotePicked(QuotePicked { rfq: rfq.id, quote: c.quote }));
        self.decide(slot, Some(QuoteRef::Sealed(c.quote)), out);
        Ok(())
    }

    /// Ends the RFQ in `slot` without an award: its buyer has picked nothing.
    pub(crate) fn pass_rfq(&mut self, slot: u32, out: &mut Events<'_>) {
        self.decide(slot, None, out);
    }

    /// Awards the RFQ in `slot` to what was picked, and tells the others.
    fn decide(&mut self, slot: u32, picked: Option<QuoteRef>, out: &mut Events<'_>) {
        let ranked_before = out.ranking.len();
        self.clearing.candidates.clear();
        let rfq = self.take_out(slot, out);
        let cleared = out.ranking.len();
        let terms = self.within_band(rfq.terms);
        rank(&mut self.clearing, &terms, out.ranking);
        self.clearing.fills.clear();
        let winner = self.clearing.in_order().find(|candidate| Some(candidate.quote) == picked);
        if let Some(winner) = winner.copied() {
            let (quantity, price) = (rfq.terms.quantity, winner.offer.price);
            self.clearing.fills.push(Fill { winner, quantity, price });
        }
        let lost = match picked {
            Some(_) => LossReason::DoneAway,
            None => LossReason::RfqPassed,
        };
        for entry in &mut out.ranking[cleared..] {
            match entry.result {
                RankedResult::Shown if Some(entry.quote) == picked => {
                    entry.result = RankedResult::Won;
                }
                RankedResult::Shown => entry.result = RankedResult::Lost(lost),
                RankedResult::Won
                | RankedResult::Lost(_)
                | RankedResult::Standby(_)
                | RankedResult::Declined(_) => {}
            }
        }
        let clearing_price = self.clearing.fills.first().map(|fill| fill.price);
        if let Some(fill) = self.clearing.fills.first().copied() {
            self.award(&rfq, Award::of(fill), out);
        }
        self.finish(&rfq, ranked_before, clearing_price, out);
    }
}
