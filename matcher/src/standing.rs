//! Standing quotes: firm public prices per capability, the best of them first.

use alloc::vec::Vec;

use gavel_protocol::{AccountId, AgentId, CapabilityId, Micros, RejectReason, TimestampNs};
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::book::{Book, Frontier, Key};
use crate::chain::{Chain, Links};
use crate::index::{self, Index};
use crate::limits::{CAPABILITIES_MAX, STANDING_CONSIDERED_MAX, STANDING_QUOTES_MAX};

/// An agent's standing quote for a capability. It stays known, with its revision, after it ended:
/// so an old update that comes late cannot bring it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandingQuote {
    /// The kind of work.
    pub capability: CapabilityId,
    /// Who quotes.
    pub provider: AgentId,
    /// For which account.
    pub account: AccountId,
    /// Grows with every change.
    pub revision: u64,
    /// The price per unit.
    pub price: Micros,
    /// Units that were offered by this revision; none if this revision canceled it.
    pub offered: u32,
    /// Units still on offer; none once it ended.
    pub capacity: u32,
    /// Firm until then.
    pub valid_until: TimestampNs,
    /// The place among ties.
    pub priority: u64,
    /// The sequence number of the command since which it can be awarded.
    pub live_since: u64,
}

/// What a provider wants its standing quote to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// Above the last revision.
    pub revision: u64,
    /// The price per unit.
    pub price: Micros,
    /// Units on offer.
    pub capacity: u32,
    /// Firm until then.
    pub valid_until: TimestampNs,
}

/// What an update or a close reads of a standing quote: one cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Offer {
    provider: AgentId,
    account: AccountId,
    revision: u64,
    price: Micros,
    valid_until: TimestampNs,
    priority: u64,
    offered: u32,
    capacity: u32,
    book: u32,
    /// Its place in the book.
    place: u32,
}

const _: () = assert!(size_of::<Offer>() == 64);

/// What is touched only when a standing quote begins and ends.
#[derive(Debug)]
struct Presence {
    live_since: u64,
    of_agent: Links,
}

/// A capability's book.
#[derive(Debug)]
struct Listed {
    capability: CapabilityId,
    book: Book,
}

/// The standing quotes of all capabilities.
#[derive(Debug)]
pub struct StandingQuotes {
    offers: Vec<Offer>,
    presences: Vec<Presence>,
    /// Slots by agent and book.
    slots: Index,
    /// In the order of listing.
    listed: Vec<Listed>,
    /// Places in `listed`, by capability.
    books: Index,
    frontier: Frontier,
    /// The live quotes of each agent.
    of_agents: HashMap<AgentId, Chain, FxBuildHasher>,
}

impl StandingQuotes {
    /// Makes room for everything there may be. A map gets twice its number of entries: it never
    /// grows by rehashing below half its capacity. A book grows to its own high-water mark.
    pub fn new(agents_max: u32) -> Self {
        let map = |entries: u32| 2 * entries as usize;
        Self {
            offers: Vec::with_capacity(STANDING_QUOTES_MAX as usize),
            presences: Vec::with_capacity(STANDING_QUOTES_MAX as usize),
            slots: Index::new(STANDING_QUOTES_MAX),
            listed: Vec::with_capacity(CAPABILITIES_MAX as usize),
            books: Index::new(CAPABILITIES_MAX),
            frontier: Frontier::new(),
            of_agents: HashMap::with_capacity_and_hasher(map(agents_max), FxBuildHasher),
        }
    }

    /// Opens the book of a capability.
    pub fn list(&mut self, capability: CapabilityId) {
        assert!(
            self.book(capability).is_none(),
            "invariant: a capability is listed once: {capability}"
        );
        let book = u32::try_from(self.listed.len()).expect("fewer than CAPABILITIES_MAX");
        self.listed.push(Listed { capability, book: Book::new() });
        self.books.insert(index::hash([capability.raw()]), book);
    }

    /// Returns the slot of an agent's standing quote, ended or not: a number that stays its own.
    pub fn slot(&self, agent: AgentId, capability: CapabilityId) -> Option<u32> {
        let book = self.book(capability)?;
        self.slots.find(hash(agent, book), |slot| {
            let offer = &self.offers[slot as usize];
            offer.provider == agent && offer.book == book
        })
    }

    /// Returns the standing quote in a slot.
    pub fn at(&self, slot: u32) -> StandingQuote {
        let offer = &self.offers[slot as usize];
        let Listed { capability, .. } = self.listed[offer.book as usize];
        offer.quote(capability, self.presences[slot as usize].live_since)
    }

    /// Returns an agent's standing quote, ended or not.
    pub fn of(&self, agent: AgentId, capability: CapabilityId) -> Option<StandingQuote> {
        self.slot(agent, capability).map(|slot| self.at(slot))
    }

    /// Reads where [`StandingQuotes::slot`] will look first.
    pub fn look_ahead(&self, agent: AgentId, capability: CapabilityId) {
        if let Some(book) = self.book(capability) {
            self.slots.look_ahead(hash(agent, book));
        }
    }

    /// Reads what a change of the standing quote in `slot` will read.
    pub fn look_ahead_at(&self, slot: u32) {
        let offer = &self.offers[slot as usize];
        self.listed[offer.book as usize].book.look_ahead(offer.place);
    }

    /// Reads the offers that a close is likely to consider, and shows whose they are.
    pub fn look_ahead_best(&self, capability: CapabilityId, mut show: impl FnMut(AccountId)) {
        let Some(book) = self.book(capability) else { return };
        for slot in self.listed[book as usize].book.at_hand(STANDING_CONSIDERED_MAX) {
            show(self.offers[slot as usize].account);
        }
    }

    /// Returns every standing quote, ended or not, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = StandingQuote> {
        (0..).zip(&self.offers).map(|(slot, _)| self.at(slot))
    }

    /// Returns the agent's live standing quote that was set first.
    pub fn first_of(&self, agent: AgentId) -> Option<StandingQuote> {
        let first = self.of_agents.get(&agent)?.first()?;
        Some(self.at(first))
    }

    /// Returns the agent's live standing quotes, the one that was set first first.
    pub fn live_of(&self, agent: AgentId) -> impl Iterator<Item = StandingQuote> {
        let mut next = self.of_agents.get(&agent).and_then(Chain::first);
        core::iter::from_fn(move || {
            let slot = next?;
            next = self.presences[slot as usize].of_agent.after();
            Some(self.at(slot))
        })
    }

    /// Adds an agent's first standing quote for a capability.
    ///
    /// # Errors
    ///
    /// [`RejectReason::UnknownCapability`] or `TableFull`.
    pub fn add(
        &mut self,
        owner: (AgentId, AccountId),
        capability: CapabilityId,
        update: Update,
        priority: u64,
    ) -> Result<(), RejectReason> {
        self.check_room(capability)?;
        self.insert(StandingQuote::new(owner, capability, update, (priority, priority)));
        Ok(())
    }

    /// Changes the standing quote in `slot`, or brings it back. A new price or more capacity takes
    /// the place `priority` among ties.
    pub fn change(&mut self, slot: u32, update: Update, priority: u64) {
        let offer = &mut self.offers[slot as usize];
        assert!(update.revision > offer.revision, "invariant: revisions are checked before");
        let (was_live, before) = (offer.capacity > 0, offer.key());
        let keeps_place =
            was_live && offer.price == update.price && update.capacity <= offer.capacity;
        offer.revision = update.revision;
        offer.price = update.price;
        offer.offered = update.capacity;
        offer.capacity = update.capacity;
        offer.valid_until = update.valid_until;
        if !keeps_place {
            offer.priority = priority;
            self.listed[offer.book as usize].book.set(offer.place, before, offer.key());
        }
        if !was_live {
            let provider = offer.provider;
            self.presences[slot as usize].live_since = priority;
            self.join_agent(provider, slot);
        }
    }

    /// Cancels an agent's standing quote, and remembers `revision`: whatever comes late and is not
    /// above it changes nothing. The quote need not be there (yet).
    ///
    /// # Errors
    ///
    /// [`RejectReason::UnknownCapability`] or `TableFull`.
    pub fn cancel(
        &mut self,
        owner: (AgentId, AccountId),
        capability: CapabilityId,
        revision: u64,
    ) -> Result<(), RejectReason> {
        let Some(slot) = self.slot(owner.0, capability) else {
            let (price, valid_until) = (Micros::ZERO, TimestampNs::default());
            let nothing = Update { revision, price, capacity: 0, valid_until };
            return self.add(owner, capability, nothing, 0);
        };
        let offer = &mut self.offers[slot as usize];
        assert!(revision > offer.revision, "invariant: revisions are checked before");
        (offer.revision, offer.offered) = (revision, 0);
        if offer.capacity > 0 {
            self.end_at(slot);
        }
        Ok(())
    }

    /// Ends an agent's live standing quote.
    pub fn end(&mut self, agent: AgentId, capability: CapabilityId) -> StandingQuote {
        let slot = self.slot(agent, capability).expect("invariant: looked up before");
        self.end_at(slot);
        self.at(slot)
    }

    /// Takes `quantity` from an agent's live standing quote, and returns what it is afterwards.
    pub fn consume(
        &mut self,
        agent: AgentId,
        capability: CapabilityId,
        quantity: u32,
    ) -> StandingQuote {
        let slot = self.slot(agent, capability).expect("invariant: looked up before");
        let offer = &mut self.offers[slot as usize];
        let rest = offer.capacity.checked_sub(quantity);
        match rest.expect("invariant: an award never exceeds the capacity") {
            0 => self.end_at(slot),
            rest => offer.capacity = rest,
        }
        self.at(slot)
    }

    /// Calls `visit` for the live standing quotes of a capability, best first, until it says stop or
    /// [`crate::limits::STANDING_VISITED_MAX`] have been visited.
    pub fn visit_best(
        &mut self,
        capability: CapabilityId,
        mut visit: impl FnMut(&StandingQuote) -> bool,
    ) {
        let Some(book) = self.book(capability) else { return };
        let Listed { capability, book } = &mut self.listed[book as usize];
        let (offers, presences) = (&self.offers, &self.presences);
        book.visit(&mut self.frontier, |slot| {
            let slot = slot as usize;
            visit(&offers[slot].quote(*capability, presences[slot].live_since))
        });
    }

    /// Puts back a standing quote as it was.
    pub fn restore(&mut self, quote: StandingQuote) {
        self.insert(quote);
    }

    fn book(&self, capability: CapabilityId) -> Option<u32> {
        let is_it = |book: u32| self.listed[book as usize].capability == capability;
        self.books.find(index::hash([capability.raw()]), is_it)
    }

    fn check_room(&self, capability: CapabilityId) -> Result<(), RejectReason> {
        if self.book(capability).is_none() {
            return Err(RejectReason::UnknownCapability);
        }
        if self.offers.len() >= STANDING_QUOTES_MAX as usize {
            return Err(RejectReason::TableFull);
        }
        Ok(())
    }

    /// Adds a standing quote of a listed capability; a live one can be awarded.
    fn insert(&mut self, quote: StandingQuote) {
        let book = self.book(quote.capability).expect("invariant: listed before");
        let slot = u32::try_from(self.offers.len()).expect("fewer than STANDING_QUOTES_MAX");
        let in_book = &mut self.listed[book as usize].book;
        let place = in_book.add(slot);
        let offer = Offer {
            provider: quote.provider,
            account: quote.account,
            revision: quote.revision,
            price: quote.price,
            valid_until: quote.valid_until,
            priority: quote.priority,
            offered: quote.offered,
            capacity: quote.capacity,
            book,
            place,
        };
        in_book.set(place, Key::ENDED, offer.key());
        self.offers.push(offer);
        self.presences.push(Presence { live_since: quote.live_since, of_agent: Links::default() });
        self.slots.insert(hash(quote.provider, book), slot);
        if quote.is_live() {
            self.join_agent(quote.provider, slot);
        }
    }

    fn end_at(&mut self, slot: u32) {
        let offer = &mut self.offers[slot as usize];
        assert!(offer.capacity > 0, "invariant: a standing quote ends once");
        self.listed[offer.book as usize].book.set(offer.place, offer.key(), Key::ENDED);
        offer.capacity = 0;
        let chain = self.of_agents.get_mut(&offer.provider);
        let chain = chain.expect("invariant: a live quote is in its agent's chain");
        chain.remove(self.presences.as_mut_slice(), slot, of_agent);
    }

    fn join_agent(&mut self, agent: AgentId, slot: u32) {
        let chain = self.of_agents.entry(agent).or_default();
        chain.push(self.presences.as_mut_slice(), slot, of_agent);
    }
}

impl Offer {
    /// Returns what its book is ordered by.
    fn key(&self) -> Key {
        match self.capacity {
            0 => Key::ENDED,
            _ => Key::new(self.price, self.priority),
        }
    }

    fn quote(&self, capability: CapabilityId, live_since: u64) -> StandingQuote {
        StandingQuote {
            capability,
            provider: self.provider,
            account: self.account,
            revision: self.revision,
            price: self.price,
            offered: self.offered,
            capacity: self.capacity,
            valid_until: self.valid_until,
            priority: self.priority,
            live_since,
        }
    }
}

impl StandingQuote {
    /// Returns whether it can be awarded.
    pub fn is_live(&self) -> bool {
        self.capacity > 0
    }

    /// Describes a standing quote with all of its capacity.
    pub fn new(
        (provider, account): (AgentId, AccountId),
        capability: CapabilityId,
        update: Update,
        (priority, live_since): (u64, u64),
    ) -> Self {
        let Update { revision, price, capacity, valid_until } = update;
        Self {
            capability,
            provider,
            account,
            revision,
            price,
            offered: capacity,
            capacity,
            valid_until,
            priority,
            live_since,
        }
    }
}

fn of_agent(presences: &mut [Presence], slot: u32) -> &mut Links {
    &mut presences[slot as usize].of_agent
}

fn hash(agent: AgentId, book: u32) -> u64 {
    index::hash([agent.raw(), u64::from(book)])
}
