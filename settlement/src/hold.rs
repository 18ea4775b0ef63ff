//! Holds: money set aside for an open RFQ, closed exactly once.

use gavel_protocol::{AccountId, Bucket, Currency, Micros, Movement, MovementKind, RfqId};
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::ledger::{Ledger, LedgerError, line};
use crate::limits::HOLDS_MAX;

/// Money set aside for an open RFQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// Closes the hold by giving all of it back.
    pub fn refund(&mut self, ledger: &mut Ledger, rfq: RfqId) -> Movement {
        let hold = self.close(rfq);
        give_back(ledger, &hold, hold.amount)
    }

    /// Closes the hold by moving `total` of it into escrow, and gives the rest back.
    pub fn capture(&mut self, ledger: &mut Ledger, rfq: RfqId, total: Micros) -> [Movement; 2] {
        let hold = self.close(rfq);
        let captured = line(
            MovementKind::Capture,
            (hold.account, Bucket::Held),
            (hold.account, Bucket::Escrow),
            (total, hold.currency),
        );
        ledger.apply(&captured).expect("invariant: an award never costs more than was held for it");
        let rest = hold.amount.minus(total).expect("smaller than the amount, which fitted");
        [captured, give_back(ledger, &hold, rest)]
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

    fn close(&mut self, rfq: RfqId) -> Hold {
        self.open.remove(&rfq).expect("invariant: a hold is closed exactly once")
    }
}

impl Default for Holds {
    fn default() -> Self {
        Self::new()
    }
}

fn give_back(ledger: &mut Ledger, hold: &Hold, amount: Micros) -> Movement {
    let movement = line(
        MovementKind::Refund,
        (hold.account, Bucket::Held),
        (hold.account, Bucket::Available),
        (amount, hold.currency),
    );
    ledger.apply(&movement).expect("invariant: what is held can be given back");
    movement
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
    fn a_capture_leaves_the_price_in_escrow_and_gives_the_rest_back() {
        let (mut ledger, mut holds) = held(40);
        holds.capture(&mut ledger, RFQ, Micros::new(30));
        let balance = ledger.balance(ACME, Currency::USD);
        assert_eq!(
            (balance.available.raw(), balance.held.raw(), balance.escrow.raw()),
            (70, 0, 30)
        );
    }

    #[test]
    #[should_panic(expected = "invariant: a hold is closed exactly once")]
    fn a_hold_is_closed_once() {
        let (mut ledger, mut holds) = held(40);
        holds.refund(&mut ledger, RFQ);
        holds.refund(&mut ledger, RFQ);
    }
}
