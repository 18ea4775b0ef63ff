//! Counts what a journal awards twice: units or items of an RFQ beyond what it asks for, a contract
//! that is concluded again, or one that is taken over by two.

use std::collections::{HashMap, HashSet};

use gavel_protocol::{Awarded, ContractId, Event, Items, RfqId, RfqOpened};
use gavel_sequencer::Batch;

/// The awards of a journal, added up without any of the exchange's code.
#[derive(Debug, Default)]
pub struct Awards {
    /// What is still to be awarded, of RFQs whose opening was seen.
    rfqs: HashMap<RfqId, Left>,
    contracts: HashSet<ContractId>,
    taken_over: HashSet<ContractId>,
    double: u64,
}

#[derive(Debug)]
struct Left {
    units: u32,
    /// Items that are gone already.
    items: Items,
}

impl Awards {
    /// Adds the awards of a batch.
    pub fn add(&mut self, batch: &Batch) {
        for step in batch.steps() {
            step.events.iter().for_each(|event| self.note(event));
        }
    }

    /// Returns how many awards there were of what had been awarded already.
    pub fn double(&self) -> u64 {
        self.double
    }

    fn note(&mut self, event: &Event) {
        if let Event::RfqOpened(opened) = event {
            self.open(opened);
        } else if let Event::Awarded(awarded) = event {
            let is_new = self.contracts.insert(awarded.contract);
            if !(self.take(awarded) && is_new) {
                self.double += 1;
            }
        }
    }

    fn open(&mut self, opened: &RfqOpened) {
        let left = Left { units: opened.terms.quantity, items: Items::EMPTY };
        self.rfqs.insert(opened.rfq, left);
    }

    /// Returns whether what is awarded was still to be had.
    fn take(&mut self, awarded: &Awarded) -> bool {
        if let Some(contract) = awarded.takes_over {
            return self.taken_over.insert(contract);
        }
        // Its opening may be in the snapshot that a replay began with.
        let Some(left) = self.rfqs.get_mut(&awarded.rfq) else { return true };
        if let Some(bundle) = awarded.bundle {
            let is_free = !left.items.meets(&bundle.items);
            left.items = left.items.or(&bundle.items);
            return is_free;
        }
        let units = left.units.checked_sub(awarded.quantity);
        left.units = units.unwrap_or(0);
        units.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_protocol::{
        AccountId, AgentId, Breakdown, BundleAward, CapabilityId, Currency, Micros, Parties,
        PaymentRule, QuoteRef, RfqTerms, TimestampNs,
    };

    const RFQ: RfqId = RfqId::new(1);
    const PRICE: Micros = Micros::new(1);

    fn opened(quantity: u32) -> Event {
        let terms = RfqTerms::plain(CapabilityId::new(2), Currency::USD, PRICE);
        Event::RfqOpened(RfqOpened {
            rfq: RFQ,
            buyer: AgentId::new(3),
            account: AccountId::new(4),
            closes_at: TimestampNs::MAX,
            terms: RfqTerms { quantity, ..terms },
        })
    }

    fn awarded(contract: u64, quantity: u32) -> Awarded {
        Awarded {
            contract: ContractId::new(contract),
            rfq: RFQ,
            parties: Parties { buyer: AgentId::new(3), provider: AgentId::new(5) },
            quote: QuoteRef::Standing,
            breakdown: Breakdown {
                price: PRICE,
                latency_ms: 0,
                latency: Micros::ZERO,
                reputation_bps: 5_000,
                reputation: Micros::ZERO,
            },
            price: PRICE,
            quantity,
            total: PRICE,
            currency: Currency::USD,
            bond: Micros::ZERO,
            start_due: None,
            delivery_due: TimestampNs::MAX,
            takes_over: None,
            bundle: None,
        }
    }

    fn bundle(contract: u64, items: &[u8]) -> Awarded {
        let items = items.iter().copied().collect();
        let (payment, payment_high) = (PaymentRule::PayAsBid, PRICE);
        let bundle = BundleAward { items, gap: None, payment, payment_high };
        Awarded { bundle: Some(bundle), ..awarded(contract, 1) }
    }

    fn take_over(contract: u64, before: u64) -> Awarded {
        Awarded { takes_over: Some(ContractId::new(before)), ..awarded(contract, 1) }
    }

    /// Returns how many of the awards for an RFQ of so many units are double.
    fn double(quantity: u32, awards: impl IntoIterator<Item = Awarded>) -> u64 {
        let mut all = Awards::default();
        all.note(&opened(quantity));
        awards.into_iter().for_each(|awarded| all.note(&Event::Awarded(awarded)));
        all.double()
    }

    #[test]
    fn units_beyond_what_was_asked_for_are_double() {
        assert_eq!(double(3, [awarded(1, 2), awarded(2, 1)]), 0);
        assert_eq!(double(3, [awarded(1, 2), awarded(2, 2)]), 1);
        assert_eq!(double(1, [awarded(1, 1), awarded(2, 1), awarded(3, 1)]), 2);
    }

    #[test]
    fn an_item_that_two_bundles_are_awarded_with_is_double() {
        assert_eq!(double(1, [bundle(1, &[0, 2]), bundle(2, &[1])]), 0);
        assert_eq!(double(1, [bundle(1, &[0, 2]), bundle(2, &[1, 2])]), 1);
    }

    #[test]
    fn a_contract_that_is_concluded_again_is_double() {
        assert_eq!(double(2, [awarded(1, 1), awarded(1, 1)]), 1);
    }

    #[test]
    fn a_take_over_is_not_double_unless_there_are_two() {
        assert_eq!(double(1, [awarded(1, 1), take_over(2, 1), take_over(3, 2)]), 0);
        assert_eq!(double(1, [awarded(1, 1), take_over(2, 1), take_over(3, 1)]), 1);
    }

    #[test]
    fn an_rfq_that_was_opened_before_has_contracts_of_its_own() {
        let mut all = Awards::default();
        for contract in [1, 2, 2] {
            all.note(&Event::Awarded(awarded(contract, 1)));
        }
        assert_eq!(all.double(), 1);
    }
}
