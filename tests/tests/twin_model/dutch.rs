//! Dutch RFQs: the price rises until somebody takes it.

use super::*;

impl Twin {
    pub(super) fn take(
        &mut self,
        who: usize,
        index: usize,
        quantity: u32,
        limit: i64,
    ) -> Result<(), Refusal> {
        if self.halted {
            return Err("Halted");
        }
        let rfq = self.live_rfq(index)?;
        self.check_halt(rfq.terms.capability)?;
        if rfq.terms.format != Format::Dutch {
            return Err("WrongFormat");
        }
        self.check_provider(who, rfq)?;
        if quantity < rfq.terms.quantity && !rfq.terms.split {
            return Err("QuantityTooSmall");
        }
        let elapsed = self.now - rfq.opened - rfq.stopped;
        let full = price_at(&rfq.terms.curve, elapsed);
        let (price, is_kept_out) = match rfq.terms.exclusive {
            Some(first) if first.who != who && elapsed < first.until => {
                (full * (10_000 - first.beatable_by_bps) / 10_000, first.beatable_by_bps == 0)
            }
            _ => (full, false),
        };
        if is_kept_out {
            return Err("Exclusive");
        }
        self.check_band(rfq.terms.capability, price)?;
        if price < limit {
            return Err("BelowLimit");
        }
        let units = quantity.min(rfq.remaining);
        let bond = bps_rounded_up(price * i64::from(units), rfq.terms.bond_bps);
        if !self.put_up(who, bond) {
            return Err("InsufficientFunds");
        }
        let left = self.rfqs[index].remaining - units;
        self.say(format!("taken {index} {price} x{units} remaining={left}"));
        self.award(index, &self.take_entry(who, price, units), price);
        if left == 0 {
            self.end_rfq(index);
        }
        Ok(())
    }

    fn take_entry(&self, who: usize, price: i64, won: u32) -> Entry {
        Entry {
            who,
            quote: None,
            standing: None,
            price,
            quantity: won,
            all_or_none: false,
            latency_ms: 0,
            place: 0,
            reputation: self.reputation(who),
            score: price,
            barred: None,
            rank: 0,
            won,
            passed_over: false,
        }
    }
}

/// Returns the price on a curve: straight lines between its points, rounded down.
fn price_at(curve: &[(u64, i64)], elapsed: u64) -> i64 {
    for pair in curve.windows(2) {
        let ((begin, low), (end, high)) = (pair[0], pair[1]);
        if elapsed < end {
            let part = i64::try_from(elapsed - begin).unwrap();
            return low + (high - low) * part / i64::try_from(end - begin).unwrap();
        }
    }
    curve.last().unwrap().1
}
