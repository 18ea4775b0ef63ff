//! What happens of itself, and halts.

use super::*;

/// What is due.
enum Deadline {
    Rfq(usize),
    Contract(usize),
    Standby(usize, usize),
}

impl Twin {
    pub(super) fn wait(&mut self, time: u64) {
        let until = self.now + time;
        while let Some((at, deadline)) = self.first_deadline().filter(|(at, _)| *at <= until) {
            self.now = at;
            match deadline {
                Deadline::Rfq(index) if self.rfqs[index].state == State::Picking => {
                    self.pass(index);
                }
                Deadline::Rfq(index) => self.close(index),
                Deadline::Contract(index) => self.contract_due(index),
                Deadline::Standby(index, at) => self.end_standby(index, at),
            }
        }
        self.now = until;
    }

    fn first_deadline(&self) -> Option<(u64, Deadline)> {
        let mut all: Vec<(Due, Deadline)> = Vec::new();
        for (index, rfq) in self.rfqs.iter().enumerate() {
            if rfq.state != State::Ended && rfq.stopped_at.is_none() {
                all.push((rfq.due, Deadline::Rfq(index)));
            }
            for (at, standby) in rfq.standbys.iter().enumerate() {
                all.push((standby.due, Deadline::Standby(index, at)));
            }
        }
        for (index, contract) in self.contracts.iter().enumerate() {
            if let Some(contract) = contract {
                all.push((contract.due(), Deadline::Contract(index)));
            }
        }
        let (due, deadline) = all.into_iter().min_by_key(|(due, _)| *due)?;
        Some((due.0, deadline))
    }

    /// A halt stops the clock and the close of Dutch RFQs, and nothing else that is open.
    pub(super) fn halt(&mut self, capability: Option<usize>, halted: bool) {
        match capability {
            None => self.halted = halted,
            Some(capability) => self.capability_halted[capability] = halted,
        }
        for index in 0..self.rfqs.len() {
            let rfq = &self.rfqs[index];
            let is_live_dutch = rfq.terms.format == Format::Dutch && rfq.state == State::Open;
            if is_live_dutch {
                self.stop_or_go_on(index);
            }
        }
    }

    fn stop_or_go_on(&mut self, index: usize) {
        let halted = self.check_halt(self.rfqs[index].terms.capability).is_err();
        let (now, number) = (self.now, self.next_tick());
        let rfq = &mut self.rfqs[index];
        match rfq.stopped_at {
            None if halted => rfq.stopped_at = Some(now),
            Some(since) if !halted => {
                rfq.stopped_at = None;
                rfq.stopped += now - since;
                rfq.due = (rfq.due.0 + now - since, number);
            }
            _ => {}
        }
    }
}
