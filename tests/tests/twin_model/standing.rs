//! Standing quotes.

use super::*;

/// A standing quote without capacity is used up.
pub(super) struct Standing {
    pub who: usize,
    pub capability: usize,
    pub price: i64,
    pub latency_ms: u32,
    pub capacity: u32,
    pub valid_until: u64,
    pub place: u64,
    pub revision: u64,
}

impl Twin {
    pub(super) fn stand(
        &mut self,
        who: usize,
        capability: usize,
        price: i64,
        latency_ms: u32,
        capacity: u32,
        valid_for: u64,
    ) -> Result<(), Refusal> {
        self.check_halt(capability)?;
        if self.is_suspended(who) {
            return Err("ProviderSuspended");
        }
        self.check_band(capability, price)?;
        let (revision, now) = (self.next_tick(), self.now);
        let is_it = |quote: &Standing| (quote.who, quote.capability) == (who, capability);
        let keeps_place = |old: &&Standing| {
            old.price == price
                && old.latency_ms == latency_ms
                && capacity <= old.capacity
                && old.valid_until >= now
        };
        let old = self.standing.iter().find(|quote| is_it(quote)).filter(keeps_place);
        let place = old.map_or(revision, |old| old.place);
        self.standing.retain(|quote| !is_it(quote));
        let valid_until = self.now + valid_for;
        self.standing.push(Standing {
            who,
            capability,
            price,
            latency_ms,
            capacity,
            valid_until,
            place,
            revision,
        });
        Ok(())
    }

    /// A close comes across what has expired, and ends it.
    pub(super) fn end_expired(&mut self, capability: usize) {
        let now = self.now;
        self.standing.retain(|quote| quote.capability != capability || quote.valid_until >= now);
    }

    pub(super) fn standing_mut(&mut self, revision: u64) -> Option<&mut Standing> {
        self.standing.iter_mut().find(|quote| quote.revision == revision)
    }

    /// Gives units back to the standing quote that they were awarded on, if it is still that one.
    pub(super) fn give_back(&mut self, contract: &Contract) {
        if let Some(revision) = contract.standing
            && let Some(quote) = self.standing_mut(revision)
        {
            quote.capacity += contract.quantity;
        }
    }
}
