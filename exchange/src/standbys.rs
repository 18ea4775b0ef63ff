//! Standbys: losers that stay ready to take over from a winner that fails.

use gavel_matcher::index::{self, Index};
use gavel_matcher::{Candidate, Chain, Links, Owner, Rfq};
use gavel_protocol::limits::STANDBYS_PER_RFQ_MAX;
use gavel_protocol::{
    Disclosure, Event, Items, LossReason, Micros, QuoteId, QuoteRef, Ranked, RankedResult, RfqId,
    RfqTerms, StandbyEnded,
};
use gavel_settlement::limits::CONTRACTS_OPEN_MAX;
use gavel_settlement::{Contract, return_bond};
use rkyv::{Archive, Deserialize, Serialize};
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
    /// Whether the buyer wants all of what a bundle was for, or nothing.
    pub(crate) all_or_none: bool,
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
    /// What it is, if it is a bundle.
    pub(crate) bundle: Option<BundleStandby>,
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
        let all_or_none = false;
        Self { buyer, terms, contracts, all_or_none, winning_price, chain: Chain::default() }
    }
}

/// A bundle that stands by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(crate) struct BundleStandby {
    /// Its items.
    pub(crate) items: Items,
    /// What the buyer gains by it: its reserves less its score.
    pub(crate) gain: Micros,
    /// Units of work.
    pub(crate) quantity: u32,
    /// What it takes of its group.
    pub(crate) units: u32,
    /// What the group has left.
    pub(crate) left: u32,
}

impl Standby {
    /// Describes a quote that stands by.
    pub(crate) fn new(rfq: RfqId, candidate: Candidate, reason: LossReason, rank: u32) -> Self {
        Self { rfq, candidate, reason, rank, bundle: None, links: Links::default() }
    }

    /// Returns its group, if it is a bundle.
    fn group_of_bundles(&self) -> Option<QuoteId> {
        match self.candidate.quote {
            QuoteRef::Bundle(bundle) => Some(bundle.quote),
            QuoteRef::Sealed(_) | QuoteRef::Standing | QuoteRef::Take => None,
        }
    }
}

/// Standbys that take over a contract together, by their slots.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Successors {
    slots: [u32; STANDBYS_PER_RFQ_MAX as usize],
    count: usize,
}

impl Successors {
    fn of(slot: u32) -> Self {
        let mut one = Self::default();
        one.push(slot);
        one
    }

    fn push(&mut self, slot: u32) {
        self.slots[self.count] = slot;
        self.count += 1;
    }

    /// Returns whether nobody takes over.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Returns the slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + use<> {
        self.slots.into_iter().take(self.count)
    }

    /// Returns every set of these: few enough to look at them all.
    fn subsets(self) -> impl Iterator<Item = Self> {
        (0_u32..1 << self.count).map(move |set| {
            let mut chosen = Self::default();
            for (place, slot) in self.iter().enumerate() {
                if set >> place & 1 == 1 {
                    chosen.push(slot);
                }
            }
            chosen
        })
    }
}

impl Standbys {
    /// Takes units of what a group of bundles has left.
    fn use_up(&mut self, rfq: RfqId, group: Option<QuoteId>, units: u32) {
        let mut next = self.first_of(rfq);
        while let Some(slot) = next {
            let standby = &mut self.all[slot as usize];
            next = standby.links.after();
            if standby.group_of_bundles() == group
                && let Some(bundle) = &mut standby.bundle
            {
                bundle.left = bundle.left.saturating_sub(units);
            }
        }
    }

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

    /// Returns whether there is room for another quote beside so many that are yet to come.
    pub(crate) fn has_room(&self, to_come: usize) -> bool {
        self.all.len() + to_come < STANDBYS_MAX as usize
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
            if kept == STANDBYS_PER_RFQ_MAX || !standbys.has_room(0) {
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

    /// Returns who takes over a contract whose provider failed: the best quote that can. Of a contract
    /// for bundled items, the bundles that together gain the buyer most, each of whose items is one of
    /// these.
    pub(crate) fn successors(&self, slot: u32) -> Successors {
        let contract = self.contracts.at(slot);
        let mut able = Successors::default();
        let Some(group) = self.standbys.group(contract.rfq) else { return able };
        for (standby_slot, standby) in self.standbys.of(contract.rfq) {
            if self.can_take_over(contract, standby, group) {
                able.push(standby_slot);
            }
        }
        let payable = |total: Option<Micros>| {
            let top_up = group.terms.top_up;
            total.is_some_and(|t| self.contracts.can_be_taken_over(&self.ledger, slot, t, top_up))
        };
        let Some(items) = contract.items else {
            let price = |slot: u32| self.standbys.at(slot).candidate.offer.price;
            let first = |slot: &u32| payable(price(*slot).times(contract.quantity));
            return able.iter().find(first).map_or(Successors::default(), Successors::of);
        };
        let (mut best, mut best_gain) = (Successors::default(), Micros::ZERO);
        for chosen in able.subsets() {
            let Some((covered, gain, total)) = self.together(&chosen) else { continue };
            let enough = !group.all_or_none || covered == items;
            let nothing_yet = best.is_empty() && !chosen.is_empty();
            let has_room = self.has_room_to_divide(chosen.len());
            if enough && has_room && (gain > best_gain || nothing_yet) && payable(Some(total)) {
                (best, best_gain) = (chosen, gain);
            }
        }
        best
    }

    /// Returns whether there is room for so many contracts in place of one, beside those that open RFQs
    /// may still become.
    fn has_room_to_divide(&self, into: usize) -> bool {
        let others = self.exposures.promised() + self.contracts.len() as u64;
        others + into as u64 <= u64::from(CONTRACTS_OPEN_MAX) + 1
    }

    /// Returns what bundles that stand by award, gain and cost together, if they go together.
    fn together(&self, slots: &Successors) -> Option<(Items, Micros, Micros)> {
        let (mut covered, mut gain, mut total) = (Items::EMPTY, Micros::ZERO, Micros::ZERO);
        for slot in slots.iter() {
            let standby = self.standbys.at(slot);
            let bundle = standby.bundle?;
            let of_group = |other: &u32| {
                let other = self.standbys.at(*other);
                let units = other.bundle.map_or(0, |bundle| bundle.units);
                if other.group_of_bundles() == standby.group_of_bundles() { units } else { 0 }
            };
            let units: u32 = slots.iter().map(|other| of_group(&other)).sum();
            if covered.meets(&bundle.items) || units > bundle.left {
                return None;
            }
            covered = covered.or(&bundle.items);
            gain = gain.plus(bundle.gain)?;
            total = total.plus(standby.candidate.offer.price)?;
        }
        Some((covered, gain, total))
    }

    fn can_take_over(&self, contract: &Contract, standby: &Standby, group: &Group) -> bool {
        let Candidate { owner, offer, .. } = standby.candidate;
        let fits = match (contract.items, standby.bundle) {
            (Some(items), Some(bundle)) => {
                bundle.items.is_within(&items) && bundle.units <= bundle.left
            }
            (Some(_), None) | (None, Some(_)) => false,
            (None, None) => {
                let whole = offer.quantity.min(group.terms.quantity);
                match offer.all_or_none {
                    true => contract.quantity == whole,
                    false => contract.quantity <= whole,
                }
            }
        };
        // At the moment that was due, not at the one at which somebody noticed.
        let (due, _) = contract.deadline();
        let agent = self.directory.at(owner.slots.agent);
        let ready = offer.standby_until.is_some_and(|until| until > self.clock.sequenced(due));
        let quantity = standby.bundle.map_or(1, |bundle| bundle.quantity);
        fits && ready
            // Nobody gains by failing itself.
            && owner.account != contract.provider_account
            && !agent.fades.is_suspended(due)
            && is_eligible(agent, &group.terms, due)
            && self.check_band_of(group.terms.capability, (offer.price, quantity)).is_ok()
            && self.exposures.may_contract(owner.slots.account)
    }

    /// Notes that a contract goes on as so many.
    pub(crate) fn contract_of_rfq_divided(&mut self, rfq: RfqId, into: usize) {
        let Some(place) = self.standbys.place(rfq) else { return };
        let (_, group) = &mut self.standbys.groups[place as usize];
        group.contracts += u32::try_from(into).expect("at most STANDBYS_PER_RFQ_MAX") - 1;
    }

    /// Takes a quote out of standby because it takes over, and says so.
    pub(crate) fn end_standby_taking_over(
        &mut self,
        slot: u32,
        out: &mut Events<'_>,
    ) -> (Standby, Group) {
        self.deadlines.remove(Due::Standby(slot));
        let (standby, group) = self.standbys.remove(slot);
        out.push(ended(&standby, None, None));
        if let Some(bundle) = standby.bundle {
            self.standbys.use_up(standby.rfq, standby.group_of_bundles(), bundle.units);
        }
        (standby, group)
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
        quote: standby.candidate.quote,
        reason,
        rank: standby.rank,
        winning_price,
    })
}

fn links(all: &mut Slab<Standby>, slot: u32) -> &mut Links {
    &mut all[slot as usize].links
}
