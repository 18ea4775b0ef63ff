//! Open RFQs and the sealed quotes they collect.

use alloc::vec::Vec;

use gavel_protocol::{
    AccountId, AgentId, LossReason, Micros, QuoteId, QuoteRef, RejectReason, RfqId, RfqTerms,
    TimestampNs,
};
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use slab::Slab;

use crate::chain::{Chain, Links};
use crate::clearing::Candidate;
use crate::limits::{QUOTES_LIVE_MAX, QUOTES_PER_RFQ_MAX, RFQS_OPEN_MAX};

/// An open RFQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rfq {
    /// Its id.
    pub id: RfqId,
    /// Who asks.
    pub buyer: AgentId,
    /// For which account.
    pub account: AccountId,
    /// When it closes, on the market's own clock.
    pub closes_at: TimestampNs,
    /// What is asked for.
    pub terms: RfqTerms,
    quotes: Chain,
    of_buyer: Links,
}

/// A live sealed quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Its id.
    pub id: QuoteId,
    /// The RFQ it answers.
    pub rfq: RfqId,
    /// Who quotes.
    pub provider: AgentId,
    /// For which account.
    pub account: AccountId,
    /// The price per unit.
    pub price: Micros,
    /// The place among ties.
    pub priority: u64,
    /// The sequence number of the command that placed it.
    pub placed: u64,
    /// Firm until then.
    pub valid_until: TimestampNs,
    in_rfq: Links,
    of_provider: Links,
}

/// The open RFQs and their quotes.
#[derive(Debug)]
pub struct Rfqs {
    rfqs: Slab<Rfq>,
    rfq_slots: HashMap<RfqId, u32, FxBuildHasher>,
    quotes: Slab<Quote>,
    quote_slots: HashMap<QuoteId, u32, FxBuildHasher>,
    /// At most one live quote per RFQ and account.
    quoted: HashMap<(RfqId, AccountId), u32, FxBuildHasher>,
    of_providers: HashMap<AgentId, Chain, FxBuildHasher>,
    of_buyers: HashMap<AgentId, Chain, FxBuildHasher>,
}

impl Rfq {
    /// Describes an RFQ without quotes.
    pub fn new(
        id: RfqId,
        (buyer, account): (AgentId, AccountId),
        closes_at: TimestampNs,
        terms: RfqTerms,
    ) -> Self {
        let (quotes, of_buyer) = (Chain::default(), Links::default());
        Self { id, buyer, account, closes_at, terms, quotes, of_buyer }
    }

    /// Returns how many quotes it has collected.
    pub fn quotes(&self) -> u32 {
        self.quotes.len()
    }
}

impl Quote {
    /// Describes a quote that is placed by the command `placed`.
    pub fn new(
        id: QuoteId,
        rfq: RfqId,
        (provider, account): (AgentId, AccountId),
        (price, placed): (Micros, u64),
        valid_until: TimestampNs,
    ) -> Self {
        Self {
            id,
            rfq,
            provider,
            account,
            price,
            priority: placed,
            placed,
            valid_until,
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
            rfq_slots: HashMap::with_capacity_and_hasher(map(RFQS_OPEN_MAX), FxBuildHasher),
            quotes: Slab::with_capacity(QUOTES_LIVE_MAX as usize),
            quote_slots: HashMap::with_capacity_and_hasher(map(QUOTES_LIVE_MAX), FxBuildHasher),
            quoted: HashMap::with_capacity_and_hasher(map(QUOTES_LIVE_MAX), FxBuildHasher),
            of_providers: HashMap::with_capacity_and_hasher(map(agents_max), FxBuildHasher),
            of_buyers: HashMap::with_capacity_and_hasher(map(agents_max), FxBuildHasher),
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
    pub fn open(&mut self, rfq: Rfq) -> u32 {
        assert!(self.len() < RFQS_OPEN_MAX as usize, "invariant: room is checked before");
        let slot = slot(self.rfqs.insert(rfq));
        let before = self.rfq_slots.insert(rfq.id, slot);
        assert!(before.is_none(), "invariant: an RFQ is opened once: {}", rfq.id);
        self.of_buyers.entry(rfq.buyer).or_default().push(&mut self.rfqs, slot, of_buyer);
        slot
    }

    /// Returns the slot of an open RFQ.
    pub fn slot(&self, rfq: RfqId) -> Option<u32> {
        self.rfq_slots.get(&rfq).copied()
    }

    /// Returns the RFQ in a slot.
    pub fn at(&self, slot: u32) -> &Rfq {
        &self.rfqs[slot as usize]
    }

    /// Returns every open RFQ, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Rfq> {
        self.rfqs.iter().map(|(_, rfq)| rfq)
    }

    /// Returns the agent's open RFQs, oldest first.
    pub fn rfqs_of(&self, agent: AgentId) -> impl Iterator<Item = &Rfq> {
        let mut next = self.of_buyers.get(&agent).and_then(Chain::first);
        core::iter::from_fn(move || {
            let rfq = &self.rfqs[next? as usize];
            next = rfq.of_buyer.after();
            Some(rfq)
        })
    }

    /// Returns every live quote, in no particular order.
    pub fn quotes(&self) -> impl Iterator<Item = &Quote> {
        self.quotes.iter().map(|(_, quote)| quote)
    }

    /// Returns whether the account has a live quote for the RFQ.
    pub fn has_quoted(&self, rfq: RfqId, account: AccountId) -> bool {
        self.quoted.contains_key(&(rfq, account))
    }

    /// Checks that the RFQ in `slot` has room for another quote.
    ///
    /// # Errors
    ///
    /// [`RejectReason::RfqFull`] or `TableFull`.
    pub fn check_room(&self, slot: u32) -> Result<(), RejectReason> {
        let rfq = self.at(slot);
        if rfq.quotes.len() >= QUOTES_PER_RFQ_MAX {
            return Err(RejectReason::RfqFull);
        }
        if self.quotes.len() >= QUOTES_LIVE_MAX as usize {
            return Err(RejectReason::TableFull);
        }
        Ok(())
    }

    /// Adds a quote to the RFQ in `slot`, after [`Rfqs::check_room`].
    pub fn place(&mut self, rfq_slot: u32, quote: Quote) {
        let at = slot(self.quotes.insert(quote));
        self.quote_slots.insert(quote.id, at);
        self.quoted.insert((quote.rfq, quote.account), at);
        self.rfqs[rfq_slot as usize].quotes.push(&mut self.quotes, at, in_rfq);
        self.of_providers.entry(quote.provider).or_default().push(
            &mut self.quotes,
            at,
            of_provider,
        );
    }

    /// Returns a live quote.
    pub fn quote(&self, quote: QuoteId) -> Option<&Quote> {
        self.quote_slots.get(&quote).map(|slot| &self.quotes[*slot as usize])
    }

    /// Changes a live quote. A new price takes the place `priority` among ties; returns whether the
    /// quote kept its old one.
    pub fn amend(
        &mut self,
        quote: QuoteId,
        price: Micros,
        valid_until: TimestampNs,
        priority: u64,
    ) -> bool {
        let slot = *self.quote_slots.get(&quote).expect("invariant: looked up before");
        let quote = &mut self.quotes[slot as usize];
        let kept_place = quote.price == price;
        if !kept_place {
            quote.priority = priority;
        }
        quote.price = price;
        quote.valid_until = valid_until;
        kept_place
    }

    /// Removes a live quote.
    pub fn cancel_quote(&mut self, quote: QuoteId) -> Quote {
        let slot = *self.quote_slots.get(&quote).expect("invariant: looked up before");
        self.remove_quote(slot)
    }

    /// Returns the agent's oldest live quote.
    pub fn first_quote_of(&self, agent: AgentId) -> Option<&Quote> {
        let first = self.of_providers.get(&agent)?.first()?;
        Some(&self.quotes[first as usize])
    }

    /// Returns the agent's live quotes, oldest first.
    pub fn quotes_of(&self, agent: AgentId) -> impl Iterator<Item = &Quote> {
        let mut next = self.of_providers.get(&agent).and_then(Chain::first);
        core::iter::from_fn(move || {
            let quote = &self.quotes[next? as usize];
            next = quote.of_provider.after();
            Some(quote)
        })
    }

    /// Removes the RFQ in `slot` with its quotes, and appends these to `candidates`; what is not
    /// valid at `closes_at` is barred from winning.
    pub fn close(
        &mut self,
        slot: u32,
        closes_at: TimestampNs,
        candidates: &mut Vec<Candidate>,
    ) -> Rfq {
        let mut next = self.at(slot).quotes.first();
        while let Some(at) = next {
            next = self.quotes[at as usize].in_rfq.after();
            let quote = self.forget_quote(at);
            let expired = (quote.valid_until < closes_at).then_some(LossReason::QuoteExpired);
            candidates.push(Candidate {
                provider: quote.provider,
                account: quote.account,
                quote: QuoteRef::Sealed(quote.id),
                price: quote.price,
                priority: quote.priority,
                barred: expired,
            });
        }
        let chain = self.of_buyers.get_mut(&self.rfqs[slot as usize].buyer);
        let chain = chain.expect("invariant: an open RFQ is in its buyer's chain");
        chain.remove(&mut self.rfqs, slot, of_buyer);
        let rfq = self.rfqs.remove(slot as usize);
        self.rfq_slots.remove(&rfq.id);
        rfq
    }

    /// Removes a quote from its RFQ and from everywhere else.
    fn remove_quote(&mut self, slot: u32) -> Quote {
        let rfq = self.quotes[slot as usize].rfq;
        let rfq_slot = self.slot(rfq).expect("invariant: a quote ends with its RFQ");
        self.rfqs[rfq_slot as usize].quotes.remove(&mut self.quotes, slot, in_rfq);
        self.forget_quote(slot)
    }

    /// Removes a quote from everywhere but its RFQ's chain.
    fn forget_quote(&mut self, slot: u32) -> Quote {
        let agent = self.quotes[slot as usize].provider;
        let chain = self.of_providers.get_mut(&agent);
        let chain = chain.expect("invariant: a quote is in its agent's chain");
        chain.remove(&mut self.quotes, slot, of_provider);
        let quote = self.quotes.remove(slot as usize);
        self.quote_slots.remove(&quote.id);
        self.quoted.remove(&(quote.rfq, quote.account));
        quote
    }
}

fn slot(key: usize) -> u32 {
    u32::try_from(key).expect("invariant: every table has fewer than 2^32 entries")
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
