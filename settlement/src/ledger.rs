//! The ledger: double entry, checked, balanced after every line.

use alloc::vec::Vec;

use gavel_protocol::{AccountId, Bucket, Currency, LedgerAccount, Micros, Movement, MovementKind};
use hashbrown::HashMap;
use rkyv::{Archive, Deserialize, Serialize};
use rustc_hash::FxBuildHasher;

use crate::limits::{BALANCES_MAX, CURRENCIES_MAX};

/// Why a movement cannot be made. Nothing has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerError {
    /// The account's bucket does not hold that much.
    Insufficient,
    /// A balance would no longer fit.
    Overflow,
    /// There are as many balances or currencies as there may be.
    Full,
}

/// One account's money in one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Balance {
    /// Free to spend.
    pub available: Micros,
    /// Set aside for open RFQs.
    pub held: Micros,
    /// In escrow, where the account is the buyer.
    pub escrow: Micros,
    /// Put up for quotes and contracts, where the account is the provider.
    pub bonds: Micros,
    /// Earned by the exchange.
    pub fees: Micros,
    /// What came in from outside, as a negative balance.
    pub external: Micros,
}

/// The ledger of all accounts.
#[derive(Debug)]
pub struct Ledger {
    balances: HashMap<(AccountId, Currency), Balance, FxBuildHasher>,
    totals: Vec<Total>,
}

/// What is known of all accounts together, in one currency.
#[derive(Debug)]
struct Total {
    currency: Currency,
    /// The sum of all postings: zero after every movement.
    sum: Micros,
    /// What came in from outside. While this fits, no balance can overflow.
    deposited: Micros,
}

impl Ledger {
    /// Makes an empty ledger with room for every balance there may be.
    pub fn new() -> Self {
        Self {
            // Twice the number: a map never grows by rehashing below half its capacity.
            balances: HashMap::with_capacity_and_hasher(2 * BALANCES_MAX as usize, FxBuildHasher),
            totals: Vec::with_capacity(CURRENCIES_MAX),
        }
    }

    /// Returns what an account has in a currency.
    pub fn balance(&self, account: AccountId, currency: Currency) -> Balance {
        self.balances.get(&(account, currency)).copied().unwrap_or_default()
    }

    /// Returns every balance, in no particular order.
    pub fn balances(&self) -> impl Iterator<Item = (AccountId, Currency, &Balance)> {
        self.balances.iter().map(|((account, currency), balance)| (*account, *currency, balance))
    }

    /// Returns what an account has, per currency in which anybody has ever had anything.
    pub fn balances_of(&self, account: AccountId) -> impl Iterator<Item = (Currency, Balance)> {
        let currencies = self.totals.iter().map(|total| total.currency);
        currencies.map(move |currency| (currency, self.balance(account, currency)))
    }

    /// Applies a line to the ledger.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; then nothing has moved.
    pub fn apply(&mut self, movement: &Movement) -> Result<(), LedgerError> {
        assert!(movement.amount >= Micros::ZERO, "invariant: money moves forward: {movement:?}");
        let Movement { from, to, amount, currency, .. } = *movement;
        let debited = self.bucket(from, currency).minus(amount).ok_or(LedgerError::Overflow)?;
        if debited < Micros::ZERO && from.bucket != Bucket::External {
            return Err(LedgerError::Insufficient);
        }
        self.bucket(to, currency).plus(amount).ok_or(LedgerError::Overflow)?;
        // Only deposits can be refused for want of room: what is owed must be payable.
        if from.bucket == Bucket::External {
            if self.balances.len() >= BALANCES_MAX as usize {
                return Err(LedgerError::Full);
            }
            let deposited = self.total(currency)?.deposited.plus(amount);
            deposited.ok_or(LedgerError::Overflow)?;
        }

        // Nothing can fail from here on, and each posting is booked by itself: the total shows it
        // if the two did not cancel out.
        self.post(from, currency, Micros::new(-amount.raw()));
        self.post(to, currency, amount);
        Ok(())
    }

    /// Asserts that the postings of every currency cancel out.
    ///
    /// # Panics
    ///
    /// If money came from nowhere or went nowhere.
    pub fn assert_balanced(&self) {
        for Total { currency, sum, .. } in &self.totals {
            assert!(*sum == Micros::ZERO, "invariant: {currency} balances, not {sum}");
        }
    }

    /// Returns the sum of all balances, in all currencies, counted afresh: zero, or the ledger is
    /// broken.
    pub fn trial_balance(&self) -> i128 {
        let sum = |b: &Balance| {
            [b.available, b.held, b.escrow, b.bonds, b.fees, b.external]
                .map(|m| i128::from(m.raw()))
        };
        self.balances.values().flat_map(sum).sum()
    }

    /// Puts back a balance as it was.
    pub fn restore(&mut self, account: AccountId, currency: Currency, balance: Balance) {
        for (bucket, amount) in [
            (Bucket::Available, balance.available),
            (Bucket::Held, balance.held),
            (Bucket::Escrow, balance.escrow),
            (Bucket::Bonds, balance.bonds),
            (Bucket::Fees, balance.fees),
            (Bucket::External, balance.external),
        ] {
            let place = LedgerAccount { account, bucket };
            self.total(currency).expect("a snapshot holds no more currencies than there may be");
            self.post(place, currency, amount);
        }
    }

    fn bucket(&self, place: LedgerAccount, currency: Currency) -> Micros {
        let balance = self.balances.get(&(place.account, currency));
        balance.map_or(Micros::ZERO, |balance| *balance.of(place.bucket))
    }

    /// Makes sure that the currency has a total.
    fn total(&mut self, currency: Currency) -> Result<&mut Total, LedgerError> {
        let known = self.totals.iter().position(|total| total.currency == currency);
        let index = known.unwrap_or(self.totals.len());
        if known.is_none() {
            if self.totals.len() == CURRENCIES_MAX {
                return Err(LedgerError::Full);
            }
            self.totals.push(Total { currency, sum: Micros::ZERO, deposited: Micros::ZERO });
        }
        Ok(&mut self.totals[index])
    }

    fn post(&mut self, place: LedgerAccount, currency: Currency, amount: Micros) {
        let balance = self.balances.entry((place.account, currency)).or_default();
        let bucket = balance.of_mut(place.bucket);
        *bucket = bucket.plus(amount).expect("invariant: a posting is checked before it is booked");
        let total = self.total(currency);
        let total = total.expect("invariant: a currency has its total before its first posting");
        total.sum = total.sum.plus(amount).expect("invariant: sums stay near zero");
        if place.bucket == Bucket::External {
            let deposited = total.deposited.minus(amount);
            total.deposited = deposited.expect("invariant: deposits are checked before");
        }
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}

impl Balance {
    fn of(&self, bucket: Bucket) -> &Micros {
        match bucket {
            Bucket::Available => &self.available,
            Bucket::Held => &self.held,
            Bucket::Escrow => &self.escrow,
            Bucket::Bonds => &self.bonds,
            Bucket::Fees => &self.fees,
            Bucket::External => &self.external,
        }
    }

    fn of_mut(&mut self, bucket: Bucket) -> &mut Micros {
        match bucket {
            Bucket::Available => &mut self.available,
            Bucket::Held => &mut self.held,
            Bucket::Escrow => &mut self.escrow,
            Bucket::Bonds => &mut self.bonds,
            Bucket::Fees => &mut self.fees,
            Bucket::External => &mut self.external,
        }
    }
}

/// Returns a line of the ledger.
pub(crate) fn line(
    kind: MovementKind,
    from: (AccountId, Bucket),
    to: (AccountId, Bucket),
    (amount, currency): (Micros, Currency),
) -> Movement {
    let place = |(account, bucket)| LedgerAccount { account, bucket };
    Movement { kind, from: place(from), to: place(to), amount, currency }
}

impl Ledger {
    /// Credits money from outside to an account's available money.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; then nothing has moved.
    pub fn deposit(
        &mut self,
        account: AccountId,
        amount: Micros,
        currency: Currency,
    ) -> Result<Movement, LedgerError> {
        let movement = line(
            MovementKind::Deposit,
            (account, Bucket::External),
            (account, Bucket::Available),
            (amount, currency),
        );
        self.apply(&movement).map(|()| movement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACME: AccountId = AccountId::new(1);

    #[test]
    fn what_is_not_there_cannot_move() {
        let mut ledger = Ledger::new();
        ledger.deposit(ACME, Micros::new(5), Currency::USD).unwrap();
        let hold = line(
            MovementKind::Hold,
            (ACME, Bucket::Available),
            (ACME, Bucket::Held),
            (Micros::new(6), Currency::USD),
        );
        let before = ledger.balance(ACME, Currency::USD);
        assert_eq!(ledger.apply(&hold), Err(LedgerError::Insufficient));
        assert_eq!(ledger.balance(ACME, Currency::USD), before);
        ledger.assert_balanced();
        assert_eq!(ledger.trial_balance(), 0);
    }

    #[test]
    fn a_balance_that_would_not_fit_is_refused() {
        let mut ledger = Ledger::new();
        ledger.deposit(ACME, Micros::new(i64::MAX), Currency::USD).unwrap();
        let more = ledger.deposit(ACME, Micros::new(1), Currency::USD);
        assert_eq!(more, Err(LedgerError::Overflow));
        let other = ledger.deposit(AccountId::new(2), Micros::new(1), Currency::USD);
        assert_eq!(other, Err(LedgerError::Overflow), "all accounts together must fit");
        assert_eq!(ledger.trial_balance(), 0);
    }

    #[test]
    #[should_panic(expected = "invariant: USD balances")]
    fn a_lost_posting_is_noticed() {
        let mut ledger = Ledger::new();
        ledger.deposit(ACME, Micros::new(5), Currency::USD).unwrap();
        let available = LedgerAccount { account: ACME, bucket: Bucket::Available };
        ledger.post(available, Currency::USD, Micros::new(1));
        ledger.assert_balanced();
    }
}
