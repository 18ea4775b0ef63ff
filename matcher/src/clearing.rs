//! Clearing: the market's rules as pure functions of what competes.

use alloc::vec::Vec;

use gavel_protocol::limits::AWARDS_PER_RFQ_MAX;
use gavel_protocol::{
    AccountId, Breakdown, Bug, Format, LossReason, Micros, Offer, QuoteRef, Ranked, RankedResult,
    RfqTerms, Scoring,
};
use rkyv::{Archive, Deserialize, Serialize};

use crate::limits::CANDIDATES_MAX;
use crate::owner::Owner;

/// Something that competes at a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Candidate {
    /// Who quotes.
    pub owner: Owner,
    /// Which of its quotes.
    pub quote: QuoteRef,
    /// What it offers.
    pub offer: Offer,
    /// What it has put up.
    pub bond: Micros,
    /// The provider's reputation at the close.
    pub reputation_bps: u16,
    /// The place among ties: the sequence number of its last change.
    pub priority: u64,
    /// Why it cannot win, whatever its price; none if it can.
    pub barred: Option<LossReason>,
}

impl Candidate {
    /// Bars it from winning. Of several reasons the first in order of precedence is kept.
    pub fn bar(&mut self, reason: LossReason) {
        self.barred = Some(self.barred.map_or(reason, |other| other.min(reason)));
    }

    /// Returns the parts of its score.
    pub fn breakdown(&self, terms: &RfqTerms) -> Breakdown {
        let (latency_ms, reputation_bps) = (self.offer.latency_ms, self.reputation_bps);
        let scored = |part: Option<Micros>| part.expect("invariant: weights are limited");
        Breakdown {
            price: self.offer.price,
            latency_ms,
            latency: scored(terms.scoring.latency(latency_ms)),
            reputation_bps,
            reputation: scored(terms.scoring.reputation(reputation_bps)),
        }
    }
}

/// Units that are awarded to a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Who wins.
    pub winner: Candidate,
    /// How many units.
    pub quantity: u32,
    /// What is paid per unit.
    pub price: Micros,
}

/// What a close competes over, and the memory to rank it without allocating.
#[derive(Debug)]
pub struct Clearing {
    /// What competes. Fill it, then call [`clear`].
    pub candidates: Vec<Candidate>,
    /// Who won what, once it is cleared; the best first.
    pub fills: Vec<Fill>,
    order: Vec<Place>,
}

/// A candidate's place: whether it is barred, its score, its priority and its index in one integer.
type Place = u128;

impl Clearing {
    /// Makes room for the largest close there may be.
    pub fn new() -> Self {
        Self {
            candidates: Vec::with_capacity(CANDIDATES_MAX),
            fills: Vec::with_capacity(AWARDS_PER_RFQ_MAX as usize),
            order: Vec::with_capacity(CANDIDATES_MAX),
        }
    }

    /// Returns the candidates in the order of the ranked list, once they are ranked.
    pub fn in_order(&self) -> impl Iterator<Item = &Candidate> {
        self.order.iter().map(|place| &self.candidates[index_of(*place)])
    }
}

impl Default for Clearing {
    fn default() -> Self {
        Self::new()
    }
}

/// Bits of a packed key below the flag that bars a candidate: score, priority, index.
const SCORE_BITS: u32 = 63;
const PRIORITY_BITS: u32 = 48;
const INDEX_BITS: u32 = 16;

const _: () = assert!(1 + SCORE_BITS + PRIORITY_BITS + INDEX_BITS == 128);
const _: () = assert!(CANDIDATES_MAX < 1 << INDEX_BITS);

/// Clears by first or second price: the lowest score wins; ties go to the earlier place. Agents can
/// verify that from their own feed; a drawn tie-break would need a seed and could not be checked
/// from outside.
///
/// Fills [`Clearing::fills`], and appends the ranked list to `ranking`: those that cannot win come
/// last. Returns the price at the margin: the highest that is paid per unit, if anybody won.
///
/// Units go to quotes by score, and each winner gets what it can do of what is left. One that does
/// all of its units or none, and does not fit any more, is passed over. By first price a winner is
/// paid what it asked. By second price (Vickrey 1961, with a score as in Che 1993) it is paid the
/// price at which its score would equal that of the best losing unit of another account; without
/// one, the reserve; never more than the reserve.
pub fn clear(
    clearing: &mut Clearing,
    terms: &RfqTerms,
    ranking: &mut Vec<Ranked>,
) -> Option<Micros> {
    let ranked_before = ranking.len();
    rank(clearing, terms, ranking);
    let Clearing { candidates, fills, order } = clearing;
    fills.clear();
    let ranked = &mut ranking[ranked_before..];

    let (mut left, mut last_score) = (terms.quantity, None);
    let mut losing = Losing::default();
    for (entry, place) in ranked.iter_mut().zip(order.iter()) {
        // What comes after the last winner has lost; the second price still needs the best of it.
        let settled = terms.format == Format::FirstPrice || losing.other.is_some();
        let candidate = &candidates[index_of(*place)];
        if candidate.barred.is_some() || (left == 0 && settled) {
            break;
        }
        let most = candidate.offer.quantity.min(terms.quantity);
        let fits = !candidate.offer.all_or_none || most <= left;
        let full = fills.len() >= AWARDS_PER_RFQ_MAX as usize;
        let quantity = if fits && !full { most.min(left) } else { 0 };
        if quantity < most {
            losing.add(candidate.owner.account, entry.score);
        }
        if quantity > 0 {
            left -= quantity;
            last_score = Some(entry.score);
            entry.result = RankedResult::Won;
            fills.push(Fill { winner: *candidate, quantity, price: candidate.offer.price });
        } else if left > 0 {
            entry.result = RankedResult::Lost(LossReason::Unfillable);
        }
    }
    if terms.format == Format::SecondPrice {
        for fill in fills.iter_mut() {
            fill.price = second_price(fill, &losing, terms);
        }
    }
    name_losers(ranked, last_score);
    fills.iter().map(|fill| fill.price).max()
}

/// Ranks what competes, without saying who wins. Appends the ranked list to `ranking`; whoever can
/// win is [`RankedResult::Shown`].
pub fn rank(clearing: &mut Clearing, terms: &RfqTerms, ranking: &mut Vec<Ranked>) {
    let Clearing { candidates, order, .. } = clearing;
    order.clear();
    for (index, candidate) in candidates.iter_mut().enumerate() {
        if candidate.offer.price > terms.reserve {
            candidate.bar(LossReason::AboveReserve);
        }
        if !terms.split && candidate.offer.quantity < terms.quantity {
            candidate.bar(LossReason::Unfillable);
        }
        order.push(packed(candidate, score(candidate, terms), index));
    }
    order.sort_unstable();
    ranking.extend((1..).zip(order.iter()).map(|(rank, place)| {
        let candidate = &candidates[index_of(*place)];
        Ranked {
            provider: candidate.owner.agent,
            quote: candidate.quote,
            price: candidate.offer.price,
            score: score_of(*place),
            latency_ms: candidate.offer.latency_ms,
            reputation_bps: candidate.reputation_bps,
            rank,
            result: candidate.barred.map_or(RankedResult::Shown, RankedResult::Lost),
        }
    }));
}

/// Returns what a candidate asks for with everything that counts.
fn score(candidate: &Candidate, terms: &RfqTerms) -> Micros {
    if terms.scoring == Scoring::default() {
        return candidate.offer.price;
    }
    let Breakdown { price, latency, reputation, .. } = candidate.breakdown(terms);
    let sum = price.plus(latency).and_then(|sum| sum.plus(reputation));
    sum.expect("invariant: weights are limited so that every score fits")
}

/// The best losing units: of the best account, and of the best other one.
#[derive(Default)]
struct Losing {
    best: Option<(AccountId, Micros)>,
    other: Option<Micros>,
}

impl Losing {
    /// Adds losing units; scores come in ascending order.
    fn add(&mut self, account: AccountId, score: Micros) {
        match self.best {
            None => self.best = Some((account, score)),
            Some((best, _)) if best != account && self.other.is_none() => self.other = Some(score),
            Some(_) => {}
        }
    }

    /// Returns the score of the best losing unit of another account.
    fn against(&self, account: AccountId) -> Option<Micros> {
        match self.best {
            Some((best, score)) if best != account => Some(score),
            Some(_) | None => self.other,
        }
    }
}

fn second_price(fill: &Fill, losing: &Losing, terms: &RfqTerms) -> Micros {
    let Some(rival) = losing.against(fill.winner.owner.account) else { return terms.reserve };
    let ahead = rival.minus(score(&fill.winner, terms));
    let price = ahead.and_then(|ahead| fill.winner.offer.price.plus(ahead));
    price.expect("invariant: scores are above zero and fit").min(terms.reserve)
}

/// Tells those that could have won why they did not.
fn name_losers(ranked: &mut [Ranked], last_score: Option<Micros>) {
    let mut covered = false;
    for entry in ranked.iter_mut().filter(|entry| entry.result == RankedResult::Shown) {
        let reason = match last_score {
            Some(last) if entry.score == last => LossReason::Tied,
            Some(_) | None if !covered => LossReason::Cover,
            Some(_) | None => LossReason::Outscored,
        };
        covered = true;
        entry.result = RankedResult::Lost(reason);
    }
}

/// Packs a candidate's place into one integer, so that ranking is one sort of integers.
fn packed(candidate: &Candidate, score: Micros, index: usize) -> Place {
    let score = score.raw();
    assert!(score > 0, "invariant: prices are checked before they compete");
    assert!(candidate.priority < 1 << PRIORITY_BITS, "invariant: sequence numbers fit 48 bits");
    let barred = u128::from(candidate.barred.is_some());
    let priority = match Bug::TieByPlaceInTable.is_planted() {
        true => candidate.priority.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PRIORITY_BITS),
        false => candidate.priority,
    };
    (((barred << SCORE_BITS | u128::from(score.unsigned_abs())) << PRIORITY_BITS)
        | u128::from(priority))
        << INDEX_BITS
        | index as u128
}

fn index_of(place: Place) -> usize {
    (place & ((1 << INDEX_BITS) - 1)) as usize
}

fn score_of(place: Place) -> Micros {
    let score = place >> (PRIORITY_BITS + INDEX_BITS) & ((1 << SCORE_BITS) - 1);
    Micros::new(i64::try_from(score).expect("63 bits fit an i64"))
}
