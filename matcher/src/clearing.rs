//! Clearing: the market's rule as a pure function of what competes.

use alloc::vec::Vec;

use gavel_protocol::{AccountId, AgentId, LossReason, Micros, QuoteRef, Ranked, RankedResult};

use crate::limits::CANDIDATES_MAX;

/// Something that competes at a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who quotes.
    pub provider: AgentId,
    /// For which account.
    pub account: AccountId,
    /// Which of its quotes.
    pub quote: QuoteRef,
    /// The price per unit.
    pub price: Micros,
    /// The place among ties: the sequence number of its last change of price.
    pub priority: u64,
    /// Why it cannot win, whatever its price; none if it can.
    pub barred: Option<LossReason>,
}

impl Candidate {
    /// Bars it from winning. Of several reasons the first in order of precedence is kept.
    pub fn bar(&mut self, reason: LossReason) {
        self.barred = Some(self.barred.map_or(reason, |other| other.min(reason)));
    }
}

/// What a close competes over, and the memory to rank it without allocating.
#[derive(Debug)]
pub struct Clearing {
    /// What competes. Fill it, then call [`clear`].
    pub candidates: Vec<Candidate>,
    order: Vec<u128>,
}

impl Clearing {
    /// Makes room for the largest close there may be.
    pub fn new() -> Self {
        Self {
            candidates: Vec::with_capacity(CANDIDATES_MAX),
            order: Vec::with_capacity(CANDIDATES_MAX),
        }
    }
}

impl Default for Clearing {
    fn default() -> Self {
        Self::new()
    }
}

/// Bits of a packed key below the flag that bars a candidate: price, priority, index.
const PRICE_BITS: u32 = 63;
const PRIORITY_BITS: u32 = 48;
const INDEX_BITS: u32 = 16;

const _: () = assert!(1 + PRICE_BITS + PRIORITY_BITS + INDEX_BITS == 128);
const _: () = assert!(CANDIDATES_MAX < 1 << INDEX_BITS);

/// Clears by first price: the lowest price that is not above the reserve wins and is paid; ties go
/// to the earlier place. Agents can verify that from their own feed; a drawn tie-break would need a
/// seed and could not be checked from outside.
///
/// Appends the ranked list to `ranking`, those that cannot win last, and returns the winner.
pub fn clear(
    clearing: &mut Clearing,
    reserve: Micros,
    ranking: &mut Vec<Ranked>,
) -> Option<Candidate> {
    let Clearing { candidates, order } = clearing;
    order.clear();
    for (index, candidate) in candidates.iter_mut().enumerate() {
        if candidate.price > reserve {
            candidate.bar(LossReason::AboveReserve);
        }
        order.push(packed(candidate, index));
    }
    order.sort_unstable();

    let winner = match order.first().map(|key| candidates[index_of(*key)]) {
        Some(first) if first.barred.is_none() => Some(first),
        Some(_) | None => None,
    };
    for (rank, key) in (1_u32..).zip(order.iter()) {
        let Candidate { provider, quote, price, barred, .. } = candidates[index_of(*key)];
        let result = match (barred, winner) {
            (Some(reason), _) => RankedResult::Lost(reason),
            (None, _) if rank == 1 => RankedResult::Won,
            (None, Some(winner)) if price == winner.price => RankedResult::Lost(LossReason::Tied),
            (None, _) if rank == 2 => RankedResult::Lost(LossReason::Cover),
            (None, _) => RankedResult::Lost(LossReason::Outscored),
        };
        ranking.push(Ranked { provider, quote, price, rank, result });
    }
    winner
}

/// Packs a candidate's place into one integer, so that ranking is one sort of integers.
fn packed(candidate: &Candidate, index: usize) -> u128 {
    let price = candidate.price.raw();
    assert!(price > 0, "invariant: prices are checked before they compete");
    assert!(candidate.priority < 1 << PRIORITY_BITS, "invariant: sequence numbers fit 48 bits");
    let barred = u128::from(candidate.barred.is_some());
    (((barred << PRICE_BITS | u128::from(price.unsigned_abs())) << PRIORITY_BITS)
        | u128::from(candidate.priority))
        << INDEX_BITS
        | index as u128
}

fn index_of(key: u128) -> usize {
    (key & ((1 << INDEX_BITS) - 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_protocol::QuoteId;

    fn cleared(quotes: &[(i64, u64)], reserve: i64) -> Vec<(u64, RankedResult)> {
        let mut clearing = Clearing::new();
        clearing.candidates.extend(quotes.iter().map(|(price, priority)| Candidate {
            provider: AgentId::new(*priority),
            account: AccountId::new(*priority),
            quote: QuoteRef::Sealed(QuoteId::new(*priority)),
            price: Micros::new(*price),
            priority: *priority,
            barred: None,
        }));
        let mut ranking = Vec::new();
        clear(&mut clearing, Micros::new(reserve), &mut ranking);
        ranking.iter().map(|ranked| (ranked.provider.raw(), ranked.result)).collect()
    }

    #[test]
    fn ties_go_to_the_earlier_place() {
        use LossReason::{AboveReserve, Outscored, Tied};
        let ranked = cleared(&[(30, 2), (40, 3), (30, 1), (35, 4)], 39);
        assert_eq!(
            ranked,
            [
                (1, RankedResult::Won),
                (2, RankedResult::Lost(Tied)),
                (4, RankedResult::Lost(Outscored)),
                (3, RankedResult::Lost(AboveReserve)),
            ]
        );
    }

    #[test]
    fn nothing_below_the_reserve_means_nobody_wins() {
        let ranked = cleared(&[(30, 2), (40, 3)], 29);
        assert!(ranked.iter().all(|(_, result)| *result != RankedResult::Won));
    }
}
