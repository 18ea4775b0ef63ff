//! What a buyer has open. Answers and events come over different streams, in any order.

use std::collections::HashMap;
use std::time::Instant;

use gavel_protocol::{Awarded, ContractId, Micros, RfqId, Statement};

use crate::limits::{CONTRACTS_TRACKED_MAX, RFQS_TRACKED_MAX};

/// What a buyer remembers of an RFQ that it has sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    /// When it was due.
    pub(crate) due: Instant,
    /// Whether it clears at once.
    pub(crate) is_window_zero: bool,
    /// Whether silence is to accept the delivery.
    pub(crate) is_silent: bool,
    /// The most that it costs.
    pub(crate) total: Micros,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Book {
    rfqs: HashMap<RfqId, Rfq>,
    contracts: HashMap<ContractId, Contract>,
}

#[derive(Debug, Default)]
struct Rfq {
    opened: Option<Opened>,
    award: Option<(ContractId, Instant)>,
    has_ended: bool,
}

#[derive(Debug, Default)]
struct Contract {
    is_silent: bool,
    is_being_accepted: bool,
}

impl Book {
    /// Returns whether everything has ended.
    pub(crate) fn is_empty(&self) -> bool {
        self.rfqs.is_empty() && self.contracts.is_empty()
    }

    /// An RFQ was answered.
    pub(crate) fn opened(&mut self, rfq: RfqId, opened: Opened) {
        if let Some(rfq) = self.rfq(rfq) {
            rfq.opened = Some(opened);
        }
    }

    /// An RFQ was awarded, and a contract concluded.
    pub(crate) fn awarded(&mut self, awarded: &Awarded, at: Instant) {
        if let Some(rfq) = self.rfq(awarded.rfq) {
            rfq.award = Some((awarded.contract, at));
        }
        if self.contracts.len() < CONTRACTS_TRACKED_MAX {
            self.contracts.insert(awarded.contract, Contract::default());
        }
    }

    /// A contract has ended.
    pub(crate) fn contract_ended(&mut self, contract: ContractId) {
        self.contracts.remove(&contract);
    }

    /// An RFQ has ended.
    pub(crate) fn ended(&mut self, rfq: RfqId) {
        if let Some(rfq) = self.rfq(rfq) {
            rfq.has_ended = true;
        }
    }

    /// Forgets an RFQ that was answered and has ended. Returns since when and until when its award
    /// is to be measured, if it is.
    pub(crate) fn conclude(&mut self, id: RfqId) -> Option<(Instant, Instant)> {
        let &Rfq { opened: Some(opened), award, has_ended: true } = self.rfqs.get(&id)? else {
            return None;
        };
        self.rfqs.remove(&id);
        let (contract, awarded_at) = award?;
        if let Some(contract) = self.contracts.get_mut(&contract) {
            contract.is_silent = opened.is_silent;
        }
        opened.is_window_zero.then_some((opened.due, awarded_at))
    }

    /// Returns whether a delivery is to be accepted: once, and not if silence is to do it.
    pub(crate) fn is_to_be_accepted(&mut self, contract: ContractId) -> bool {
        let Some(contract) = self.contracts.get_mut(&contract) else { return false };
        !contract.is_silent && !std::mem::replace(&mut contract.is_being_accepted, true)
    }

    /// Takes over what a statement says, if it is complete. Returns the RFQs that have ended.
    pub(crate) fn reconcile(&mut self, statement: &Statement) -> Vec<RfqId> {
        for entry in &statement.contracts {
            if self.contracts.len() < CONTRACTS_TRACKED_MAX {
                self.contracts.entry(entry.contract).or_default();
            }
        }
        if statement.truncated {
            return Vec::new();
        }
        let is_open = |id| statement.rfqs.iter().any(|entry| entry.rfq == id);
        let is_in_force = |id| statement.contracts.iter().any(|entry| entry.contract == id);
        self.contracts.retain(|contract, _| is_in_force(*contract));
        let mut ended = Vec::new();
        for (id, rfq) in self.rfqs.iter_mut().filter(|(id, _)| !is_open(**id)) {
            rfq.has_ended = true;
            ended.push(*id);
        }
        ended
    }

    fn rfq(&mut self, id: RfqId) -> Option<&mut Rfq> {
        if self.rfqs.len() >= RFQS_TRACKED_MAX && !self.rfqs.contains_key(&id) {
            return None;
        }
        Some(self.rfqs.entry(id).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::config::CURRENCY;
    use gavel_protocol::{
        AgentId, Breakdown, ContractEntry, ContractState, Parties, QuoteRef, TimestampNs,
    };

    const RFQ: RfqId = RfqId::new(1);
    const CONTRACT: ContractId = ContractId::new(2);
    const PARTIES: Parties = Parties { buyer: AgentId::new(3), provider: AgentId::new(4) };

    fn opened(is_silent: bool) -> Opened {
        Opened { due: Instant::now(), is_window_zero: true, is_silent, total: Micros::ZERO }
    }

    fn awarded() -> Awarded {
        Awarded {
            contract: CONTRACT,
            rfq: RFQ,
            parties: PARTIES,
            quote: QuoteRef::Standing,
            breakdown: Breakdown {
                price: Micros::new(1),
                latency_ms: 0,
                latency: Micros::ZERO,
                reputation_bps: 5_000,
                reputation: Micros::ZERO,
            },
            price: Micros::new(1),
            quantity: 1,
            total: Micros::new(1),
            currency: CURRENCY,
            bond: Micros::ZERO,
            start_due: None,
            delivery_due: TimestampNs::MAX,
            takes_over: None,
            bundle: None,
        }
    }

    #[test]
    fn an_award_is_measured_whatever_comes_first() {
        let opened = opened(true);
        let at = Instant::now();
        let measured = Some((opened.due, at));
        let mut answer_first = Book::default();
        answer_first.opened(RFQ, opened);
        assert_eq!(answer_first.conclude(RFQ), None);
        answer_first.awarded(&awarded(), at);
        answer_first.ended(RFQ);
        assert_eq!(answer_first.conclude(RFQ), measured);

        let mut events_first = Book::default();
        events_first.awarded(&awarded(), at);
        events_first.ended(RFQ);
        assert_eq!(events_first.conclude(RFQ), None);
        events_first.opened(RFQ, opened);
        assert_eq!(events_first.conclude(RFQ), measured);

        for mut book in [answer_first, events_first] {
            assert!(book.rfqs.is_empty());
            assert!(!book.is_to_be_accepted(CONTRACT), "silence is to accept it");
        }
    }

    #[test]
    fn a_delivery_is_accepted_once() {
        let mut book = Book::default();
        assert!(!book.is_to_be_accepted(CONTRACT), "no contract of ours");
        book.awarded(&awarded(), Instant::now());
        assert!(book.is_to_be_accepted(CONTRACT));
        assert!(!book.is_to_be_accepted(CONTRACT));
    }

    #[test]
    fn a_complete_statement_replaces_what_was_known() {
        let entry = |contract| ContractEntry {
            contract: ContractId::new(contract),
            parties: PARTIES,
            state: ContractState::Delivered,
            escrow: Micros::new(1),
            currency: CURRENCY,
            due: TimestampNs::MAX,
        };
        let mut statement = Statement {
            ts_event: TimestampNs::MAX,
            reputation_bps: 5_000,
            suspended_until: None,
            accounts: Vec::new(),
            rfqs: Vec::new(),
            quotes: Vec::new(),
            standing: Vec::new(),
            contracts: vec![entry(9)],
            truncated: true,
        };
        let mut book = Book::default();
        book.opened(RFQ, opened(false));
        book.awarded(&awarded(), Instant::now());
        assert!(book.reconcile(&statement).is_empty(), "cut lists say nothing of what is missing");
        assert_eq!(book.contracts.len(), 2);

        statement.truncated = false;
        assert_eq!(book.reconcile(&statement), [RFQ]);
        assert_eq!(book.contracts.keys().collect::<Vec<_>>(), [&ContractId::new(9)]);
        book.conclude(RFQ);
        assert!(book.rfqs.is_empty());
    }
}
