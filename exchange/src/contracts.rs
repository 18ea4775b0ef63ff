//! The life of a contract: start, deliver, accept, settle, expire, hand over.

use alloc::vec::Vec;

use gavel_matcher::{Chain, Links, Owner};
use gavel_protocol::{
    AcceptDelivery, Acceptance, AgentId, BundleAward, ContractExpired, ContractId, ContractSettled,
    ContractTakenOver, ContractVerified, Deliver, Delivered, Event, Micros, Parties, PaymentRule,
    ProviderSuspended, RejectReason, ReputationCause, ReputationChanged, StartWork, TimestampNs,
    WorkStarted,
};
use gavel_settlement::limits::CONTRACTS_OPEN_MAX;
use gavel_settlement::{Closing, Contract, Deadline, return_bond};
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::awards::{Award, standing_set};
use crate::closing::push_movement;
use crate::deadlines::Due;
use crate::events::Events;
use crate::exchange::Exchange;
use crate::limits::AGENTS_MAX;
use crate::standbys::Successors;

impl Exchange {
    pub(crate) fn start_work(
        &mut self,
        asker: Owner,
        c: &StartWork,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let slot = self.own_contract(c.contract, |parties| parties.provider == asker.agent)?;
        let contract = *self.contracts.start(slot)?;
        self.deadlines.set(Due::Contract(slot), contract.deadline().0);
        let Contract { id: contract, parties, .. } = contract;
        out.push(Event::WorkStarted(WorkStarted { contract, parties }));
        Ok(())
    }

    pub(crate) fn deliver(
        &mut self,
        asker: Owner,
        c: &Deliver,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let slot = self.own_contract(c.contract, |parties| parties.provider == asker.agent)?;
        let now = self.clock.market_now();
        let contract = *self.contracts.deliver(slot, c.deliverable, now)?;
        let (due, _) = contract.deadline();
        self.deadlines.set(Due::Contract(slot), due);
        out.push(Event::Delivered(Delivered {
            contract: contract.id,
            parties: contract.parties,
            deliverable: c.deliverable,
            acceptance_due: self.clock.sequenced(due),
        }));
        Ok(())
    }

    pub(crate) fn accept_delivery(
        &mut self,
        asker: Owner,
        c: &AcceptDelivery,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let slot = self.own_contract(c.contract, |parties| parties.buyer == asker.agent)?;
        match self.contracts.at(slot).deadline() {
            (_, Deadline::Acceptance) => self.settle(slot, Acceptance::Buyer, out),
            (_, Deadline::Start | Deadline::Delivery) => return Err(RejectReason::WrongState),
        }
        Ok(())
    }

    /// Lets the deadline of a contract take effect.
    pub(crate) fn contract_due(&mut self, slot: u32, out: &mut Events<'_>) {
        match self.contracts.at(slot).deadline() {
            (_, Deadline::Start | Deadline::Delivery) => self.fail(slot, out),
            (_, Deadline::Acceptance) => self.settle(slot, Acceptance::Silence, out),
        }
    }

    fn settle(&mut self, slot: u32, acceptance: Acceptance, out: &mut Events<'_>) {
        let at = self.decided_at(slot);
        let closing = self.contracts.settle(&mut self.ledger, slot);
        let Closing { contract, released, fee, penalty, movements, .. } = closing;
        let provider = self.forget_contract(slot, &contract);
        let (id, parties) = (contract.id, contract.parties);
        out.push(Event::ContractVerified(ContractVerified { contract: id, parties, acceptance }));
        out.push(Event::ContractSettled(ContractSettled {
            contract: id,
            parties,
            released,
            penalty,
            fee,
        }));
        out.extend(movements.into_iter().map(Event::Moved));
        let cause = match penalty {
            Micros::ZERO => ReputationCause::Settled,
            _ => ReputationCause::Late,
        };
        self.change_reputation(provider, (cause, at), out);
        self.return_capacity(&contract, out);
        self.contract_of_rfq_ended(contract.rfq, out);
    }

    /// The provider did not start or did not deliver: a runner-up takes over, or the money goes back.
    fn fail(&mut self, slot: u32, out: &mut Events<'_>) {
        // The one that failed is kept out before anybody is looked for to take over from it.
        let provider = self.contracts.at(slot).parties.provider;
        let provider = self.directory.owner(provider);
        let provider = provider.expect("invariant: whoever has a contract is enrolled");
        let at = self.decided_at(slot);
        self.directory.at_mut(provider.slots.agent).fades.add(at);
        let successors = self.successors(slot);
        match successors.is_empty() {
            false => self.hand_over(slot, &successors, out),
            true => self.expire(slot, out),
        }
        self.change_reputation(provider, (ReputationCause::Failed, at), out);
        let fades = self.directory.at(provider.slots.agent).fades;
        out.push(Event::ProviderSuspended(ProviderSuspended {
            provider: provider.agent,
            until: self.clock.sequenced(fades.suspended_until),
            fades: fades.count,
        }));
    }

    fn expire(&mut self, slot: u32, out: &mut Events<'_>) {
        let closing = self.contracts.expire(&mut self.ledger, slot);
        let Closing { contract, refunded, compensation, movements, .. } = closing;
        self.forget_contract(slot, &contract);
        out.push(Event::ContractExpired(ContractExpired {
            contract: contract.id,
            parties: contract.parties,
            refunded,
            compensation,
        }));
        out.extend(movements.into_iter().map(Event::Moved));
        self.return_capacity(&contract, out);
        self.contract_of_rfq_ended(contract.rfq, out);
    }

    /// Lets quotes that stand by take over the contract in `slot`, each at its own price, with times
    /// that begin now. What their bundles leave of its items goes back to the buyer.
    fn hand_over(&mut self, slot: u32, successors: &Successors, out: &mut Events<'_>) {
        let quantity = self.contracts.at(slot).quantity;
        let prices = successors.iter().map(|slot| self.standbys.at(slot).candidate.offer.price);
        let total = prices.map(|price| price.times(quantity));
        let total = total.into_iter().try_fold(Micros::ZERO, |sum, price| sum.plus(price?));
        let total = total.expect("invariant: checked before they take over");
        let closing = self.contracts.hand_over(&mut self.ledger, slot, total);
        let Closing { contract, compensation, movements, .. } = closing;
        self.forget_contract(slot, &contract);
        let first = successors.iter().next().expect("somebody takes over");
        out.push(Event::ContractTakenOver(ContractTakenOver {
            contract: contract.id,
            parties: contract.parties,
            successor: self.standbys.at(first).candidate.owner.agent,
            compensation,
        }));
        out.extend(movements.into_iter().map(Event::Moved));
        self.contract_of_rfq_divided(contract.rfq, successors.len());
        for successor in successors.iter() {
            self.take_over(&contract, successor, out);
        }
        self.return_capacity(&contract, out);
    }

    /// Concludes the contract of one that takes over.
    fn take_over(&mut self, contract: &Contract, successor: u32, out: &mut Events<'_>) {
        let (standby, group) = self.end_standby_taking_over(successor, out);
        let winner = standby.candidate;
        let (quantity, price) = (contract.quantity, winner.offer.price);
        let bundle = standby.bundle.map(|bundle| BundleAward {
            items: bundle.items,
            gap: None,
            payment: PaymentRule::PayAsBid,
            payment_high: price,
        });
        let award = Award { winner, quantity, price, takes_over: Some(contract.id), bundle };
        let bond = self.contract_bond(&group.terms, &award);
        self.conclude((contract.rfq, group.buyer), &group.terms, &award, bond, out);
        let rest = winner.bond.minus(bond).expect("a part of the bond");
        let rest = (rest, contract.currency);
        push_movement(return_bond(&mut self.ledger, winner.owner.account, rest), out);
    }

    /// Gives units back to the standing quote that they were awarded on.
    fn return_capacity(&mut self, contract: &Contract, out: &mut Events<'_>) {
        let Some(revision) = contract.standing_revision else { return };
        let (provider, capability) = (contract.parties.provider, contract.capability);
        let units = (revision, contract.quantity);
        if let Some(quote) = self.standing.give_back(provider, capability, units) {
            out.push(standing_set(&quote));
        }
    }

    /// Returns when the contract in `slot` is decided: now, or when it was due, should that have been
    /// noticed later.
    fn decided_at(&self, slot: u32) -> TimestampNs {
        let (due, _) = self.contracts.at(slot).deadline();
        due.min(self.clock.market_now())
    }

    fn change_reputation(
        &mut self,
        provider: Owner,
        (cause, at): (ReputationCause, TimestampNs),
        out: &mut Events<'_>,
    ) {
        let reputation = &mut self.directory.at_mut(provider.slots.agent).reputation;
        let from_bps = reputation.at(at);
        reputation.change(cause, at);
        let (agent, to_bps) = (provider.agent, reputation.at(at));
        out.push(Event::ReputationChanged(ReputationChanged { agent, from_bps, to_bps, cause }));
    }

    /// Forgets an open contract, and returns its provider.
    fn forget_contract(&mut self, slot: u32, contract: &Contract) -> Owner {
        self.deadlines.remove(Due::Contract(slot));
        self.contracts_of_agents.remove(slot, contract.parties);
        let provider = self.directory.owner(contract.parties.provider);
        let provider = provider.expect("invariant: whoever has a contract is enrolled");
        self.exposures.contract_ended(provider.slots.account);
        provider
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
