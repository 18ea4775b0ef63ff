//! The few lines of the ledger that one step of a contract's life can cause.

use gavel_protocol::{Micros, Movement};

use crate::ledger::Ledger;

/// Lines that one step may cause.
const MOVEMENTS_MAX: usize = 4;

/// Lines of the ledger that were booked, in their order. Nothing that moved no money is among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Movements {
    booked: [Option<Movement>; MOVEMENTS_MAX],
}

impl Movements {
    /// Books a line that is owed, unless it moves nothing.
    pub(crate) fn book(&mut self, ledger: &mut Ledger, movement: Movement) {
        if movement.amount == Micros::ZERO {
            return;
        }
        ledger.apply(&movement).expect("invariant: what is owed lies where it is paid from");
        let free = self.booked.iter_mut().find(|place| place.is_none());
        *free.expect("invariant: a step causes at most MOVEMENTS_MAX lines") = Some(movement);
    }
}

impl IntoIterator for Movements {
    type Item = Movement;
    type IntoIter = core::iter::Flatten<core::array::IntoIter<Option<Movement>, MOVEMENTS_MAX>>;

    fn into_iter(self) -> Self::IntoIter {
        self.booked.into_iter().flatten()
    }
}
