//! The floor: what one quote costs if nothing is decided about it. Look two things up, check two
//! numbers, insert, copy. The core's figures are read beside it, at the same working set.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

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
    auction: u64,
    price: i64,
    valid_until: u64,
    /// What a real one carries besides.
    _rest: [u64; 12],
}

/// Auctions that take quotes without thinking.
pub struct Floor {
    agents: Map,
    auctions: Map,
    quotes: Vec<Vec<FlatQuote>>,
    copies: Vec<FlatQuote>,
    next_copy: usize,
}

/// Quotes that are kept as copies before the oldest is overwritten.
const COPIES: usize = 8_192;

impl Floor {
    /// Makes auctions with room for `quotes` quotes each.
    pub fn new(agents: u64, auctions: u64, quotes: usize) -> Self {
        let map = |entries: u64| (0..).zip(0..entries).map(|(slot, key)| (spread(key), slot));
        Self {
            agents: map(agents).collect(),
            auctions: map(auctions).collect(),
            quotes: (0..auctions).map(|_| Vec::with_capacity(quotes)).collect(),
            copies: vec![FlatQuote::new(0, 0, 1); COPIES],
            next_copy: 0,
        }
    }

    /// Takes a quote. Returns whether it was accepted.
    pub fn take(&mut self, quote: &FlatQuote) -> bool {
        let (Some(_), Some(auction)) =
            (self.agents.get(&quote.agent), self.auctions.get(&quote.auction))
        else {
            return false;
        };
        let quotes = &mut self.quotes[*auction];
        if quote.price <= 0 || quote.valid_until == 0 || quotes.len() == quotes.capacity() {
            return false;
        }
        quotes.push(*quote);
        self.copies[self.next_copy] = *quote;
        self.next_copy = (self.next_copy + 1) % COPIES;
        true
    }
}

impl FlatQuote {
    /// Makes a quote of an agent for an auction, both by number.
    pub fn new(agent: u64, auction: u64, price: i64) -> Self {
        let (agent, auction) = (spread(agent), spread(auction));
        Self { agent, auction, price, valid_until: u64::MAX, _rest: [0; 12] }
    }
}

/// Spreads small numbers over all of them, like the ids of the exchange.
fn spread(number: u64) -> u64 {
    (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
