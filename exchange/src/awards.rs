//! Awards: the contract is concluded, and its price lies in escrow.

use gavel_matcher::{Candidate, Fill, Owner, Rfq, StandingQuote};
use gavel_protocol::{
    AgentId, Awarded, BundleAward, CancelCause, CapabilityId, ContractId, ContractState,
    DurationNs, Event, IdKind, Micros, Parties, QuoteRef, RfqId, RfqTerms, StandingQuoteCanceled,
    StandingQuoteSet,
};
use gavel_settlement::{Contract, LatencyClause, post_bond, return_bond};

use crate::closing::push_movement;
use crate::deadlines::Due;
use crate::events::Events;
use crate::exchange::Exchange;

/// What is awarded to whom.
pub(crate) struct Award {
    pub(crate) winner: Candidate,
    pub(crate) quantity: u32,
    /// What is paid per unit.
    pub(crate) price: Micros,
    /// The contract that it takes the place of.
    pub(crate) takes_over: Option<ContractId>,
    /// What it rests on, if it is for a bundle.
    pub(crate) bundle: Option<BundleAward>,
}

impl Award {
    /// Awards what a clearing has given.
    pub(crate) fn of(fill: Fill) -> Self {
        let Fill { winner, quantity, price } = fill;
        Self { winner, quantity, price, takes_over: None, bundle: None }
    }

    /// Returns what the buyer pays in all.
    fn total(&self) -> Micros {
        let total = self.price.times(self.quantity);
        total.expect("invariant: a winner costs at most the reserve, which fits")
    }
}

impl Exchange {
    /// Concludes the contract with a winner, moves its price from the hold into escrow, and lets the
    /// bond be as large as what was awarded asks for.
    pub(crate) fn award(&mut self, rfq: &Rfq, award: Award, out: &mut Events<'_>) -> ContractId {
        let bond = self.contract_bond(&rfq.terms, &award);
        let total = award.total();
        let id = self.conclude((rfq.id, rfq.owner), &rfq.terms, &award, bond, out);
        push_movement(self.holds.capture(&mut self.ledger, rfq.id, total), out);
        let account = award.winner.owner.account;
        match award.winner.quote {
            QuoteRef::Sealed(_) => {
                let rest = award.winner.bond.minus(bond).expect("a part of the bond");
                let rest = (rest, rfq.terms.currency);
                push_movement(return_bond(&mut self.ledger, account, rest), out);
            }
            QuoteRef::Take => {
                let posted = post_bond(&mut self.ledger, account, (bond, rfq.terms.currency));
                push_movement(posted.expect("invariant: who cannot put it up may not take"), out);
            }
            // No bond is put up for bundles.
            QuoteRef::Bundle(_) => {}
            QuoteRef::Standing => self.consume_standing(rfq.terms.capability, &award, out),
        }
        id
    }

    /// Concludes a contract and says so.
    pub(crate) fn conclude(
        &mut self,
        (rfq, buyer): (RfqId, Owner),
        terms: &RfqTerms,
        award: &Award,
        bond: Micros,
        out: &mut Events<'_>,
    ) -> ContractId {
        let winner = &award.winner;
        let id = ContractId::new(self.mint(IdKind::Contract));
        let parties = Parties { buyer: buyer.agent, provider: winner.owner.agent };
        let now = self.clock.market_now();
        let starts = terms.start_within > DurationNs::ZERO;
        let contract = Contract {
            id,
            rfq,
            capability: terms.capability,
            parties,
            buyer_account: buyer.account,
            provider_account: winner.owner.account,
            quantity: award.quantity,
            items: award.bundle.map(|bundle| bundle.items),
            escrow: award.total(),
            bond,
            currency: terms.currency,
            fee_ppm: self.settings().fee_ppm,
            latency: latency_clause(terms, award),
            standing_revision: self.standing_revision(winner, terms.capability),
            awarded_at: now,
            start_due: starts.then_some(now.after(terms.start_within)),
            delivery_due: now.after(terms.delivery_within),
            acceptance_within: terms.acceptance_within,
            state: ContractState::Awarded,
            delivered_at: None,
            deliverable: None,
        };
        let slot = self.contracts.conclude(contract);
        self.contracts_of_agents.add(slot, parties);
        self.deadlines.set(Due::Contract(slot), contract.deadline().0);
        self.exposures.contract_opened(winner.owner.slots.account);
        out.push(Event::Awarded(Awarded {
            contract: id,
            rfq,
            parties,
            quote: winner.quote,
            breakdown: winner.breakdown(terms),
            price: award.price,
            quantity: award.quantity,
            total: contract.escrow,
            currency: terms.currency,
            bond,
            start_due: contract.start_due.map(|due| self.clock.sequenced(due)),
            delivery_due: self.clock.sequenced(contract.delivery_due),
            takes_over: award.takes_over,
            bundle: award.bundle,
        }));
        id
    }

    /// Returns what a winner puts up for what it was awarded: never more than for what it offered.
    pub(crate) fn contract_bond(&self, terms: &RfqTerms, award: &Award) -> Micros {
        if terms.bond_bps == 0 {
            return Micros::ZERO;
        }
        let asked = award.winner.offer.price.times(award.quantity);
        let bond = asked.and_then(|asked| asked.bps_rounded_up(terms.bond_bps));
        bond.expect("invariant: a part of an offer whose bond fits").min(award.winner.bond)
    }

    fn standing_revision(&self, winner: &Candidate, capability: CapabilityId) -> Option<u64> {
        match winner.quote {
            QuoteRef::Sealed(_) | QuoteRef::Take | QuoteRef::Bundle(_) => None,
            QuoteRef::Standing => {
                self.standing.of(winner.owner.agent, capability).map(|quote| quote.revision)
            }
        }
    }

    fn consume_standing(&mut self, capability: CapabilityId, award: &Award, out: &mut Events<'_>) {
        let provider = award.winner.owner.agent;
        let rest = self.standing.consume(provider, capability, award.quantity);
        if rest.is_live() {
            out.push(standing_set(&rest));
        } else {
            let (revision, cause) = (rest.revision, CancelCause::UsedUp);
            out.push(standing_ended(provider, capability, revision, cause));
        }
    }

    /// Ends a live standing quote and says so.
    pub(crate) fn end_standing(
        &mut self,
        provider: AgentId,
        capability: CapabilityId,
        cause: CancelCause,
        out: &mut Events<'_>,
    ) {
        let revision = self.standing.end(provider, capability).revision;
        out.push(standing_ended(provider, capability, revision, cause));
    }
}

/// The clause that a quoted latency becomes, where the RFQ gave it a price.
fn latency_clause(terms: &RfqTerms, award: &Award) -> LatencyClause {
    let penalty = terms.scoring.latency_per_ms.times(award.quantity);
    LatencyClause {
        quoted_ms: award.winner.offer.latency_ms,
        // A weight too large to multiply takes all of the escrow with the first millisecond.
        penalty_per_ms: penalty.unwrap_or(Micros::new(i64::MAX)),
    }
}

/// Returns the event of a standing quote that is as it is now.
pub(crate) fn standing_set(quote: &StandingQuote) -> Event {
    let StandingQuote { capability, provider, revision, price, .. } = *quote;
    Event::StandingQuoteSet(StandingQuoteSet {
        capability,
        provider,
        revision,
        price,
        latency_ms: quote.latency_ms,
        capacity: quote.capacity,
        valid_until: quote.valid_until,
    })
}

/// Returns the event of a standing quote that ended.
pub(crate) fn standing_ended(
    provider: AgentId,
    capability: CapabilityId,
    revision: u64,
    cause: CancelCause,
) -> Event {
    Event::StandingQuoteCanceled(StandingQuoteCanceled { capability, provider, revision, cause })
}
