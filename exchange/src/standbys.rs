//! Standbys: losers that stay ready to take over from a winner that fails.

use gavel_matcher::index::{self, Index};
use gavel_matcher::{Candidate, Chain, Links, Owner, Rfq};
use gavel_protocol::limits::STANDBYS_PER_RFQ_MAX;
use gavel_protocol::{
    Disclosure, Event, LossReason, Micros, QuoteId, QuoteRef, Ranked, RankedResult, RfqId,
    RfqTerms, StandbyEnded,
};
use gavel_settlement::{Contract, return_bond};
use slab::Slab;

use crate::closing::push_movement;
use crate::deadlines::Due;
use crate::events::Events;
use crate::exchange::Exchange;
use crate::limits::STANDBYS_MAX;
use crate::rules::is_eligible;

/// The quotes that stand by, best first within each RFQ.
#[derive(Debug)]
pub(crate) struct Standbys {
    groups: Slab<(RfqId, Group)>,
    places: Index,
    all: Slab<Standby>,
}

/// What stands by for the contracts of one RFQ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    /// Who asked.
    pub(crate) buyer: Owner,
    /// For what.
    pub(crate) terms: RfqTerms,
    /// Contracts that are open.
    pub(crate) contracts: u32,
    /// What those that lose learn of the winning price.
    pub(crate) winning_price: Option<Micros>,
    chain: Chain,
}

/// A quote that stands by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standby {
    /// For which RFQ.
    pub(crate) rfq: RfqId,
    /// What it would lose with.
    pub(crate) candidate: Candidate,
    /// Why it would lose.
    pub(crate) reason: LossReason,
    /// Its place at the close.
    pub(crate) rank: u32,
    links: Links,
}

impl Group {
    /// Describes a group without quotes.
    pub(crate) fn new(
        buyer: Owner,
        terms: RfqTerms,
        contracts: u32,
        winning_price: Option<Micros>,
    ) -> Self {
        Self { buyer, terms, contracts, winning_price, chain: Chain::default() }
    }
}

impl Standby {
    /// Describes a quote that stands by.
    pub(crate) fn new(rfq: RfqId, candidate: Candidate, reason: LossReason, rank: u32) -> Self {
        Self { rfq, candidate, reason, rank, links: Links::default() }
    }

    /// Returns its quote.
    pub(crate) fn quote(&self) -> QuoteId {
        match self.candidate.quote {
            QuoteRef::Sealed(quote) => quote,
            QuoteRef::Standing | QuoteRef::Take => {
                panic!("invariant: only sealed quotes stand by")
            }
        }
    }
}

impl Standbys {
    /// Makes room for everything that may stand by.
    pub(crate) fn new() -> Self {
        Self {
            groups: Slab::with_capacity(STANDBYS_MAX as usize),
            places: Index::new(STANDBYS_MAX),
            all: Slab::with_capacity(STANDBYS_MAX as usize),
        }
    }

    /// Adds a group without quotes.
    pub(crate) fn add_group(&mut self, rfq: RfqId, group: Group) {
        let place = u32::try_from(self.groups.insert((rfq, group))).expect("fewer than standbys");
        self.places.insert(index::hash([rfq.raw()]), place);
    }

    /// Adds a quote to its group, behind those that are there, and returns its slot.
    pub(crate) fn add(&mut self, standby: Standby) -> u32 {
        let slot = u32::try_from(self.all.insert(standby)).expect("fewer than STANDBYS_MAX");
        let group = self.place(standby.rfq).expect("invariant: a group comes before its quotes");
        let (_, group) = &mut self.groups[group as usize];
        group.chain.push(&mut self.all, slot, links);
        slot
    }

    /// Returns the quote in a slot.
    pub(crate) fn at(&self, slot: u32) -> &Standby {
        &self.all[slot as usize]
    }

    /// Returns every group, in no particular order.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (RfqId, &Group)> {
        self.groups.iter().map(|(_, (rfq, group))| (*rfq, group))
    }

    fn is_full(&self) -> bool {
        self.all.len() >= STANDBYS_MAX as usize
    }

    fn first_of(&self, rfq: RfqId) -> Option<u32> {
        self.group(rfq)?.chain.first()
    }

    fn group(&self, rfq: RfqId) -> Option<&Group> {
        self.place(rfq).map(|place| &self.groups[place as usize].1)
    }

    fn place(&self, rfq: RfqId) -> Option<u32> {
        let is_it = |place: u32| self.groups[place as usize].0 == rfq;
        self.places.find(index::hash([rfq.raw()]), is_it)
    }

    /// Returns the quotes of an RFQ with their slots, best first.
    fn of(&self, rfq: RfqId) -> impl Iterator<Item = (u32, &Standby)> {
        let mut next = self.first_of(rfq);
        core::iter::from_fn(move || {
            let slot = next?;
            let standby = self.at(slot);
            next = standby.links.after();
            Some((slot, standby))
        })
    }

    /// Removes the quote in a slot, and returns it and its group.
    fn remove(&mut self, slot: u32) -> (Standby, Group) {
        let rfq = self.at(slot).rfq;
        let place = self.place(rfq).expect("invariant: a quote is in its group");
        let (_, group) = &mut self.groups[place as usize];
        group.chain.remove(&mut self.all, slot, links);
        let group = *group;
        if group.chain.is_empty() {
            self.groups.remove(place as usize);
            self.places.remove(index::hash([rfq.raw()]), place);
        }
        (self.all.remove(slot as usize), group)
    }
}

impl Exchange {
    /// Keeps the best of the losers that offer to stand by; `ranked` is what was cleared.
    pub(crate) fn keep_standbys(
        &mut self,
        rfq: &Rfq,
        clearing_price: Option<Micros>,
        ranked: &mut [Ranked],
    ) {
        let winning_price = match rfq.terms.disclosure {
            Disclosure::Nothing => None,
            Disclosure::ClearingPrice => clearing_price,
        };
        let Self { clearing, standbys, deadlines, clock, .. } = self;
        let contracts = u32::try_from(clearing.fills.len()).expect("at most AWARDS_PER_RFQ_MAX");
        let mut kept = 0;
        for (candidate, entry) in clearing.in_order().zip(ranked) {
            let Some(until) = candidate.offer.standby_until else { continue };
            let RankedResult::Lost(reason) = entry.result else { continue };
            let sealed = matches!(candidate.quote, QuoteRef::Sealed(_));
            if candidate.barred.is_some() || !sealed || until <= clock.now {
                continue;
            }
            if kept == STANDBYS_PER_RFQ_MAX || standbys.is_full() {
                break;
            }
            if kept == 0 {
                let group = Group::new(rfq.owner, rfq.terms, contracts, winning_price);
                standbys.add_group(rfq.id, group);
            }
            kept += 1;
            entry.result = RankedResult::Standby(reason);
            let standby = Standby::new(rfq.id, *candidate, reason, entry.rank);
            let slot = standbys.add(standby);
            deadlines.set(Due::Standby(slot), until);
        }
    }

    /// Returns the slot of the best quote that can take over a contract whose provider failed.
    pub(crate) fn successor(&self, slot: u32) -> Option<u32> {
        let contract = self.contracts.at(slot);
        let group = self.standbys.group(contract.rfq)?;
        let can = |standby: &Standby| self.can_take_over(slot, contract, standby, group);
        self.standbys.of(contract.rfq).find(|(_, standby)| can(standby)).map(|(slot, _)| slot)
    }

    fn can_take_over(
        &self,
        slot: u32,
        contract: &Contract,
        standby: &Standby,
        group: &Group,
    ) -> bool {
        let Candidate { owner, offer, .. } = standby.candidate;
        let whole = offer.quantity.min(group.terms.quantity);
        let fits = match offer.all_or_none {
            true => contract.quantity == whole,
            false => contract.quantity <= whole,
        };
        // At the moment that was due, not at the one at which somebody noticed.
        let (due, _) = contract.deadline();
        let agent = self.directory.at(owner.slots.agent);
        let ready = offer.standby_until.is_some_and(|until| until > self.clock.sequenced(due));
        let total = offer.price.times(contract.quantity);
        fits && ready
            // Nobody gains by failing itself.
            && owner.account != contract.provider_account
            && !agent.fades.is_suspended(due)
            && is_eligible(agent, &group.terms, due)
            && self.check_band(group.terms.capability, offer.price).is_ok()
            && self.exposures.may_contract(owner.slots.account)
            && total.is_some_and(|total| {
                let top_up = group.terms.top_up;
                self.contracts.can_be_taken_over(&self.ledger, slot, total, top_up)
            })
    }

    /// Takes a quote out of standby because it takes over, and says so.
    pub(crate) fn end_standby_taking_over(
        &mut self,
        slot: u32,
        out: &mut Events<'_>,
    ) -> (Candidate, Group) {
        self.deadlines.remove(Due::Standby(slot));
        let (standby, group) = self.standbys.remove(slot);
        out.push(ended(&standby, None, None));
        (standby.candidate, group)
    }

    /// Ends the standby in `slot`: its quote has lost for good.
    pub(crate) fn end_standby(&mut self, slot: u32, out: &mut Events<'_>) {
        self.deadlines.remove(Due::Standby(slot));
        let (standby, group) = self.standbys.remove(slot);
        out.push(ended(&standby, Some(standby.reason), group.winning_price));
        let Candidate { owner, bond, .. } = standby.candidate;
        let bond = (bond, group.terms.currency);
        push_movement(return_bond(&mut self.ledger, owner.account, bond), out);
    }

    /// Notes that a contract ended and nobody took it over. With the last one of its RFQ, standing
    /// by ends.
    pub(crate) fn contract_of_rfq_ended(&mut self, rfq: RfqId, out: &mut Events<'_>) {
        let Some(place) = self.standbys.place(rfq) else { return };
        let (_, group) = &mut self.standbys.groups[place as usize];
        group.contracts -= 1;
        if group.contracts > 0 {
            return;
        }
        while let Some(slot) = self.standbys.first_of(rfq) {
            self.end_standby(slot, out);
        }
    }
}

fn ended(standby: &Standby, reason: Option<LossReason>, winning_price: Option<Micros>) -> Event {
    Event::StandbyEnded(StandbyEnded {
        rfq: standby.rfq,
        provider: standby.candidate.owner.agent,
        quote: standby.quote(),
        reason,
        rank: standby.rank,
        winning_price,
    })
}

fn links(all: &mut Slab<Standby>, slot: u32) -> &mut Links {
    &mut all[slot as usize].links
}
