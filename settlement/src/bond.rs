//! Bonds: what a provider puts up for what it offers or owes.

use gavel_protocol::{AccountId, Bucket, Currency, Micros, Movement, MovementKind};

use crate::ledger::{Ledger, LedgerError, line};

/// Puts up a bond from a provider's available money.
///
/// # Errors
///
/// [`LedgerError`]; then nothing has moved.
pub fn post_bond(
    ledger: &mut Ledger,
    provider: AccountId,
    amount: (Micros, Currency),
) -> Result<Movement, LedgerError> {
    let (from, to) = ((provider, Bucket::Available), (provider, Bucket::Bonds));
    let movement = line(MovementKind::Bond, from, to, amount);
    ledger.apply(&movement).map(|()| movement)
}

/// Gives a bond back to its provider.
pub fn return_bond(
    ledger: &mut Ledger,
    provider: AccountId,
    amount: (Micros, Currency),
) -> Movement {
    let (from, to) = ((provider, Bucket::Bonds), (provider, Bucket::Available));
    let movement = line(MovementKind::BondReturn, from, to, amount);
    ledger.apply(&movement).expect("invariant: what was put up can be given back");
    movement
}
