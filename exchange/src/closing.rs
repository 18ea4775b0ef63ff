//! The close of an RFQ: clear, conclude the contracts, say who won and why the others lost.

use gavel_matcher::limits::{STANDING_CONSIDERED_MAX, STANDING_VISITED_MAX};
use gavel_matcher::{Candidate, Owner, Quote, Rfq, StandingQuote, clear};
use gavel_protocol::limits::QUANTITY_MAX;
use gavel_protocol::{
    Bug, CancelCause, CapabilityId, DurationNs, Event, Format, LossReason, Micros, Movement,
    NoQuoteReason, Offer, QuoteRef, Ranked, RankedResult, RfqClosed, RfqResult, RfqTerms,
    TimestampNs,
};
use gavel_settlement::{Ledger, return_bond};

use crate::awards::Award;
use crate::deadlines::Due;
use crate::directory::Directory;
use crate::events::Events;
use crate::exchange::Exchange;
use crate::rules::is_eligible;

impl Exchange {
    /// Lets the deadline of the RFQ in `slot` take effect.
    pub(crate) fn rfq_due(&mut self, slot: u32, out: &mut Events<'_>) {
        match self.rfqs.at(slot).terms.format {
            Format::FirstPrice | Format::SecondPrice => self.clear_rfq(slot, out),
            Format::Dutch => self.dutch_due(slot, out),
            Format::Combinatorial => self.clear_bundles(slot, out),
            Format::BuyersChoice if self.rfqs.at(slot).closed => self.pass_rfq(slot, out),
            Format::BuyersChoice => self.show_book(slot, out),
        }
    }

    /// Clears the RFQ in `slot`, or goes on with that in a further step: as long as expired standing
    /// quotes are in the way of others.
    pub(crate) fn clear_rfq(&mut self, slot: u32, out: &mut Events<'_>) {
        let ranked_before = out.ranking.len();
        self.clearing.candidates.clear();
        let rfq = *self.rfqs.at(slot);
        if rfq.terms.admits_standing() {
            let gathered = self.gather_standing(&rfq);
            self.end_expired(rfq.terms.capability, out);
            if !gathered {
                return self.deadlines.set(Due::Rfq(slot), rfq.closes_at);
            }
        }
        let rfq = self.take_out(slot, out);
        let terms = self.within_band(rfq.terms);
        let clearing_price = clear(&mut self.clearing, &terms, out.ranking);
        for index in 0..self.clearing.fills.len() {
            let fill = self.clearing.fills[index];
            self.award(&rfq, Award::of(fill), out);
        }
        self.finish(&rfq, ranked_before, clearing_price, out);
    }

    /// Ends the RFQ in `slot` without clearing it: its buyer has canceled it.
    pub(crate) fn withdraw_rfq(&mut self, slot: u32, out: &mut Events<'_>) {
        let ranked_before = out.ranking.len();
        self.clearing.candidates.clear();
        let rfq = self.take_out(slot, out);
        for candidate in &self.clearing.candidates {
            let result = RankedResult::Lost(LossReason::RfqCanceled);
            out.ranking.push(unranked(candidate, result));
            out.extend(return_sealed_bond(&mut self.ledger, candidate, &rfq.terms));
        }
        let ending = Ending {
            result: RfqResult::Canceled,
            awarded: rfq.taken.quantity,
            bundles: 0,
            clearing_price: rfq.taken.price,
        };
        self.end_rfq(&rfq, ending, ranked_before, out);
    }

    /// Takes the RFQ in `slot` out of the market, adds what competes for it, and bars what cannot win.
    pub(crate) fn take_out(&mut self, slot: u32, out: &mut Events<'_>) -> Rfq {
        self.deadlines.remove(Due::Rfq(slot));
        let decided = self.decided(slot);
        let promised = self.contracts_promised(self.rfqs.at(slot));
        let Self { rfqs, clearing, exposures, directory, .. } = self;
        let rfq = rfqs.close(slot, |quote| {
            let account = quote.owner.slots.account;
            exposures.quote_ended(account);
            match quote.declined {
                Some(reason) => out.ranking.push(declined(quote, reason)),
                None => {
                    let mut candidate = decided.candidate(quote, directory);
                    if !exposures.may_contract(account) {
                        candidate.bar(LossReason::ContractLimit);
                    }
                    clearing.candidates.push(candidate);
                }
            }
        });
        self.exposures.promise_ended(rfq.owner.slots.account, promised);
        rfq
    }

    /// Returns until when the RFQ is decided: the close, and what its buyer or its solvers may take.
    pub(crate) fn decided_by(&self, rfq: &Rfq) -> TimestampNs {
        let clearing = rfq.bundles.map(|book| self.rfqs.books.at(book).rules.clearing_within);
        let clearing = clearing.unwrap_or(DurationNs::ZERO);
        rfq.closes_at.after(rfq.terms.pick_within).after(clearing)
    }

    /// Returns what a close of the RFQ in `slot` goes by.
    pub(crate) fn decided(&self, slot: u32) -> Decided {
        let rfq = self.rfqs.at(slot);
        // The close itself, not the moment at which somebody noticed that it was due.
        let decided_by = self.decided_by(rfq);
        Decided {
            terms: rfq.terms,
            firm_until: self.clock.sequenced(decided_by),
            at: decided_by.min(self.clock.market_now()),
            picking: rfq.closed && rfq.bundles.is_none(),
        }
    }

    /// Adds the best standing quotes that can win, and those that cannot among as many of the best.
    /// What it finds expired is put aside. Returns whether that left enough to look at.
    fn gather_standing(&mut self, rfq: &Rfq) -> bool {
        let closes_at = self.clock.sequenced(rfq.closes_at);
        let Self { standing, clearing, exposures, expired, directory, .. } = self;
        let (mut looked_at, mut visited, mut considered) = (0, 0, 0);
        standing.visit_best(rfq.terms.capability, |quote| {
            looked_at += 1;
            if quote.valid_until < closes_at {
                expired.push(quote.provider);
                return true;
            }
            let owner = directory.owner_at(quote.agent_slot);
            let mut candidate = standing_candidate(quote, owner);
            Decided::bar_provider(&mut candidate, &rfq.terms, directory, rfq.closes_at);
            if owner.account == rfq.owner.account {
                candidate.bar(LossReason::SelfTrade);
            }
            if !rfq.terms.split && quote.capacity < rfq.terms.quantity {
                candidate.bar(LossReason::Unfillable);
            }
            if !exposures.may_contract(owner.slots.account) {
                candidate.bar(LossReason::ContractLimit);
            }
            visited += 1;
            if candidate.barred.is_none() {
                considered += 1;
            }
            if candidate.barred.is_none() || visited <= STANDING_CONSIDERED_MAX {
                clearing.candidates.push(candidate);
            }
            considered < STANDING_CONSIDERED_MAX
        });
        let is_cut_short =
            looked_at == STANDING_VISITED_MAX && considered < STANDING_CONSIDERED_MAX;
        expired.is_empty() || !is_cut_short
    }

    /// Returns the terms with what the capability's band leaves of the reserve: nothing is paid that
    /// nobody could have quoted.
    pub(crate) fn within_band(&self, terms: RfqTerms) -> RfqTerms {
        let band = self.directory.capability(terms.capability).ok().and_then(|known| known.band);
        let reserve = band.map_or(terms.reserve, |band| terms.reserve.min(band.high));
        RfqTerms { reserve, ..terms }
    }

    /// Ends the standing quotes that were found expired.
    fn end_expired(&mut self, capability: CapabilityId, out: &mut Events<'_>) {
        let mut expired = core::mem::take(&mut self.expired);
        for provider in expired.drain(..) {
            self.end_standing(provider, capability, CancelCause::Expired, out);
        }
        self.expired = expired;
    }

    /// Says who stands by, gives the other losers their bonds back, and ends the RFQ.
    pub(crate) fn finish(
        &mut self,
        rfq: &Rfq,
        ranked_before: usize,
        clearing_price: Option<Micros>,
        out: &mut Events<'_>,
    ) {
        let cleared = out.ranking.len() - self.clearing.candidates.len();
        if !self.clearing.fills.is_empty() {
            self.keep_standbys(rfq, clearing_price, &mut out.ranking[cleared..]);
        }
        if rfq.terms.bond_bps > 0 {
            for (index, candidate) in self.clearing.in_order().enumerate() {
                if matches!(out.ranking[cleared + index].result, RankedResult::Lost(_)) {
                    let returned = return_sealed_bond(&mut self.ledger, candidate, &rfq.terms);
                    out.extend(returned);
                }
            }
        }
        let result = match self.clearing.fills.is_empty() {
            true => RfqResult::Passed,
            false => RfqResult::Awarded,
        };
        let filled: u32 = self.clearing.fills.iter().map(|fill| fill.quantity).sum();
        let awarded = rfq.taken.quantity + filled;
        self.end_rfq(
            rfq,
            Ending { result, awarded, bundles: 0, clearing_price },
            ranked_before,
            out,
        );
    }

    /// Gives back what is left of the hold and says how the RFQ ended.
    pub(crate) fn end_rfq(
        &mut self,
        rfq: &Rfq,
        ending: Ending,
        ranked_before: usize,
        out: &mut Events<'_>,
    ) {
        let refund = self.holds.refund(&mut self.ledger, rfq.id);
        if Bug::HoldClosedTwice.is_planted() && self.ledger.apply(&refund).is_ok() {
            push_movement(refund, out);
        }
        push_movement(refund, out);
        self.exposures.rfq_ended(rfq.owner.slots.account);
        let Ending { result, awarded, bundles, clearing_price } = ending;
        let ranked = u32::try_from(out.ranking.len() - ranked_before);
        out.push(Event::RfqClosed(RfqClosed {
            rfq: rfq.id,
            buyer: rfq.owner.agent,
            capability: rfq.terms.capability,
            result,
            awarded,
            bundles,
            clearing_price,
            disclosure: rfq.terms.disclosure,
            ranked: ranked.expect("invariant: a close has at most CANDIDATES_MAX entries"),
        }));
        self.clearing.fills.clear();
    }
}

/// How an RFQ ended.
pub(crate) struct Ending {
    pub(crate) result: RfqResult,
    /// Units that were awarded, or items.
    pub(crate) awarded: u32,
    /// Bundles that were quoted.
    pub(crate) bundles: u32,
    /// The highest price per unit, or what all bundles cost together.
    pub(crate) clearing_price: Option<Micros>,
}

/// What a close goes by: the terms, and until when a quote must have been firm.
pub(crate) struct Decided {
    pub(crate) terms: RfqTerms,
    firm_until: TimestampNs,
    /// When reputations and suspensions count.
    at: TimestampNs,
    picking: bool,
}

impl Decided {
    /// Returns what a sealed quote competes with.
    pub(crate) fn candidate(&self, quote: &Quote, directory: &Directory) -> Candidate {
        let mut candidate = Candidate {
            owner: quote.owner,
            quote: QuoteRef::Sealed(quote.id),
            offer: quote.offer,
            bond: quote.bond,
            reputation_bps: quote.reputation_bps,
            priority: quote.priority,
            barred: None,
        };
        if quote.offer.valid_until < self.firm_until {
            candidate.bar(LossReason::QuoteExpired);
        }
        let shown_bps = candidate.reputation_bps;
        Self::bar_provider(&mut candidate, &self.terms, directory, self.at);
        if self.picking {
            candidate.reputation_bps = shown_bps;
        }
        candidate
    }

    /// Takes the provider's reputation as it stands, and bars who may not work for the RFQ.
    fn bar_provider(
        candidate: &mut Candidate,
        terms: &RfqTerms,
        directory: &Directory,
        at: TimestampNs,
    ) {
        let agent = directory.at(candidate.owner.slots.agent);
        candidate.reputation_bps = agent.reputation.at(at);
        if agent.fades.is_suspended(at) {
            candidate.bar(LossReason::ProviderSuspended);
        }
        if !is_eligible(agent, terms, at) {
            candidate.bar(LossReason::Ineligible);
        }
    }
}

/// Returns what a standing quote competes with: no RFQ that admits it asks for a bond.
fn standing_candidate(quote: &StandingQuote, owner: Owner) -> Candidate {
    let mut offer = Offer::new(quote.price, quote.valid_until);
    (offer.quantity, offer.latency_ms) = (quote.capacity.min(QUANTITY_MAX), quote.latency_ms);
    Candidate {
        owner,
        quote: QuoteRef::Standing,
        offer,
        bond: Micros::ZERO,
        reputation_bps: 0,
        priority: quote.priority,
        barred: None,
    }
}

/// Gives back what was put up for a sealed quote.
fn return_sealed_bond(
    ledger: &mut Ledger,
    candidate: &Candidate,
    terms: &RfqTerms,
) -> Option<Event> {
    if candidate.bond == Micros::ZERO {
        return None;
    }
    let bond = (candidate.bond, terms.currency);
    Some(Event::Moved(return_bond(ledger, candidate.owner.account, bond)))
}

/// Returns the entry of what was not ranked, because nothing was cleared.
fn unranked(candidate: &Candidate, result: RankedResult) -> Ranked {
    Ranked {
        provider: candidate.owner.agent,
        quote: candidate.quote,
        price: candidate.offer.price,
        score: Micros::ZERO,
        latency_ms: candidate.offer.latency_ms,
        reputation_bps: candidate.reputation_bps,
        rank: 0,
        result,
    }
}

/// Returns the entry of an answer without a quote.
pub(crate) fn declined(answer: &Quote, reason: NoQuoteReason) -> Ranked {
    Ranked {
        provider: answer.owner.agent,
        quote: QuoteRef::Sealed(answer.id),
        price: Micros::ZERO,
        score: Micros::ZERO,
        latency_ms: 0,
        reputation_bps: 0,
        rank: 0,
        result: RankedResult::Declined(reason),
    }
}

/// Appends a line of the ledger, unless nothing moved.
pub(crate) fn push_movement(movement: Movement, out: &mut Events<'_>) {
    if movement.amount > Micros::ZERO {
        out.push(Event::Moved(movement));
    }
}
