//! Standing quotes: firm public prices per capability, the best of them first.

use alloc::vec::Vec;

use gavel_protocol::{AgentId, CapabilityId, Micros, RejectReason, TimestampNs};
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use slab::Slab;

use crate::chain::{Chain, Links};
use crate::heap::{Frontier, IndexedHeap, Positions};
use crate::limits::{CAPABILITIES_MAX, STANDING_QUOTES_MAX, STANDING_VISITED_MAX};
use crate::owner::Owner;

/// An agent's standing quote for a capability. It stays known, with its revision, after it ended:
/// so an old update that comes late cannot bring it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandingQuote {
    /// The kind of work.
    pub capability: CapabilityId,
    /// Who quotes.
    pub owner: Owner,
    /// Grows with every change.
    pub revision: u64,
    /// The price per unit.
    pub price: Micros,
    /// How long the work takes.
    pub latency_ms: u32,
    /// Units that were offered by this revision; none if this revision canceled it.
    pub offered: u32,
    /// Units still on offer; none once it ended.
    pub capacity: u32,
    /// Whether it ended because all of its units were awarded: then they may come back.
    pub used_up: bool,
    /// Firm until then.
    pub valid_until: TimestampNs,
    /// The place among ties.
    pub priority: u64,
    /// The sequence number of the command since which it can be awarded.
    pub live_since: u64,
    book: u32,
    of_agent: Links,
}

/// What a provider wants its standing quote to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// Above the last revision.
    pub revision: u64,
    /// The price per unit.
    pub price: Micros,
    /// How long the work takes.
    pub latency_ms: u32,
    /// Units on offer.
    pub capacity: u32,
    /// Firm until then.
    pub valid_until: TimestampNs,
}

/// Price and place: what a book is ordered by.
type Key = (Micros, u64);

/// The standing quotes of all capabilities.
#[derive(Debug)]
pub struct StandingQuotes {
    quotes: Slab<StandingQuote>,
    slots: HashMap<(AgentId, CapabilityId), u32, FxBuildHasher>,
    /// The live quotes of each capability, in the order of listing.
    books: Vec<IndexedHeap<Key>>,
    book_of: HashMap<CapabilityId, u32, FxBuildHasher>,
    positions: Positions,
    frontier: Frontier<Key>,
    /// The live quotes of each agent.
    of_agents: HashMap<AgentId, Chain, FxBuildHasher>,
}

impl StandingQuotes {
    /// Makes room for everything there may be. A map gets twice its number of entries: it never
    /// grows by rehashing below half its capacity. A book grows to its own high-water mark.
    pub fn new(agents_max: u32) -> Self {
        let map = |entries: u32| 2 * entries as usize;
        Self {
            quotes: Slab::with_capacity(STANDING_QUOTES_MAX as usize),
            slots: HashMap::with_capacity_and_hasher(map(STANDING_QUOTES_MAX), FxBuildHasher),
            books: Vec::with_capacity(CAPABILITIES_MAX as usize),
            book_of: HashMap::with_capacity_and_hasher(map(CAPABILITIES_MAX), FxBuildHasher),
            positions: Positions::new(STANDING_QUOTES_MAX),
            frontier: Frontier::with_capacity(STANDING_VISITED_MAX + 2),
            of_agents: HashMap::with_capacity_and_hasher(map(agents_max), FxBuildHasher),
        }
    }

    /// Opens the book of a capability.
    pub fn list(&mut self, capability: CapabilityId) {
        let book = u32::try_from(self.books.len()).expect("fewer than CAPABILITIES_MAX");
        self.books.push(IndexedHeap::new(0));
        let before = self.book_of.insert(capability, book);
        assert!(before.is_none(), "invariant: a capability is listed once: {capability}");
    }

    /// Returns an agent's standing quote, ended or not.
    pub fn of(&self, agent: AgentId, capability: CapabilityId) -> Option<&StandingQuote> {
        self.slots.get(&(agent, capability)).map(|slot| &self.quotes[*slot as usize])
    }

    /// Returns every standing quote, ended or not, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &StandingQuote> {
        self.quotes.iter().map(|(_, quote)| quote)
    }

    /// Returns the agent's live standing quote that was set first.
    pub fn first_of(&self, agent: AgentId) -> Option<&StandingQuote> {
        let first = self.of_agents.get(&agent)?.first()?;
        Some(&self.quotes[first as usize])
    }

    /// Returns the agent's live standing quotes, the one that was set first first.
    pub fn live_of(&self, agent: AgentId) -> impl Iterator<Item = &StandingQuote> {
        let mut next = self.of_agents.get(&agent).and_then(Chain::first);
        core::iter::from_fn(move || {
            let quote = &self.quotes[next? as usize];
            next = quote.of_agent.after();
            Some(quote)
        })
    }

    /// Sets an agent's standing quote, and returns it. A new price or latency, or more capacity, takes
    /// the place `priority` among ties.
    ///
    /// # Errors
    ///
    /// [`RejectReason::UnknownCapability`] or `TableFull`.
    pub fn set(
        &mut self,
        owner: Owner,
        capability: CapabilityId,
        update: Update,
        priority: u64,
    ) -> Result<StandingQuote, RejectReason> {
        let Some(slot) = self.slots.get(&(owner.agent, capability)).copied() else {
            self.check_room(capability)?;
            let places = (priority, priority);
            let quote = StandingQuote::new(owner, capability, update, places);
            self.insert(quote);
            return Ok(quote);
        };
        let quote = &mut self.quotes[slot as usize];
        assert!(update.revision > quote.revision, "invariant: revisions are checked before");
        let was_live = quote.is_live();
        if !was_live {
            quote.live_since = priority;
        }
        let keeps_place = was_live
            && quote.price == update.price
            && quote.latency_ms == update.latency_ms
            && update.capacity <= quote.capacity;
        if !keeps_place {
            quote.priority = priority;
        }
        quote.revision = update.revision;
        quote.price = update.price;
        quote.latency_ms = update.latency_ms;
        quote.offered = update.capacity;
        quote.capacity = update.capacity;
        quote.used_up = false;
        quote.valid_until = update.valid_until;
        if !keeps_place {
            let key = (quote.price, quote.priority);
            self.books[quote.book as usize].set(&mut self.positions, slot, key);
        }
        if !was_live {
            self.join_agent(owner.agent, slot);
        }
        Ok(self.quotes[slot as usize])
    }

    /// Cancels an agent's standing quote, and remembers `revision`: whatever comes late and is not
    /// above it changes nothing. The quote need not be there (yet).
    ///
    /// # Errors
    ///
    /// [`RejectReason::UnknownCapability`] or `TableFull`.
    pub fn cancel(
        &mut self,
        owner: Owner,
        capability: CapabilityId,
        revision: u64,
    ) -> Result<(), RejectReason> {
        let Some(slot) = self.slots.get(&(owner.agent, capability)).copied() else {
            self.check_room(capability)?;
            let (price, valid_until) = (Micros::ZERO, TimestampNs::default());
            let nothing = Update { revision, price, latency_ms: 0, capacity: 0, valid_until };
            let places = (0, 0);
            self.insert(StandingQuote::new(owner, capability, nothing, places));
            return Ok(());
        };
        if self.quotes[slot as usize].is_live() {
            self.end(owner.agent, capability);
        }
        let quote = &mut self.quotes[slot as usize];
        assert!(revision > quote.revision, "invariant: revisions are checked before");
        (quote.revision, quote.offered, quote.used_up) = (revision, 0, false);
        Ok(())
    }

    /// Ends an agent's live standing quote.
    pub fn end(&mut self, agent: AgentId, capability: CapabilityId) -> StandingQuote {
        let slot = *self.slots.get(&(agent, capability)).expect("invariant: looked up before");
        let quote = &mut self.quotes[slot as usize];
        assert!(quote.is_live(), "invariant: a standing quote ends once");
        quote.capacity = 0;
        let quote = *quote;
        self.books[quote.book as usize].remove(&mut self.positions, slot);
        let chain = self.of_agents.get_mut(&agent);
        let chain = chain.expect("invariant: a live quote is in its agent's chain");
        chain.remove(&mut self.quotes, slot, of_agent);
        quote
    }

    /// Takes `quantity` from an agent's live standing quote, and returns what it is afterwards.
    pub fn consume(
        &mut self,
        agent: AgentId,
        capability: CapabilityId,
        quantity: u32,
    ) -> StandingQuote {
        let slot = *self.slots.get(&(agent, capability)).expect("invariant: looked up before");
        let quote = &mut self.quotes[slot as usize];
        if quote.capacity == quantity {
            quote.used_up = true;
            return self.end(agent, capability);
        }
        let rest = quote.capacity.checked_sub(quantity);
        quote.capacity = rest.expect("invariant: an award never exceeds the capacity");
        *quote
    }

    /// Puts back `quantity` units that were awarded on the revision `revision` of an agent's standing
    /// quote, and returns it; nothing if it has been changed or has ended otherwise since. Units that
    /// come back to one that was used up take the place `priority` among ties.
    pub fn give_back(
        &mut self,
        agent: AgentId,
        capability: CapabilityId,
        (revision, quantity): (u64, u32),
        priority: u64,
    ) -> Option<StandingQuote> {
        let slot = *self.slots.get(&(agent, capability))?;
        let quote = &mut self.quotes[slot as usize];
        if quote.revision != revision || !(quote.is_live() || quote.used_up) {
            return None;
        }
        let capacity = quote.capacity.checked_add(quantity);
        quote.capacity = capacity.expect("invariant: what comes back was offered before");
        assert!(quote.capacity <= quote.offered, "invariant: no more comes back than was taken");
        if quote.used_up {
            (quote.used_up, quote.priority, quote.live_since) = (false, priority, priority);
            let key = (quote.price, priority);
            self.books[quote.book as usize].set(&mut self.positions, slot, key);
            self.join_agent(agent, slot);
        }
        Some(self.quotes[slot as usize])
    }

    /// Returns how many standing quotes of a capability are live.
    pub fn live_in(&self, capability: CapabilityId) -> usize {
        self.book_of.get(&capability).map_or(0, |book| self.books[*book as usize].len())
    }

    /// Calls `visit` for the live standing quotes of a capability, best first, until it says stop or
    /// [`STANDING_VISITED_MAX`] have been visited.
    pub fn visit_best(
        &mut self,
        capability: CapabilityId,
        mut visit: impl FnMut(&StandingQuote) -> bool,
    ) {
        let Self { quotes, books, book_of, frontier, .. } = self;
        let Some(book) = book_of.get(&capability) else { return };
        let book = &books[*book as usize];
        book.visit_first(frontier, STANDING_VISITED_MAX, |slot| visit(&quotes[slot as usize]));
    }

    /// Puts back a standing quote as it was.
    pub fn restore(&mut self, quote: StandingQuote) {
        self.insert(quote);
    }

    fn check_room(&self, capability: CapabilityId) -> Result<(), RejectReason> {
        if !self.book_of.contains_key(&capability) {
            return Err(RejectReason::UnknownCapability);
        }
        if self.quotes.len() >= STANDING_QUOTES_MAX as usize {
            return Err(RejectReason::TableFull);
        }
        Ok(())
    }

    /// Adds a standing quote of a listed capability; a live one can be awarded.
    fn insert(&mut self, quote: StandingQuote) {
        let book = *self.book_of.get(&quote.capability).expect("invariant: listed before");
        let slot = self.quotes.insert(StandingQuote { book, ..quote });
        let slot = u32::try_from(slot).expect("fewer than STANDING_QUOTES_MAX");
        self.slots.insert((quote.owner.agent, quote.capability), slot);
        if quote.is_live() {
            let key = (quote.price, quote.priority);
            self.books[book as usize].set(&mut self.positions, slot, key);
            self.join_agent(quote.owner.agent, slot);
        }
    }

    fn join_agent(&mut self, agent: AgentId, slot: u32) {
        self.of_agents.entry(agent).or_default().push(&mut self.quotes, slot, of_agent);
    }
}

impl StandingQuote {
    /// Returns whether it can be awarded.
    pub fn is_live(&self) -> bool {
        self.capacity > 0
    }

    /// Describes a standing quote with all of its capacity. The book is found when it is added.
    pub fn new(
        owner: Owner,
        capability: CapabilityId,
        update: Update,
        (priority, live_since): (u64, u64),
    ) -> Self {
        let Update { revision, price, latency_ms, capacity, valid_until } = update;
        Self {
            capability,
            owner,
            revision,
            price,
            latency_ms,
            offered: capacity,
            capacity,
            used_up: false,
            valid_until,
            priority,
            live_since,
            book: 0,
            of_agent: Links::default(),
        }
    }
}

fn of_agent(quotes: &mut Slab<StandingQuote>, slot: u32) -> &mut Links {
    &mut quotes[slot as usize].of_agent
}
