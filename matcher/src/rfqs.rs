//! Open RFQs and the answers they collect: sealed quotes, and declines.

use alloc::vec::Vec;

use gavel_protocol::{
    AccountId, AgentId, CapabilityId, DurationNs, Item, Micros, NoQuoteReason, Offer, QuoteId,
    RejectReason, RfqId, RfqTerms, SignedRfq, TimestampNs,
};
use hashbrown::HashMap;
use rkyv::{Archive, Deserialize, Serialize};
use rustc_hash::FxBuildHasher;
use slab::Slab;

use crate::bundles::{BundleBooks, BundleRules};
use crate::chain::{Chain, Links};
use crate::dutch::Dutch;
use crate::index::{self, Index};
use crate::invitations::Invitations;
use crate::limits::{CAPABILITIES_MAX, QUOTES_LIVE_MAX, QUOTES_PER_RFQ_MAX, RFQS_OPEN_MAX};
use crate::owner::Owner;

/// An open RFQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rfq {
    /// Its id.
    pub id: RfqId,
    /// Who asks.
    pub owner: Owner,
    /// When it was opened, on the market's own clock.
    pub opened_at: TimestampNs,
    /// When it closes, on the market's own clock.
    pub closes_at: TimestampNs,
    /// What is asked for.
    pub terms: RfqTerms,
    /// What its buyer has signed, if it has.
    pub signed: Option<SignedRfq>,
    /// How long the Dutch prices of its capability had stood still before it was opened.
    pub stopped_before: DurationNs,
    /// What was taken of it already, if it is Dutch.
    pub taken: Taken,
    /// Whether it takes no more answers: the buyer is picking, or an allocation is sought.
    pub closed: bool,
    /// Whether only those who are invited may answer.
    pub directed: bool,
    /// Where its bundles are, if it is combinatorial.
    pub bundles: Option<u32>,
    /// Where its price curve is, if it is Dutch.
    dutch: Option<u32>,
    pub(crate) invitations: Chain,
    quotes: Chain,
    of_buyer: Links,
    of_capability: Links,
}

/// What was taken of a Dutch RFQ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Taken {
    /// Units.
    pub quantity: u32,
    /// How many times.
    pub times: u32,
    /// The price per unit of the last time, which is the highest.
    pub price: Option<Micros>,
}

/// A provider's answer to an RFQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Its id.
    pub id: QuoteId,
    /// The RFQ it answers.
    pub rfq: RfqId,
    /// Who answers.
    pub owner: Owner,
    /// What is offered; without meaning if it is declined.
    pub offer: Offer,
    /// Why there is no quote, if the provider has declined.
    pub declined: Option<NoQuoteReason>,
    /// What was put up for it.
    pub bond: Micros,
    /// The provider's reputation at the close, while the buyer is picking.
    pub reputation_bps: u16,
    /// The place among ties.
    pub priority: u64,
    /// The sequence number of the command that placed it.
    pub placed: u64,
    in_rfq: Links,
    of_provider: Links,
}

/// The open RFQs and their quotes.
#[derive(Debug)]
pub struct Rfqs {
    rfqs: Slab<Rfq>,
    rfq_slots: Index,
    dutch: Slab<Dutch>,
    /// What the combinatorial ones have collected.
    pub books: BundleBooks,
    /// Who was invited to what.
    pub invitations: Invitations,
    quotes: Slab<Quote>,
    quote_slots: Index,
    /// At most one answer per RFQ and account.
    answers: Index,
    /// By the agents' slots.
    of_agents: Vec<OfAgent>,
    /// The RFQs that everybody may answer.
    of_capabilities: HashMap<CapabilityId, Chain, FxBuildHasher>,
}

/// What one agent has open.
#[derive(Clone, Copy, Debug, Default)]
struct OfAgent {
    rfqs: Chain,
    quotes: Chain,
}

impl Rfq {
    /// Describes an RFQ without quotes.
    pub fn new(
        id: RfqId,
        owner: Owner,
        (opened_at, closes_at): (TimestampNs, TimestampNs),
        terms: RfqTerms,
    ) -> Self {
        Self {
            id,
            owner,
            opened_at,
            closes_at,
            terms,
            signed: None,
            stopped_before: DurationNs::ZERO,
            taken: Taken::default(),
            closed: false,
            directed: false,
            bundles: None,
            dutch: None,
            invitations: Chain::default(),
            quotes: Chain::default(),
            of_buyer: Links::default(),
            of_capability: Links::default(),
        }
    }

    /// Returns how many answers it has collected.
    pub fn answers(&self) -> u32 {
        self.quotes.len()
    }

    /// Returns when quotes become irrevocable, on the market's own clock.
    pub fn cutoff_at(&self) -> TimestampNs {
        self.closes_at.before(self.terms.cutoff)
    }
}

impl Quote {
    /// Describes a quote that is placed by the command `placed`.
    pub fn new(id: QuoteId, rfq: RfqId, owner: Owner, offer: Offer, placed: u64) -> Self {
        Self {
            id,
            rfq,
            owner,
            offer,
            declined: None,
            bond: Micros::ZERO,
            reputation_bps: 0,
            priority: placed,
            placed,
            in_rfq: Links::default(),
            of_provider: Links::default(),
        }
    }
}

impl Rfqs {
    /// Makes room for everything there may be. A map gets twice its number of entries: it never
    /// grows by rehashing below half its capacity.
    pub fn new(agents_max: u32) -> Self {
        let map = |entries: u32| 2 * entries as usize;
        Self {
            rfqs: Slab::with_capacity(RFQS_OPEN_MAX as usize),
            rfq_slots: Index::new(RFQS_OPEN_MAX),
            dutch: Slab::with_capacity(RFQS_OPEN_MAX as usize),
            books: BundleBooks::default(),
            invitations: Invitations::new(),
            quotes: Slab::with_capacity(QUOTES_LIVE_MAX as usize),
            quote_slots: Index::new(QUOTES_LIVE_MAX),
            answers: Index::new(QUOTES_LIVE_MAX),
            of_agents: Vec::with_capacity(agents_max as usize),
            of_capabilities: HashMap::with_capacity_and_hasher(
                map(CAPABILITIES_MAX),
                FxBuildHasher,
            ),
        }
    }

    /// Returns how many RFQs are open.
    pub fn len(&self) -> usize {
        self.rfqs.len()
    }

    /// Returns whether no RFQ is open.
    pub fn is_empty(&self) -> bool {
        self.rfqs.is_empty()
    }

    /// Adds an RFQ, and returns its slot: a small number that is its own while it is open.
    pub fn open(
        &mut self,
        rfq: Rfq,
        dutch: Option<Dutch>,
        bundles: Option<(BundleRules, &[Item])>,
    ) -> u32 {
        assert!(self.len() < RFQS_OPEN_MAX as usize, "invariant: room is checked before");
        assert!(self.slot(rfq.id).is_none(), "invariant: an RFQ is opened once: {}", rfq.id);
        let slot = slot(self.rfqs.insert(rfq));
        self.rfq_slots.insert(index::hash([rfq.id.raw()]), slot);
        if let Some(dutch) = dutch {
            let place = self.dutch.insert(dutch);
            self.rfqs[slot as usize].dutch =
                Some(u32::try_from(place).expect("fewer than RFQS_OPEN_MAX"));
        }
        self.rfqs[slot as usize].bundles =
            bundles.map(|(rules, items)| self.books.open(rules, items));
        let mine = of_agent(&mut self.of_agents, rfq.owner.slots.agent);
        mine.rfqs.push(&mut self.rfqs, slot, of_buyer);
        if !rfq.directed {
            let chain = self.of_capabilities.entry(rfq.terms.capability).or_default();
            chain.push(&mut self.rfqs, slot, of_capability);
        }
        slot
    }

    /// Invites a provider to answer the RFQ in `slot`, which is directed.
    pub fn invite(&mut self, slot: u32, provider: AgentId) {
        let rfq = &mut self.rfqs[slot as usize];
        self.invitations.add(&mut rfq.invitations, provider);
    }

    /// Returns the slot of an open RFQ.
    pub fn slot(&self, rfq: RfqId) -> Option<u32> {
        let is_it = |slot: u32| self.rfqs[slot as usize].id == rfq;
        self.rfq_slots.find(index::hash([rfq.raw()]), is_it)
    }

    /// Returns the RFQ in a slot.
    pub fn at(&self, slot: u32) -> &Rfq {
        &self.rfqs[slot as usize]
    }

    /// Returns the RFQ in a slot, for a change of its deadline or of what was taken.
    pub fn at_mut(&mut self, slot: u32) -> &mut Rfq {
        &mut self.rfqs[slot as usize]
    }

    /// Returns the price curve of the RFQ in a slot, if it is Dutch.
    pub fn dutch(&self, slot: u32) -> Option<&Dutch> {
        self.at(slot).dutch.map(|place| &self.dutch[place as usize])
    }

    /// Returns the slot of every open RFQ, in no particular order.
    pub fn slots(&self) -> impl Iterator<Item = u32> {
        self.rfqs.iter().map(|(at, _)| slot(at))
    }

    /// Returns every open RFQ, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Rfq> {
        self.rfqs.iter().map(|(_, rfq)| rfq)
    }

    /// Returns the open RFQs of the agent in a slot, oldest first.
    pub fn rfqs_of(&self, agent_slot: u32) -> impl Iterator<Item = &Rfq> {
        let mut next = self.of_agents.get(agent_slot as usize).and_then(|of| of.rfqs.first());
        core::iter::from_fn(move || {
            let rfq = &self.rfqs[next? as usize];
            next = rfq.of_buyer.after();
            Some(rfq)
        })
    }

    /// Returns the open RFQs of a capability that everybody may answer, with their slots, oldest
    /// first, and how many there are.
    pub fn rfqs_for(&self, capability: CapabilityId) -> (u32, impl Iterator<Item = (u32, &Rfq)>) {
        let chain = self.of_capabilities.get(&capability).copied().unwrap_or_default();
        let mut next = chain.first();
        let rfqs = core::iter::from_fn(move || {
            let slot = next?;
            let rfq = &self.rfqs[slot as usize];
            next = rfq.of_capability.after();
            Some((slot, rfq))
        });
        (chain.len(), rfqs)
    }

    /// Returns every answer, in no particular order.
    pub fn quotes(&self) -> impl Iterator<Item = &Quote> {
        self.quotes.iter().map(|(_, quote)| quote)
    }

    /// Returns the account's answer to the RFQ.
    pub fn answer_of(&self, rfq: RfqId, account: AccountId) -> Option<&Quote> {
        let is_it = |slot: u32| {
            let quote = &self.quotes[slot as usize];
            quote.rfq == rfq && quote.owner.account == account
        };
        let slot = self.answers.find(index::hash([rfq.raw(), account.raw()]), is_it)?;
        Some(&self.quotes[slot as usize])
    }

    /// Checks that the RFQ in `slot` has room for another answer.
    ///
    /// # Errors
    ///
    /// [`RejectReason::RfqFull`] or `TableFull`.
    pub fn check_room(&self, slot: u32) -> Result<(), RejectReason> {
        if self.at(slot).quotes.len() >= QUOTES_PER_RFQ_MAX {
            return Err(RejectReason::RfqFull);
        }
        if self.quotes.len() >= QUOTES_LIVE_MAX as usize {
            return Err(RejectReason::TableFull);
        }
        Ok(())
    }

    /// Adds an answer to the RFQ in `slot`, after [`Rfqs::check_room`].
    pub fn place(&mut self, rfq_slot: u32, quote: Quote) {
        let at = slot(self.quotes.insert(quote));
        self.quote_slots.insert(index::hash([quote.id.raw()]), at);
        self.answers.insert(index::hash([quote.rfq.raw(), quote.owner.account.raw()]), at);
        self.rfqs[rfq_slot as usize].quotes.push(&mut self.quotes, at, in_rfq);
        let mine = of_agent(&mut self.of_agents, quote.owner.slots.agent);
        mine.quotes.push(&mut self.quotes, at, of_provider);
    }

    /// Returns an answer.
    pub fn quote(&self, quote: QuoteId) -> Option<&Quote> {
        self.quote_slot(quote).map(|slot| &self.quotes[slot as usize])
    }

    /// Changes what a live quote offers; `bond` is what is put up for it from now on. Unless only its
    /// quantity shrinks or its validity grows, it takes the place `priority` among ties. Returns
    /// whether it kept its old one.
    pub fn amend(&mut self, quote: QuoteId, offer: Offer, bond: Micros, priority: u64) -> bool {
        let slot = self.quote_slot(quote).expect("invariant: looked up before");
        let quote = &mut self.quotes[slot as usize];
        let Offer { price, quantity, all_or_none, latency_ms, valid_until, standby_until: _ } =
            quote.offer;
        let kept_place = offer.price == price
            && offer.latency_ms == latency_ms
            && offer.all_or_none == all_or_none
            && offer.quantity <= quantity
            && offer.valid_until >= valid_until;
        if !kept_place {
            quote.priority = priority;
        }
        (quote.offer, quote.bond) = (offer, bond);
        kept_place
    }

    /// Removes an answer.
    pub fn cancel_quote(&mut self, quote: QuoteId) -> Quote {
        let slot = self.quote_slot(quote).expect("invariant: looked up before");
        let rfq = self.quotes[slot as usize].rfq;
        let rfq_slot = self.slot(rfq).expect("invariant: an answer ends with its RFQ");
        self.rfqs[rfq_slot as usize].quotes.remove(&mut self.quotes, slot, in_rfq);
        self.forget_quote(slot)
    }

    /// Returns the answers of the agent in a slot, oldest first.
    pub fn quotes_of(&self, agent_slot: u32) -> impl Iterator<Item = &Quote> {
        let mut next = self.of_agents.get(agent_slot as usize).and_then(|of| of.quotes.first());
        core::iter::from_fn(move || {
            let quote = &self.quotes[next? as usize];
            next = quote.of_provider.after();
            Some(quote)
        })
    }

    /// Calls `visit` for the answers to the RFQ in `slot`, oldest first.
    pub fn visit_answers(&mut self, slot: u32, mut visit: impl FnMut(&mut Quote)) {
        let mut next = self.at(slot).quotes.first();
        while let Some(at) = next {
            let quote = &mut self.quotes[at as usize];
            next = quote.in_rfq.after();
            visit(quote);
        }
    }

    /// Removes the RFQ in `slot` with its answers, and calls `ended` for these, oldest first.
    pub fn close(&mut self, slot: u32, mut ended: impl FnMut(&Quote)) -> Rfq {
        let mut next = self.at(slot).quotes.first();
        while let Some(at) = next {
            next = self.quotes[at as usize].in_rfq.after();
            ended(&self.forget_quote(at));
        }
        let Rfq { owner, directed, terms, invitations, dutch, bundles, .. } = *self.at(slot);
        let mine = of_agent(&mut self.of_agents, owner.slots.agent);
        mine.rfqs.remove(&mut self.rfqs, slot, of_buyer);
        if !directed {
            let chain = self.of_capabilities.get_mut(&terms.capability);
            let chain =
                chain.expect("invariant: an RFQ for everybody is in its capability's chain");
            chain.remove(&mut self.rfqs, slot, of_capability);
        }
        self.invitations.forget(invitations);
        if let Some(place) = dutch {
            self.dutch.remove(place as usize);
        }
        if let Some(book) = bundles {
            self.books.close(book);
        }
        let rfq = self.rfqs.remove(slot as usize);
        self.rfq_slots.remove(index::hash([rfq.id.raw()]), slot);
        rfq
    }

    fn quote_slot(&self, quote: QuoteId) -> Option<u32> {
        let is_it = |slot: u32| self.quotes[slot as usize].id == quote;
        self.quote_slots.find(index::hash([quote.raw()]), is_it)
    }

    /// Removes an answer from everywhere but its RFQ's chain.
    fn forget_quote(&mut self, slot: u32) -> Quote {
        let agent = self.quotes[slot as usize].owner.slots.agent;
        let mine = of_agent(&mut self.of_agents, agent);
        mine.quotes.remove(&mut self.quotes, slot, of_provider);
        let quote = self.quotes.remove(slot as usize);
        self.quote_slots.remove(index::hash([quote.id.raw()]), slot);
        self.answers.remove(index::hash([quote.rfq.raw(), quote.owner.account.raw()]), slot);
        quote
    }
}

fn slot(key: usize) -> u32 {
    u32::try_from(key).expect("invariant: every table has fewer than 2^32 entries")
}

fn of_agent(agents: &mut Vec<OfAgent>, slot: u32) -> &mut OfAgent {
    let slot = slot as usize;
    if slot >= agents.len() {
        agents.resize(slot + 1, OfAgent::default());
    }
    &mut agents[slot]
}

fn in_rfq(quotes: &mut Slab<Quote>, slot: u32) -> &mut Links {
    &mut quotes[slot as usize].in_rfq
}

fn of_provider(quotes: &mut Slab<Quote>, slot: u32) -> &mut Links {
    &mut quotes[slot as usize].of_provider
}

fn of_buyer(rfqs: &mut Slab<Rfq>, slot: u32) -> &mut Links {
    &mut rfqs[slot as usize].of_buyer
}

fn of_capability(rfqs: &mut Slab<Rfq>, slot: u32) -> &mut Links {
    &mut rfqs[slot as usize].of_capability
}
