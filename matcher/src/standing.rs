//! Standing quotes: firm public prices per capability, the best of them first.

use alloc::vec::Vec;

use gavel_protocol::{AgentId, CapabilityId, Micros, RejectReason, TimestampNs};

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
    /// Where the provider is kept.
    pub agent_slot: u32,
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

/// What an update or a close reads of a standing quote: one cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Offer {
    provider: AgentId,
    revision: u64,
    price: Micros,
    valid_until: TimestampNs,
    priority: u64,
    agent_slot: u32,
    latency_ms: u32,
    offered: u32,
    capacity: u32,
    /// Its place in the book.
    place: u32,
    book: u16,
    used_up: bool,
}

const _: () = assert!(size_of::<Offer>() == 64);

/// A capability's book.
#[derive(Debug)]
struct Listed {
    capability: CapabilityId,
    book: Book,
    /// Quotes in it that can be awarded.
    live: u32,
}

/// The standing quotes of all capabilities.
#[derive(Debug)]
pub struct StandingQuotes {
    offers: Vec<Offer>,
    /// Their places in their agents' chains, touched only when they begin and end.
    links: Vec<Links>,
    /// Slots by agent and book.
    slots: Index,
    /// In the order of listing.
    listed: Vec<Listed>,
    /// Places in `listed`, by capability.
    books: Index,
    frontier: Frontier,
    /// The quotes of each agent that are live or may come back, by its slot.
    of_agents: Vec<Chain>,
}

impl StandingQuotes {
    /// Makes room for everything there may be. A book grows to its own high-water mark.
    pub fn new(agents_max: u32) -> Self {
        Self {
            offers: Vec::with_capacity(STANDING_QUOTES_MAX as usize),
            links: Vec::with_capacity(STANDING_QUOTES_MAX as usize),
            slots: Index::new(STANDING_QUOTES_MAX),
            listed: Vec::with_capacity(CAPABILITIES_MAX as usize),
            books: Index::new(CAPABILITIES_MAX),
            frontier: Frontier::new(),
            of_agents: Vec::with_capacity(agents_max as usize),
        }
    }

    /// Opens the book of a capability.
    pub fn list(&mut self, capability: CapabilityId) {
        assert!(
            self.book(capability).is_none(),
            "invariant: a capability is listed once: {capability}"
        );
        let book = u16::try_from(self.listed.len()).expect("fewer than CAPABILITIES_MAX");
        self.listed.push(Listed { capability, book: Book::new(), live: 0 });
        self.books.insert(index::hash([capability.raw()]), u32::from(book));
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
        let Listed { capability, .. } = self.listed[usize::from(offer.book)];
        offer.quote(capability)
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
        self.listed[usize::from(offer.book)].book.look_ahead(offer.place);
    }

    /// Reads the offers that a close is likely to consider, and shows whose they are, by agent slot.
    pub fn look_ahead_best(&self, capability: CapabilityId, mut show: impl FnMut(u32)) {
        let Some(book) = self.book(capability) else { return };
        for slot in self.listed[usize::from(book)].book.at_hand(STANDING_CONSIDERED_MAX) {
            show(self.offers[slot as usize].agent_slot);
        }
    }

    /// Returns every standing quote, ended or not, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = StandingQuote> {
        (0..).zip(&self.offers).map(|(slot, _)| self.at(slot))
    }

    /// Returns how many standing quotes of a capability are live.
    pub fn live_in(&self, capability: CapabilityId) -> u32 {
        self.book(capability).map_or(0, |book| self.listed[usize::from(book)].live)
    }

    /// Returns the first of the quotes that [`StandingQuotes::open_of`] returns.
    pub fn first_of(&self, agent_slot: u32) -> Option<StandingQuote> {
        let first = self.of_agents.get(agent_slot as usize)?.first()?;
        Some(self.at(first))
    }

    /// Returns the standing quotes of the agent in a slot that are live or may come back, the one that
    /// was set first first.
    pub fn open_of(&self, agent_slot: u32) -> impl Iterator<Item = StandingQuote> {
        let mut next = self.of_agents.get(agent_slot as usize).and_then(Chain::first);
        core::iter::from_fn(move || {
            let slot = next?;
            next = self.links[slot as usize].after();
            Some(self.at(slot))
        })
    }

    /// Adds an agent's first standing quote for a capability; `provider` is the agent and its slot.
    ///
    /// # Errors
    ///
    /// [`RejectReason::UnknownCapability`] or `TableFull`.
    pub fn add(
        &mut self,
        provider: (AgentId, u32),
        capability: CapabilityId,
        update: Update,
        priority: u64,
    ) -> Result<(), RejectReason> {
        self.check_room(capability)?;
        self.insert(StandingQuote::new(provider, capability, update, priority));
        Ok(())
    }

    /// Changes the standing quote in `slot`, or brings it back. A new price or latency, or more
    /// capacity, takes the place `priority` among ties; so does one that had expired by `now`.
    pub fn change(&mut self, slot: u32, update: Update, priority: u64, now: TimestampNs) {
        let offer = &mut self.offers[slot as usize];
        assert!(update.revision > offer.revision, "invariant: revisions are checked before");
        let (was_live, was_open, before) = (offer.capacity > 0, offer.is_open(), offer.key());
        let keeps_place = was_live
            && offer.valid_until >= now
            && offer.price == update.price
            && offer.latency_ms == update.latency_ms
            && update.capacity <= offer.capacity;
        offer.revision = update.revision;
        offer.price = update.price;
        offer.latency_ms = update.latency_ms;
        offer.used_up = false;
        offer.offered = update.capacity;
        offer.capacity = update.capacity;
        offer.valid_until = update.valid_until;
        if !keeps_place {
            offer.priority = priority;
            self.listed[usize::from(offer.book)].book.set(offer.place, before, offer.key());
        }
        if !was_live {
            self.listed[usize::from(self.offers[slot as usize].book)].live += 1;
        }
        if !was_open {
            self.open(slot);
        }
    }

    /// Puts back `quantity` units that were awarded on the revision `revision` of an agent's standing
    /// quote, and returns it; nothing if it has been changed or has ended otherwise since. It keeps its
    /// place among ties.
    pub fn give_back(
        &mut self,
        agent: AgentId,
        capability: CapabilityId,
        (revision, quantity): (u64, u32),
    ) -> Option<StandingQuote> {
        let slot = self.slot(agent, capability)?;
        let offer = &mut self.offers[slot as usize];
        if offer.revision != revision || (offer.capacity == 0 && !offer.used_up) {
            return None;
        }
        let capacity = offer.capacity.checked_add(quantity);
        offer.capacity = capacity.expect("invariant: what comes back was offered before");
        assert!(offer.capacity <= offer.offered, "invariant: no more comes back than was taken");
        if offer.used_up {
            offer.used_up = false;
            let listed = &mut self.listed[usize::from(offer.book)];
            listed.book.set(offer.place, Key::ENDED, offer.key());
            listed.live += 1;
        }
        Some(self.at(slot))
    }

    /// Cancels an agent's standing quote, and remembers `revision`: whatever comes late and is not
    /// above it changes nothing. The quote need not be there (yet).
    ///
    /// # Errors
    ///
    /// [`RejectReason::UnknownCapability`] or `TableFull`.
    pub fn cancel(
        &mut self,
        provider: (AgentId, u32),
        capability: CapabilityId,
        revision: u64,
    ) -> Result<(), RejectReason> {
        let Some(slot) = self.slot(provider.0, capability) else {
            let (price, valid_until) = (Micros::ZERO, TimestampNs::default());
            let nothing = Update { revision, price, latency_ms: 0, capacity: 0, valid_until };
            return self.add(provider, capability, nothing, 0);
        };
        let offer = &mut self.offers[slot as usize];
        assert!(revision > offer.revision, "invariant: revisions are checked before");
        (offer.revision, offer.offered) = (revision, 0);
        if offer.is_open() {
            self.end_at(slot);
        }
        Ok(())
    }

    /// Ends an agent's standing quote, live or used up: it does not come back.
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
            0 => {
                offer.used_up = true;
                self.take_from_book(slot);
            }
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
        let Listed { capability, book, .. } = &mut self.listed[usize::from(book)];
        let offers = &self.offers;
        book.visit(&mut self.frontier, |slot| visit(&offers[slot as usize].quote(*capability)));
    }

    /// Puts back a standing quote as it was.
    pub fn restore(&mut self, quote: StandingQuote) {
        self.insert(quote);
    }

    fn book(&self, capability: CapabilityId) -> Option<u16> {
        let is_it = |book: u32| self.listed[book as usize].capability == capability;
        let book = self.books.find(index::hash([capability.raw()]), is_it)?;
        Some(u16::try_from(book).expect("fewer than CAPABILITIES_MAX"))
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
        let in_book = &mut self.listed[usize::from(book)].book;
        let place = in_book.add(slot);
        let offer = Offer {
            provider: quote.provider,
            revision: quote.revision,
            price: quote.price,
            valid_until: quote.valid_until,
            priority: quote.priority,
            agent_slot: quote.agent_slot,
            latency_ms: quote.latency_ms,
            offered: quote.offered,
            capacity: quote.capacity,
            place,
            book,
            used_up: quote.used_up,
        };
        in_book.set(place, Key::ENDED, offer.key());
        self.offers.push(offer);
        self.links.push(Links::default());
        self.slots.insert(hash(quote.provider, book), slot);
        if quote.is_live() {
            self.listed[usize::from(book)].live += 1;
        }
        if quote.is_open() {
            self.open(slot);
        }
    }

    /// Notes that the standing quote in `slot` is its agent's from now on.
    fn open(&mut self, slot: u32) {
        let chain = of_agent(&mut self.of_agents, self.offers[slot as usize].agent_slot);
        chain.push(self.links.as_mut_slice(), slot, in_chain);
    }

    fn end_at(&mut self, slot: u32) {
        let offer = &mut self.offers[slot as usize];
        assert!(offer.is_open(), "invariant: a standing quote ends once");
        offer.used_up = false;
        let chain = of_agent(&mut self.of_agents, offer.agent_slot);
        chain.remove(self.links.as_mut_slice(), slot, in_chain);
        if offer.capacity > 0 {
            self.take_from_book(slot);
        }
    }

    /// Takes the live standing quote in `slot` out of its book: it can be awarded no more.
    fn take_from_book(&mut self, slot: u32) {
        let offer = &mut self.offers[slot as usize];
        assert!(offer.capacity > 0, "invariant: only a live quote is in its book");
        let listed = &mut self.listed[usize::from(offer.book)];
        listed.book.set(offer.place, offer.key(), Key::ENDED);
        listed.live -= 1;
        offer.capacity = 0;
    }
}

impl Offer {
    fn is_open(&self) -> bool {
        self.capacity > 0 || self.used_up
    }

    /// Returns what its book is ordered by.
    fn key(&self) -> Key {
        match self.capacity {
            0 => Key::ENDED,
            _ => Key::new(self.price, self.priority),
        }
    }

    fn quote(&self, capability: CapabilityId) -> StandingQuote {
        StandingQuote {
            capability,
            provider: self.provider,
            agent_slot: self.agent_slot,
            revision: self.revision,
            price: self.price,
            latency_ms: self.latency_ms,
            offered: self.offered,
            capacity: self.capacity,
            used_up: self.used_up,
            valid_until: self.valid_until,
            priority: self.priority,
        }
    }
}

impl StandingQuote {
    /// Returns whether it can be awarded.
    pub fn is_live(&self) -> bool {
        self.capacity > 0
    }

    /// Returns whether it can be awarded, or may come back.
    pub fn is_open(&self) -> bool {
        self.is_live() || self.used_up
    }

    /// Describes a standing quote with all of its capacity.
    pub fn new(
        (provider, agent_slot): (AgentId, u32),
        capability: CapabilityId,
        update: Update,
        priority: u64,
    ) -> Self {
        let Update { revision, price, latency_ms, capacity, valid_until } = update;
        Self {
            capability,
            provider,
            agent_slot,
            revision,
            price,
            latency_ms,
            offered: capacity,
            capacity,
            used_up: false,
            valid_until,
            priority,
        }
    }
}

fn in_chain(links: &mut [Links], slot: u32) -> &mut Links {
    &mut links[slot as usize]
}

fn of_agent(agents: &mut Vec<Chain>, slot: u32) -> &mut Chain {
    let slot = slot as usize;
    if slot >= agents.len() {
        agents.resize(slot + 1, Chain::default());
    }
    &mut agents[slot]
}

fn hash(agent: AgentId, book: u16) -> u64 {
    index::hash([agent.raw(), u64::from(book)])
}
