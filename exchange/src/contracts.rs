//! The life of a contract: start, deliver, accept, settle, expire.

use alloc::vec::Vec;

use gavel_matcher::{Chain, Links};
use gavel_protocol::{
    AcceptDelivery, Acceptance, AgentId, ContractExpired, ContractId, ContractSettled,
    ContractVerified, Deliver, Delivered, Event, Parties, RejectReason, StartWork, WorkStarted,
};
use gavel_settlement::limits::CONTRACTS_OPEN_MAX;
use gavel_settlement::{Closing, Contract, Deadline};
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::apply::Asker;
use crate::closing::push_movement;
use crate::deadlines::Due;
use crate::events::Events;
use crate::exchange::Exchange;
use crate::limits::AGENTS_MAX;

impl Exchange {
    pub(crate) fn start_work(
        &mut self,
        asker: Asker,
        c: &StartWork,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let slot = self.own_contract(c.contract, |parties| parties.provider == asker.agent)?;
        let Contract { id: contract, parties, .. } = *self.contracts.start(slot)?;
        out.push(Event::WorkStarted(WorkStarted { contract, parties }));
        Ok(())
    }

    pub(crate) fn deliver(
        &mut self,
        asker: Asker,
        c: &Deliver,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let slot = self.own_contract(c.contract, |parties| parties.provider == asker.agent)?;
        let now = self.clock.market_now();
        let contract = self.contracts.deliver(slot, c.deliverable, now)?;
        let Contract { id, parties, due, .. } = *contract;
        self.deadlines.set(Due::Contract(slot), due);
        out.push(Event::Delivered(Delivered {
            contract: id,
            parties,
            deliverable: c.deliverable,
            acceptance_due: self.clock.sequenced(due),
        }));
        Ok(())
    }

    pub(crate) fn accept_delivery(
        &mut self,
        asker: Asker,
        c: &AcceptDelivery,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let slot = self.own_contract(c.contract, |parties| parties.buyer == asker.agent)?;
        match self.contracts.deadline(slot) {
            Deadline::Acceptance => self.settle(slot, Acceptance::Buyer, out),
            Deadline::Delivery => return Err(RejectReason::WrongState),
        }
        Ok(())
    }

    /// Lets the deadline of a contract take effect.
    pub(crate) fn contract_due(&mut self, slot: u32, out: &mut Events<'_>) {
        match self.contracts.deadline(slot) {
            Deadline::Delivery => self.expire(slot, out),
            Deadline::Acceptance => self.settle(slot, Acceptance::Silence, out),
        }
    }

    fn settle(&mut self, slot: u32, acceptance: Acceptance, out: &mut Events<'_>) {
        let Closing { contract, paid, fee } = self.contracts.settle(&mut self.ledger, slot);
        self.forget_contract(slot, &contract);
        let (id, parties) = (contract.id, contract.parties);
        out.push(Event::ContractVerified(ContractVerified { contract: id, parties, acceptance }));
        let fee = fee.expect("invariant: a settlement names its fee, be it zero");
        out.push(Event::ContractSettled(ContractSettled {
            contract: id,
            parties,
            released: paid.amount,
            fee: fee.amount,
        }));
        push_movement(paid, out);
        push_movement(fee, out);
    }

    fn expire(&mut self, slot: u32, out: &mut Events<'_>) {
        let Closing { contract, paid, .. } = self.contracts.expire(&mut self.ledger, slot);
        self.forget_contract(slot, &contract);
        out.push(Event::ContractExpired(ContractExpired {
            contract: contract.id,
            parties: contract.parties,
            refunded: paid.amount,
        }));
        push_movement(paid, out);
    }

    fn forget_contract(&mut self, slot: u32, contract: &Contract) {
        self.deadlines.remove(Due::Contract(slot));
        self.contracts_of_agents.remove(slot, contract.parties);
        self.exposures.contract_ended(contract.provider_account);
    }

    /// Returns the slot of an open contract of which the asker is the right side. Somebody else's
    /// is as unknown as one that never was.
    fn own_contract(
        &self,
        contract: ContractId,
        is_own: impl FnOnce(Parties) -> bool,
    ) -> Result<u32, RejectReason> {
        let slot = self.contracts.slot(contract).ok_or(RejectReason::UnknownContract)?;
        if is_own(self.contracts.at(slot).parties) {
            return Ok(slot);
        }
        Err(RejectReason::UnknownContract)
    }
}

/// The open contracts of each agent, by slot: as buyer and as provider.
#[derive(Debug)]
pub(crate) struct ContractsOfAgents {
    links: Vec<SideLinks>,
    chains: HashMap<AgentId, SideChains, FxBuildHasher>,
}

#[derive(Clone, Copy, Debug, Default)]
struct SideLinks {
    as_buyer: Links,
    as_provider: Links,
}

#[derive(Clone, Copy, Debug, Default)]
struct SideChains {
    as_buyer: Chain,
    as_provider: Chain,
}

impl ContractsOfAgents {
    /// Makes room for every contract there may be.
    pub(crate) fn new() -> Self {
        Self {
            links: Vec::with_capacity(CONTRACTS_OPEN_MAX as usize),
            // Twice the number: a map never grows by rehashing below half its capacity.
            chains: HashMap::with_capacity_and_hasher(2 * AGENTS_MAX as usize, FxBuildHasher),
        }
    }

    /// Adds the contract in `slot` to its parties' chains.
    pub(crate) fn add(&mut self, slot: u32, parties: Parties) {
        if self.links.len() <= slot as usize {
            self.links.resize(slot as usize + 1, SideLinks::default());
        }
        let buyer = self.chains.entry(parties.buyer).or_default();
        buyer.as_buyer.push(self.links.as_mut_slice(), slot, as_buyer);
        let provider = self.chains.entry(parties.provider).or_default();
        provider.as_provider.push(self.links.as_mut_slice(), slot, as_provider);
    }

    /// Removes the contract in `slot` from its parties' chains.
    pub(crate) fn remove(&mut self, slot: u32, parties: Parties) {
        let buyer = self.chains.entry(parties.buyer).or_default();
        buyer.as_buyer.remove(self.links.as_mut_slice(), slot, as_buyer);
        let provider = self.chains.entry(parties.provider).or_default();
        provider.as_provider.remove(self.links.as_mut_slice(), slot, as_provider);
    }

    /// Returns the slots of an agent's contracts: as buyer, then as provider, oldest first.
    pub(crate) fn of(&self, agent: AgentId) -> impl Iterator<Item = u32> {
        let chains = self.chains.get(&agent).copied().unwrap_or_default();
        let mut bought = chains.as_buyer.first();
        let mut provided = chains.as_provider.first();
        core::iter::from_fn(move || {
            if let Some(slot) = bought {
                bought = self.links[slot as usize].as_buyer.after();
                return Some(slot);
            }
            let slot = provided?;
            provided = self.links[slot as usize].as_provider.after();
            Some(slot)
        })
    }
}

fn as_buyer(links: &mut [SideLinks], slot: u32) -> &mut Links {
    &mut links[slot as usize].as_buyer
}

fn as_provider(links: &mut [SideLinks], slot: u32) -> &mut Links {
    &mut links[slot as usize].as_provider
}
