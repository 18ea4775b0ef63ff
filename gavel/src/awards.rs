//! Counts what a journal awards twice: units or items beyond what an RFQ asks for, or a contract that
//! failed has left, and a contract that is concluded again.

use std::collections::{HashMap, HashSet};

use gavel_protocol::limits::ITEMS_MAX;
use gavel_protocol::{Awarded, Command, ContractId, Event, Items, RfqId};
use gavel_sequencer::Batch;

/// The awards of a journal, added up without any of the exchange's code.
#[derive(Debug, Default)]
pub struct Awards {
    /// What can still be awarded, of RFQs and contracts whose beginning was seen.
    left: HashMap<Source, Left>,
    contracts: HashSet<ContractId>,
    double: u64,
}

/// What an award is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    Rfq(RfqId),
    /// A contract that failed: others take it over, whole or in parts.
    Contract(ContractId),
}

#[derive(Debug)]
struct Left {
    units: u32,
    items: Items,
    /// Those that are gone already.
    gone: Items,
    /// Whether an item may go more than once.
    free_disposal: bool,
}

impl Awards {
    /// Adds the awards of a batch.
    pub fn add(&mut self, batch: &Batch) {
        for step in batch.steps() {
            let command = &step.stamped.request.command;
            let free_disposal = matches!(command, Command::OpenRfq(open)
                if open.bundles.as_ref().is_some_and(|terms| terms.free_disposal));
            step.events.iter().for_each(|event| self.note(event, free_disposal));
        }
    }

    /// Returns how many awards there were of what had been awarded already.
    pub fn double(&self) -> u64 {
        self.double
    }

    fn note(&mut self, event: &Event, free_disposal: bool) {
        if let Event::RfqOpened(opened) = event {
            let (units, items) = (opened.terms.quantity, Items::first(ITEMS_MAX));
            let left = Left { units, items, gone: Items::EMPTY, free_disposal };
            self.left.insert(Source::Rfq(opened.rfq), left);
        } else if let Event::Awarded(awarded) = event {
            let is_new = self.contracts.insert(awarded.contract);
            if !(self.take(awarded) && is_new) {
                self.double += 1;
            }
            let items = awarded.bundle.map_or(Items::EMPTY, |bundle| bundle.items);
            let (units, gone) = (awarded.quantity, Items::EMPTY);
            let left = Left { units, items, gone, free_disposal: false };
            self.left.insert(Source::Contract(awarded.contract), left);
        }
    }

    /// Returns whether what is awarded was still to be had.
    fn take(&mut self, awarded: &Awarded) -> bool {
        let source = awarded.takes_over.map_or(Source::Rfq(awarded.rfq), Source::Contract);
        // Where it began may be in the snapshot that a replay began with.
        let Some(left) = self.left.get_mut(&source) else { return true };
        if let Some(bundle) = awarded.bundle {
            let is_free = left.free_disposal || !left.gone.meets(&bundle.items);
            left.gone = left.gone.or(&bundle.items);
            return is_free && bundle.items.is_within(&left.items);
        }
        let units = left.units.checked_sub(awarded.quantity);
        left.units = units.unwrap_or(0);
        units.is_some()
    }
}

#[cfg(test)]
mod tests {
    use gavel_exchange::Exchange;
    use gavel_protocol::{
        AccountId, AgentId, Breakdown, BundleAward, CapabilityId, Currency, Micros, Parties,
        PaymentRule, QuoteRef, RfqOpened, RfqTerms, TimestampNs,
    };
    use gavel_simulator::scenario::run;

    use super::*;

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
        all.note(&opened(quantity), false);
        awards.into_iter().for_each(|awarded| all.note(&Event::Awarded(awarded), false));
        all.double()
    }

    /// No rule of the market awards anything twice, and each has its scenario.
    #[test]
    fn what_the_rules_bring_about_is_never_double() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/scenarios");
        let mut awarded = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let journal = run(&std::fs::read_to_string(&path).unwrap()).unwrap().journal;
            let (mut exchange, mut batch) = (Exchange::new(), Batch::default());
            for stamped in journal {
                exchange.apply(&stamped, &mut batch.out());
                batch.end_step(stamped, None);
            }
            let mut all = Awards::default();
            all.add(&batch);
            assert_eq!(all.double(), 0, "{}", path.display());
            awarded += all.contracts.len();
        }
        assert!(awarded > 50, "only {awarded} awards");
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
    fn items_of_a_contract_that_failed_are_taken_over_once() {
        let over = |contract, items: &[u8]| Awarded {
            takes_over: Some(ContractId::new(1)),
            ..bundle(contract, items)
        };
        assert_eq!(double(1, [bundle(1, &[0, 1, 2]), over(2, &[0, 1]), over(3, &[2])]), 0);
        assert_eq!(double(1, [bundle(1, &[0, 1, 2]), over(2, &[0, 1]), over(3, &[1])]), 1);
        assert_eq!(double(1, [bundle(1, &[0, 1, 2]), over(2, &[3])]), 1);
    }

    #[test]
    fn an_rfq_that_was_opened_before_has_contracts_of_its_own() {
        let mut all = Awards::default();
        for contract in [1, 2, 2] {
            all.note(&Event::Awarded(awarded(contract, 1)), false);
        }
        assert_eq!(all.double(), 1);
    }
}
