//! The close of an RFQ: clear, conclude the contract, say who won and why the others lost.

use gavel_matcher::limits::STANDING_CONSIDERED_MAX;
use gavel_matcher::{Candidate, Rfq, StandingQuote, clear};
use gavel_protocol::{
    Awarded, CancelCause, CapabilityId, ContractId, ContractState, DurationNs, Event, IdKind,
    LossReason, Micros, Movement, Parties, QuoteRef, Ranked, RankedResult, RfqClosed, RfqResult,
    StandingQuoteCanceled, StandingQuoteSet, TimestampNs,
};
use gavel_settlement::Contract;

use crate::deadlines::Due;
use crate::events::Events;
use crate::exchange::Exchange;

impl Exchange {
    /// Clears the RFQ in `slot`.
    pub(crate) fn close_rfq(&mut self, slot: u32, out: &mut Events<'_>) {
        self.deadlines.remove(Due::Rfq(slot));
        let rfq = self.gather(slot, out);
        let ranked_before = out.ranking.len();
        let winner = clear(&mut self.clearing, rfq.terms.reserve, out.ranking);
        let clearing_price = match winner {
            Some(winner) => {
                self.award(&rfq, winner, out);
                Some(winner.price)
            }
            None => {
                let refund = self.holds.refund(&mut self.ledger, rfq.id);
                out.push(Event::Moved(refund));
                None
            }
        };
        let result = match clearing_price {
            Some(_) => RfqResult::Awarded,
            None => RfqResult::Passed,
        };
        self.end_rfq(&rfq, result, clearing_price, ranked_before, out);
    }

    /// Ends the RFQ in `slot` without clearing it: its buyer has canceled it.
    pub(crate) fn withdraw_rfq(&mut self, slot: u32, out: &mut Events<'_>) {
        self.clearing.candidates.clear();
        let rfq = self.rfqs.close(slot, self.clock.now, &mut self.clearing.candidates);
        let refund = self.holds.refund(&mut self.ledger, rfq.id);
        out.push(Event::Moved(refund));
        let ranked_before = out.ranking.len();
        for candidate in &self.clearing.candidates {
            self.exposures.quote_ended(candidate.account);
            let Candidate { provider, quote, price, .. } = *candidate;
            let result = RankedResult::Lost(LossReason::RfqCanceled);
            out.ranking.push(Ranked { provider, quote, price, rank: 0, result });
        }
        self.end_rfq(&rfq, RfqResult::Canceled, None, ranked_before, out);
    }

    /// Gathers what competes, bars what cannot win, and takes the RFQ out of the market.
    fn gather(&mut self, slot: u32, out: &mut Events<'_>) -> Rfq {
        let Rfq { terms, closes_at, .. } = *self.rfqs.at(slot);
        // The close itself, not the moment at which somebody noticed that it was due.
        let closes_at = self.clock.sequenced(closes_at);
        let candidates = &mut self.clearing.candidates;
        candidates.clear();
        let rfq = self.rfqs.close(slot, closes_at, candidates);
        for candidate in candidates.iter() {
            self.exposures.quote_ended(candidate.account);
        }
        for candidate in candidates.iter_mut() {
            if !self.exposures.may_contract(candidate.account) {
                candidate.bar(LossReason::ContractLimit);
            }
        }
        if terms.admit_standing || terms.window == DurationNs::ZERO {
            self.gather_standing(&rfq, closes_at);
            self.end_expired(terms.capability, out);
        }
        rfq
    }

    /// Adds the best standing quotes that can win, and those that cannot among as many of the best.
    /// What it finds expired is put aside.
    fn gather_standing(&mut self, rfq: &Rfq, closes_at: TimestampNs) {
        let Self { standing, clearing, exposures, expired, .. } = self;
        let (mut visited, mut considered) = (0, 0);
        standing.visit_best(rfq.terms.capability, |quote| {
            if quote.valid_until < closes_at {
                expired.push(quote.provider);
                return true;
            }
            let mut candidate = standing_candidate(quote);
            if quote.account == rfq.account {
                candidate.bar(LossReason::SelfTrade);
            }
            if quote.capacity < rfq.terms.quantity {
                candidate.bar(LossReason::Unfillable);
            }
            if !exposures.may_contract(quote.account) {
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
    }

    /// Ends the standing quotes that were found expired.
    fn end_expired(&mut self, capability: CapabilityId, out: &mut Events<'_>) {
        for provider in self.expired.drain(..) {
            let revision = self.standing.end(provider, capability).revision;
            let cause = CancelCause::Expired;
            out.push(Event::StandingQuoteCanceled(StandingQuoteCanceled {
                capability,
                provider,
                revision,
                cause,
            }));
        }
    }

    /// Concludes the contract with the winner and moves the price into escrow.
    fn award(&mut self, rfq: &Rfq, winner: Candidate, out: &mut Events<'_>) {
        let terms = &rfq.terms;
        let total = winner.price.times(terms.quantity);
        let total = total.expect("invariant: a winner costs at most the reserve, which fits");
        let contract = ContractId::new(self.mint(IdKind::Contract));
        let parties = Parties { buyer: rfq.buyer, provider: winner.provider };
        let due = self.clock.market_now().after(terms.delivery_within);
        let founding = self.founding.as_ref();
        let settings = founding.expect("invariant: RFQs come after the founding").settings;
        let slot = self.contracts.conclude(Contract {
            id: contract,
            rfq: rfq.id,
            parties,
            buyer_account: rfq.account,
            provider_account: winner.account,
            escrow: total,
            currency: terms.currency,
            fee_ppm: settings.fee_ppm,
            acceptance_within: terms.acceptance_within,
            state: ContractState::Awarded,
            due,
            deliverable: None,
        });
        self.contracts_of_agents.add(slot, parties);
        self.deadlines.set(Due::Contract(slot), due);
        self.exposures.contract_opened(winner.account);
        out.push(Event::Awarded(Awarded {
            contract,
            rfq: rfq.id,
            parties,
            quote: winner.quote,
            price: winner.price,
            quantity: terms.quantity,
            total,
            currency: terms.currency,
            delivery_due: self.clock.sequenced(due),
        }));
        for movement in self.holds.capture(&mut self.ledger, rfq.id, total) {
            push_movement(movement, out);
        }
        if winner.quote == QuoteRef::Standing {
            self.consume_standing(rfq, winner, out);
        }
    }

    fn consume_standing(&mut self, rfq: &Rfq, winner: Candidate, out: &mut Events<'_>) {
        let capability = rfq.terms.capability;
        let rest = self.standing.consume(winner.provider, capability, rfq.terms.quantity);
        let StandingQuote { provider, revision, price, capacity, valid_until, .. } = rest;
        out.push(if rest.is_live() {
            Event::StandingQuoteSet(StandingQuoteSet {
                capability,
                provider,
                revision,
                price,
                capacity,
                valid_until,
            })
        } else {
            let cause = CancelCause::UsedUp;
            Event::StandingQuoteCanceled(StandingQuoteCanceled {
                capability,
                provider,
                revision,
                cause,
            })
        });
    }

    fn end_rfq(
        &mut self,
        rfq: &Rfq,
        result: RfqResult,
        clearing_price: Option<Micros>,
        ranked_before: usize,
        out: &mut Events<'_>,
    ) {
        self.exposures.rfq_ended(rfq.account);
        let ranked = u32::try_from(out.ranking.len() - ranked_before);
        out.push(Event::RfqClosed(RfqClosed {
            rfq: rfq.id,
            buyer: rfq.buyer,
            capability: rfq.terms.capability,
            result,
            clearing_price,
            disclosure: rfq.terms.disclosure,
            ranked: ranked.expect("invariant: a close has at most CANDIDATES_MAX entries"),
        }));
    }
}

fn standing_candidate(quote: &StandingQuote) -> Candidate {
    Candidate {
        provider: quote.provider,
        account: quote.account,
        quote: QuoteRef::Standing,
        price: quote.price,
        priority: quote.priority,
        barred: None,
    }
}

/// Appends a line of the ledger, unless nothing moved.
pub(crate) fn push_movement(movement: Movement, out: &mut Events<'_>) {
    if movement.amount > Micros::ZERO {
        out.push(Event::Moved(movement));
    }
}
