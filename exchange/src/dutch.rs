//! Dutch RFQs: taking at the price of the moment, and clocks that a halt stops.

use gavel_matcher::{Candidate, Owner, Rfq, Taken};
use gavel_protocol::limits::AWARDS_PER_RFQ_MAX;
use gavel_protocol::{
    ContractId, DurationNs, Event, Format, Micros, Offer, QuoteRef, RejectReason, RfqResult,
    RfqTaken, TakeRfq, TimestampNs,
};

use crate::awards::Award;
use crate::closing::Ending;
use crate::deadlines::Due;
use crate::events::Events;
use crate::exchange::Exchange;
use crate::limits::STOPPED_PER_STEP_MAX;
use crate::quotes::{bond_for, check_signature};
use crate::rfqs::contracts_of;

impl Exchange {
    pub(crate) fn take_rfq(
        &mut self,
        asker: Owner,
        c: &TakeRfq,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        if c.signature.is_none() {
            self.check_unsigned()?;
        }
        let slot = self.open_rfq_slot(c.rfq)?;
        let rfq = *self.rfqs.at(slot);
        self.check_not_halted(rfq.terms.capability)?;
        check_signature(&rfq, c.signature.as_deref())?;
        if rfq.terms.format != Format::Dutch {
            return Err(RejectReason::WrongFormat);
        }
        self.check_may_answer(asker, &rfq)?;
        if !rfq.terms.split && c.quantity < rfq.terms.quantity {
            return Err(RejectReason::QuantityTooSmall);
        }
        let price = self.price_for(slot, asker)?;
        self.check_band(rfq.terms.capability, price)?;
        if price < c.limit {
            return Err(RejectReason::BelowLimit);
        }
        if !self.exposures.may_contract(asker.slots.account) {
            return Err(RejectReason::ContractLimit);
        }
        if rfq.taken.times >= AWARDS_PER_RFQ_MAX {
            return Err(RejectReason::RfqFull);
        }
        let quantity = c.quantity.min(rfq.terms.quantity - rfq.taken.quantity);
        let award = self.award_of_take(asker, &rfq, price, quantity)?;

        let first = out.len();
        let taken = RfqTaken {
            rfq: rfq.id,
            capability: rfq.terms.capability,
            contract: ContractId::new(0),
            price,
            quantity,
            remaining: rfq.terms.quantity - rfq.taken.quantity - quantity,
        };
        out.push(Event::RfqTaken(taken));
        let contract = self.award(&rfq, award, out);
        out.replace(first, Event::RfqTaken(RfqTaken { contract, ..taken }));
        let times = rfq.taken.times + 1;
        let quantity = rfq.taken.quantity + quantity;
        // Who had the first word may have been paid more than who came after it.
        let highest = rfq.taken.price.max(Some(price));
        let now_taken = Taken { quantity, times, price: highest };
        self.rfqs.at_mut(slot).taken = now_taken;
        let left = contracts_of(&rfq.terms, now_taken);
        let kept = contracts_of(&rfq.terms, rfq.taken) - left;
        self.exposures.promise_ended(rfq.owner.slots.account, kept);
        if taken.remaining == 0 {
            self.end_dutch(slot, out);
        }
        Ok(())
    }

    /// Returns the price that a provider gets at this moment.
    fn price_for(&self, slot: u32, asker: Owner) -> Result<Micros, RejectReason> {
        let dutch = self.rfqs.dutch(slot).expect("invariant: a Dutch RFQ has its curve");
        let elapsed = self.elapsed(self.rfqs.at(slot));
        dutch.price_for(asker.agent, elapsed).map_err(|_| RejectReason::Exclusive)
    }

    /// Returns what is awarded to a taker, if it can put up the bond.
    fn award_of_take(
        &self,
        owner: Owner,
        rfq: &Rfq,
        price: Micros,
        quantity: u32,
    ) -> Result<Award, RejectReason> {
        let mut offer = Offer::new(price, TimestampNs::MAX);
        offer.quantity = quantity;
        let bond = bond_for(&offer, &rfq.terms)?;
        let available = self.ledger.balance(owner.account, rfq.terms.currency).available;
        if bond > available {
            return Err(RejectReason::InsufficientFunds);
        }
        let reputation_bps =
            self.directory.at(owner.slots.agent).reputation.at(self.clock.market_now());
        let winner = Candidate {
            owner,
            quote: QuoteRef::Take,
            offer,
            bond,
            reputation_bps,
            priority: self.seq,
            barred: None,
        };
        Ok(Award { winner, quantity, price, takes_over: None, bundle: None })
    }

    /// Returns the time since an RFQ was opened, without halts.
    fn elapsed(&self, rfq: &Rfq) -> DurationNs {
        let stopped = self.stopped_until_now(rfq.terms.capability);
        let began = rfq.opened_at.after(stopped).before(rfq.stopped_before);
        self.clock.market_now().since(began)
    }

    /// Lets the deadline of a Dutch RFQ take effect: the close, unless a halt has moved it.
    pub(crate) fn dutch_due(&mut self, slot: u32, out: &mut Events<'_>) {
        let rfq = *self.rfqs.at(slot);
        let left = rfq.terms.window.nanos().saturating_sub(self.elapsed(&rfq).nanos());
        if left == 0 {
            return self.end_dutch(slot, out);
        }
        if self.is_stopped(&rfq) {
            self.deadlines.remove(Due::Rfq(slot));
            self.stopped.push_back(rfq.id);
            return;
        }
        let closes_at = self.clock.market_now().after(DurationNs::from_nanos(left));
        self.rfqs.at_mut(slot).closes_at = closes_at;
        self.deadlines.set(Due::Rfq(slot), closes_at);
    }

    /// Lets the Dutch RFQs whose deadline came while they stood still go on, for one step. Returns how
    /// many were looked at.
    pub(crate) fn restart(&mut self, out: &mut Events<'_>) -> u32 {
        let mut restarted = 0;
        while self.stopped_to_check > 0 && restarted < STOPPED_PER_STEP_MAX {
            let id = self.stopped.pop_front().expect("invariant: counted when they were put there");
            self.stopped_to_check -= 1;
            restarted += 1;
            // One that was canceled in the meantime is gone.
            if let Some(slot) = self.rfqs.slot(id) {
                self.dutch_due(slot, out);
            }
        }
        restarted
    }

    fn is_stopped(&self, rfq: &Rfq) -> bool {
        let capability = self.directory.capability(rfq.terms.capability);
        capability.is_ok_and(|capability| capability.stops.since.is_some())
    }

    fn end_dutch(&mut self, slot: u32, out: &mut Events<'_>) {
        let ranked_before = out.ranking.len();
        self.clearing.candidates.clear();
        let rfq = self.take_out(slot, out);
        let result = match rfq.taken.times {
            0 => RfqResult::Passed,
            _ => RfqResult::Awarded,
        };
        let (awarded, clearing_price) = (rfq.taken.quantity, rfq.taken.price);
        let ending = Ending { result, awarded, bundles: 0, clearing_price };
        self.end_rfq(&rfq, ending, ranked_before, out);
    }
}
