//! The floor: what one quote costs if nothing is decided about it. Look two things up, check two
//! numbers, insert, copy. The core's figures are read beside it, at the same working set.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::hint::black_box;

use crate::bench::measure::{Flow, Measure};

/// A hasher as fast as the core's: one multiplication.
#[derive(Default)]
struct OneMultiply(u64);

impl std::hash::Hasher for OneMultiply {
    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers are hashed here");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0xf135_7aea_2e62_a9c5);
    }
}

type Map = HashMap<u64, usize, BuildHasherDefault<OneMultiply>>;

/// A quote, as flat as it can be: two cache lines.
#[derive(Clone, Copy)]
pub struct FlatQuote {
    agent: u64,
    /// The auction, or the standing quote itself.
    target: u64,
    is_standing: bool,
    price: i64,
    valid_until: u64,
    /// What a real one carries besides.
    _rest: [u64; 11],
}

/// Auctions that take quotes without thinking, and standing quotes.
pub struct Floor {
    agents: Map,
    auctions: Map,
    quotes: Vec<Auction>,
    standing_slots: Map,
    standing: Vec<FlatQuote>,
    copies: Vec<FlatQuote>,
    next_copy: usize,
}

/// The quotes of one auction; the oldest is overwritten when it is full.
struct Auction {
    quotes: Vec<FlatQuote>,
    next: usize,
}

/// Quotes that are kept as copies before the oldest is overwritten.
const COPIES: usize = 8_192;

/// Quotes that an auction keeps.
const QUOTES: usize = 64;

impl Floor {
    /// Makes auctions and standing quotes.
    pub fn new(agents: usize, auctions: usize, standing: usize) -> Self {
        let map = |entries: usize| (0..entries).map(|slot| (spread(slot), slot)).collect();
        let nothing = FlatQuote::sealed(0, 0, 1);
        let auction = |_| Auction { quotes: vec![nothing; QUOTES], next: 0 };
        Self {
            agents: map(agents),
            auctions: map(auctions),
            quotes: (0..auctions).map(auction).collect(),
            standing_slots: map(standing),
            standing: vec![nothing; standing],
            copies: vec![nothing; COPIES],
            next_copy: 0,
        }
    }

    /// Takes each quote, and measures those behind the first `warm_up`.
    pub fn measure(
        &mut self,
        drawn: &[FlatQuote],
        warm_up: usize,
        timer_ns: u64,
    ) -> anyhow::Result<Flow> {
        let (warm_up, measured) = drawn.split_at(warm_up);
        let mut taken = warm_up.iter().filter(|quote| self.take(quote)).count();
        let mut measure = Measure::new(timer_ns)?;
        for quote in measured {
            measure.one(0, || taken += usize::from(self.take(black_box(quote))));
        }
        anyhow::ensure!(taken == drawn.len(), "the floor takes every quote");
        measure.flow(None)
    }

    /// Takes a quote. Returns whether it was accepted.
    fn take(&mut self, quote: &FlatQuote) -> bool {
        let targets = if quote.is_standing { &self.standing_slots } else { &self.auctions };
        let (Some(_), Some(target)) =
            (self.agents.get(&quote.agent), targets.get(&quote.target).copied())
        else {
            return false;
        };
        if quote.price <= 0 || quote.valid_until == 0 {
            return false;
        }
        if quote.is_standing {
            self.standing[target] = *quote;
        } else {
            self.quotes[target].insert(quote);
        }
        self.copies[self.next_copy] = *quote;
        self.next_copy = (self.next_copy + 1) % COPIES;
        true
    }
}

impl Auction {
    fn insert(&mut self, quote: &FlatQuote) {
        self.quotes[self.next] = *quote;
        self.next = (self.next + 1) % QUOTES;
    }
}

impl FlatQuote {
    /// Makes a quote of an agent for an auction, both by number.
    pub fn sealed(agent: usize, auction: usize, price: i64) -> Self {
        let (agent, target) = (spread(agent), spread(auction));
        Self { agent, target, is_standing: false, price, valid_until: u64::MAX, _rest: [0; 11] }
    }

    /// Makes an update of a standing quote, by number.
    pub fn standing(agent: usize, standing: usize, price: i64) -> Self {
        Self { is_standing: true, ..Self::sealed(agent, standing, price) }
    }
}

/// Spreads small numbers over all of them, like the ids of the exchange.
fn spread(number: usize) -> u64 {
    (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
