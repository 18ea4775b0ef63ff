//! Contracts: work, payment, failure.

use super::*;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Awarded,
    Started,
    Delivered,
}

#[derive(Clone)]
pub(super) struct Contract {
    pub rfq: usize,
    pub provider: usize,
    pub price: i64,
    pub quantity: u32,
    pub latency_ms: u32,
    pub bond: i64,
    /// Which standing quote it was awarded on.
    pub standing: Option<u64>,
    pub stage: Stage,
    pub awarded_at: u64,
    pub delivered_at: u64,
    pub start_due: Option<Due>,
    pub delivery_due: Due,
    pub acceptance_due: Due,
}

impl Contract {
    pub(super) fn escrow(&self) -> i64 {
        self.price * i64::from(self.quantity)
    }

    pub(super) fn due(&self) -> Due {
        match self.stage {
            Stage::Awarded => self.start_due.unwrap_or(self.delivery_due),
            Stage::Started => self.delivery_due,
            Stage::Delivered => self.acceptance_due,
        }
    }
}

impl Twin {
    /// Begins a contract whose money is in place.
    pub(super) fn conclude(
        &mut self,
        index: usize,
        entry: &Entry,
        price: i64,
        bond: i64,
        how: &str,
    ) {
        let (buyer, who, won) = (self.rfqs[index].buyer, entry.who, entry.won);
        self.say(format!(
            "awarded {index} {who} {price} x{won} score={} reputation={} bond={bond}{how}",
            entry.score, entry.reputation
        ));
        let terms = self.rfqs[index].terms.clone();
        let due = self.due_in(terms.delivery_within);
        let start_due = (terms.start_within > 0).then(|| self.due_in(terms.start_within));
        self.parties.push((buyer, who));
        self.contracts.push(Some(Contract {
            rfq: index,
            provider: who,
            price,
            quantity: won,
            latency_ms: entry.latency_ms,
            bond,
            standing: entry.standing,
            stage: Stage::Awarded,
            awarded_at: self.now,
            delivered_at: 0,
            start_due,
            delivery_due: due,
            acceptance_due: due,
        }));
    }

    /// Returns an open contract of an agent that is its provider.
    fn contract_of(&mut self, who: usize, index: usize) -> Result<&mut Contract, Refusal> {
        let contract = self.contracts.get_mut(index).and_then(Option::as_mut);
        let contract = contract.ok_or("UnknownContract")?;
        if contract.provider == who { Ok(contract) } else { Err("UnknownContract") }
    }

    pub(super) fn start(&mut self, who: usize, index: usize) -> Result<(), Refusal> {
        let tick = self.next_tick();
        let contract = self.contract_of(who, index)?;
        if contract.stage != Stage::Awarded {
            return Err("WrongState");
        }
        contract.stage = Stage::Started;
        contract.delivery_due.1 = tick;
        Ok(())
    }

    pub(super) fn deliver(&mut self, who: usize, index: usize) -> Result<(), Refusal> {
        let contract = self.contract_of(who, index)?;
        if contract.stage == Stage::Delivered {
            return Err("WrongState");
        }
        let rfq = contract.rfq;
        let due = self.due_in(self.rfqs[rfq].terms.acceptance_within);
        let now = self.now;
        let contract = self.contract_of(who, index)?;
        contract.stage = Stage::Delivered;
        contract.delivered_at = now;
        contract.acceptance_due = due;
        Ok(())
    }

    pub(super) fn accept(&mut self, who: usize, index: usize) -> Result<(), Refusal> {
        let contract = self.contracts.get(index).and_then(Option::as_ref);
        let contract = contract.ok_or("UnknownContract")?;
        if self.rfqs[contract.rfq].buyer != who {
            return Err("UnknownContract");
        }
        if contract.stage != Stage::Delivered {
            return Err("WrongState");
        }
        self.settle(index);
        Ok(())
    }

    pub(super) fn contract_due(&mut self, index: usize) {
        match self.contracts[index].as_ref().map(|contract| contract.stage) {
            Some(Stage::Delivered) => self.settle(index),
            Some(Stage::Awarded | Stage::Started) => self.fail(index),
            None => {}
        }
    }

    /// Pays the provider, less what its lateness costs and less the fee on what is left.
    fn settle(&mut self, index: usize) {
        let Some(contract) = self.contracts[index].take() else { return };
        let (escrow, provider) = (contract.escrow(), contract.provider);
        let per_ms = self.rfqs[contract.rfq].terms.latency_per_ms;
        let took = contract.delivered_at - contract.awarded_at;
        let over = took.saturating_sub(u64::from(contract.latency_ms) * MS);
        let whole_ms = i64::try_from(over / MS).unwrap();
        let penalty = (whole_ms * per_ms * i64::from(contract.quantity)).min(escrow);
        let fee = (escrow - penalty) * FEE_PPM / 1_000_000;
        let released = escrow - penalty - fee;
        let buyer = self.rfqs[contract.rfq].buyer;
        self.purse(buyer).escrow -= escrow;
        self.purse(buyer).available += penalty;
        self.purse(provider).available += released;
        self.return_bond(provider, contract.bond);
        self.say(format!("settled {provider} {released} penalty={penalty} fee={fee}"));
        // Only a latency that was given a price is a promise.
        self.reward(provider, per_ms > 0 && whole_ms > 0);
        self.give_back(&contract);
        self.end_standbys_without_contract(contract.rfq);
    }

    /// The provider has failed: it loses its bond, and a runner-up takes over or the buyer has its
    /// money back.
    fn fail(&mut self, index: usize) {
        let Some(contract) = self.contracts[index].take() else { return };
        self.punish(contract.provider);
        self.give_back(&contract);
        if !self.take_over(&contract) {
            let (buyer, escrow) = (self.rfqs[contract.rfq].buyer, contract.escrow());
            self.purse(buyer).escrow -= escrow;
            self.purse(contract.provider).bonds -= contract.bond;
            self.purse(buyer).available += escrow + contract.bond;
            self.say(format!("expired {buyer} {escrow} {}", contract.bond));
        }
        self.end_standbys_without_contract(contract.rfq);
    }
}
