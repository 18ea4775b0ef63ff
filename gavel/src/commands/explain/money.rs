//! Which lines of the ledger belong to an RFQ. A line does not say so itself, but the events of a
//! step come in an order that does.

use std::collections::HashSet;
use std::mem;

use gavel_protocol::{Event, Micros, Movement, RfqId};

/// Decides event by event whose lines the next ones are.
#[derive(Debug, Default)]
pub struct Attribution {
    current: Option<Current>,
    /// Lines that nothing has laid claim to yet: those of a close come before it.
    pending: Vec<Movement>,
    /// RFQs whose quotes are bonded.
    bonded: HashSet<RfqId>,
}

/// What the next lines belong to.
#[derive(Clone, Copy, Debug)]
struct Current {
    is_ours: bool,
    /// Lines that do, at the most; none: all of them, until something else is named.
    left: Option<u32>,
}

impl Attribution {
    /// Begins a step: nothing is left over from the one before.
    pub fn begin_step(&mut self) {
        self.current = None;
        self.pending.clear();
    }

    /// Takes the next event; `is_ours` says whether it names our RFQ, if it names any. Returns the
    /// lines that turn out to be ours.
    pub fn add(&mut self, event: &Event, is_ours: Option<bool>) -> Vec<Movement> {
        if let Event::Moved(movement) = event {
            return self.moved(*movement);
        }
        if let Event::RfqClosed(_) = event {
            self.current = None;
            let pending = mem::take(&mut self.pending);
            return if is_ours == Some(true) { pending } else { Vec::new() };
        }
        if let Event::RfqOpened(opened) = event
            && opened.terms.bond_bps > 0
        {
            self.bonded.insert(opened.rfq);
        }
        // A session that ends or a standby that does may be followed at once by another RFQ's
        // close, so it is counted what they take: the bond that goes back.
        let left = if let Event::QuoteCanceled(canceled) = event {
            Some(self.bonds_of(canceled.rfq))
        } else if let Event::StandbyEnded(ended) = event
            && ended.reason.is_some()
        {
            Some(self.bonds_of(ended.rfq))
        } else {
            None
        };
        self.current = is_ours.map(|is_ours| Current { is_ours, left });
        Vec::new()
    }

    fn moved(&mut self, movement: Movement) -> Vec<Movement> {
        if movement.amount == Micros::ZERO {
            return Vec::new();
        }
        let Some(current) = self.current.as_mut().filter(|current| current.left != Some(0)) else {
            self.pending.push(movement);
            return Vec::new();
        };
        current.left = current.left.map(|left| left - 1);
        if current.is_ours { vec![movement] } else { Vec::new() }
    }

    fn bonds_of(&self, rfq: RfqId) -> u32 {
        u32::from(self.bonded.contains(&rfq))
    }
}
