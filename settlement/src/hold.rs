//! Holds: money set aside for an open RFQ, captured by its awards, closed exactly once.

use gavel_protocol::{AccountId, Bucket, Currency, Micros, Movement, MovementKind, RfqId};
use hashbrown::HashMap;
use rkyv::{Archive, Deserialize, Serialize};
use rustc_hash::FxBuildHasher;

use crate::ledger::{Ledger, LedgerError, line};
use crate::limits::HOLDS_MAX;

/// Money set aside for an open RFQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Hold {
    /// Whose money.
    pub account: AccountId,
    /// How much.
    pub amount: Micros,
    /// In what.
    pub currency: Currency,
}

/// The holds of all open RFQs.
#[derive(Debug)]
pub struct Holds {
    open: HashMap<RfqId, Hold, FxBuildHasher>,
}

impl Holds {
    /// Makes room for every hold there may be.
    pub fn new() -> Self {
        // Twice the number: a map never grows by rehashing below half its capacity.
        Self { open: HashMap::with_capacity_and_hasher(2 * HOLDS_MAX as usize, FxBuildHasher) }
    }

    /// Sets money aside for an RFQ.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; then nothing has moved.
    pub fn open(
        &mut self,
        ledger: &mut Ledger,
        rfq: RfqId,
        hold: Hold,
    ) -> Result<Movement, LedgerError> {
        if self.open.len() >= HOLDS_MAX as usize {
            return Err(LedgerError::Full);
        }
        let movement = line(
            MovementKind::Hold,
            (hold.account, Bucket::Available),
            (hold.account, Bucket::Held),
            (hold.amount, hold.currency),
        );
        ledger.apply(&movement)?;
        self.restore(rfq, hold);
        Ok(movement)
    }

    /// Moves `total` of the hold into escrow; the rest stays held.
    pub fn capture(&mut self, ledger: &mut Ledger, rfq: RfqId, total: Micros) -> Movement {
        let hold = self.open.get_mut(&rfq).expect("invariant: an open RFQ has a hold");
        let captured = line(
            MovementKind::Capture,
            (hold.account, Bucket::Held),
            (hold.account, Bucket::Escrow),
            (total, hold.currency),
        );
        let rest = hold.amount.minus(total).filter(|rest| *rest >= Micros::ZERO);
        hold.amount = rest.expect("invariant: awards never cost more than was held for them");
        ledger.apply(&captured).expect("invariant: what is held can be captured");
        captured
    }

    /// Closes the hold by giving back what is left of it.
    pub fn refund(&mut self, ledger: &mut Ledger, rfq: RfqId) -> Movement {
        let hold = self.open.remove(&rfq).expect("invariant: a hold is closed exactly once");
        let movement = line(
            MovementKind::Refund,
            (hold.account, Bucket::Held),
            (hold.account, Bucket::Available),
            (hold.amount, hold.currency),
        );
        ledger.apply(&movement).expect("invariant: what is held can be given back");
        movement
    }

    /// Puts back a hold as it was.
    pub fn restore(&mut self, rfq: RfqId, hold: Hold) {
        let before = self.open.insert(rfq, hold);
        assert!(before.is_none(), "invariant: one hold per RFQ: {rfq}");
    }

    /// Returns every hold, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (RfqId, &Hold)> {
        self.open.iter().map(|(rfq, hold)| (*rfq, hold))
    }
}

impl Default for Holds {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACME: AccountId = AccountId::new(1);
    const RFQ: RfqId = RfqId::new(7);

    fn held(amount: i64) -> (Ledger, Holds) {
        let (mut ledger, mut holds) = (Ledger::new(), Holds::new());
        let hold = Hold { account: ACME, amount: Micros::new(amount), currency: Currency::USD };
        ledger.deposit(ACME, Micros::new(100), Currency::USD).unwrap();
        holds.open(&mut ledger, RFQ, hold).unwrap();
        (ledger, holds)
    }

    #[test]
    fn captures_leave_the_prices_in_escrow_and_the_refund_gives_the_rest_back() {
        let (mut ledger, mut holds) = held(40);
        for price in [10, 20] {
            holds.capture(&mut ledger, RFQ, Micros::new(price));
        }
        holds.refund(&mut ledger, RFQ);
        let balance = ledger.balance(ACME, Currency::USD);
        assert_eq!(
            (balance.available.raw(), balance.held.raw(), balance.escrow.raw()),
            (70, 0, 30)
        );
    }

    #[test]
    #[should_panic(expected = "invariant: awards never cost more")]
    fn a_hold_pays_for_no_more_than_it_holds() {
        let (mut ledger, mut holds) = held(40);
        for price in [30, 20] {
            holds.capture(&mut ledger, RFQ, Micros::new(price));
        }
    }

    #[test]
    #[should_panic(expected = "invariant: a hold is closed exactly once")]
    fn a_hold_is_closed_once() {
        let (mut ledger, mut holds) = held(40);
        holds.refund(&mut ledger, RFQ);
        holds.refund(&mut ledger, RFQ);
    }
}
