//! Opening and canceling RFQs.

use gavel_matcher::Rfq;
use gavel_matcher::limits::RFQS_OPEN_MAX;
use gavel_protocol::{
    CancelKept, CancelRfq, ClientId, DurationNs, Event, IdKind, OpenRfq, Outcome, RejectReason,
    RfqCanceled, RfqId, RfqOpened, RfqTarget, RfqTerms,
};
use gavel_settlement::Hold;
use gavel_settlement::limits::CONTRACTS_OPEN_MAX;

use crate::apply::Asker;
use crate::client_ids::Remembered;
use crate::deadlines::Due;
use crate::events::Events;
use crate::exchange::Exchange;
use crate::operator::rejected;

impl Exchange {
    pub(crate) fn open_rfq(
        &mut self,
        asker: Asker,
        c: &OpenRfq,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let terms = c.rfq;
        let Asker { agent: buyer, account } = asker;
        self.check_terms(&terms)?;
        let total = terms.reserve.times(terms.quantity).ok_or(RejectReason::AmountOverflow)?;
        self.exposures.check_rfq(account, total)?;
        self.check_room()?;

        let id = RfqId::new(self.mint(IdKind::Rfq));
        let hold = Hold { account, amount: total, currency: terms.currency };
        let held = self.holds.open(&mut self.ledger, id, hold).map_err(rejected)?;
        let closes_at = self.clock.market_now().after(terms.window);
        let slot = self.rfqs.open(Rfq::new(id, (buyer, account), closes_at, terms));
        self.exposures.rfq_opened(account);
        let closes_at_sequenced = self.clock.sequenced(closes_at);
        out.push(Event::RfqOpened(RfqOpened {
            rfq: id,
            buyer,
            account,
            closes_at: closes_at_sequenced,
            terms,
        }));
        out.push(Event::Moved(held));
        if terms.window == DurationNs::ZERO {
            self.close_rfq(slot, out);
        } else {
            self.deadlines.set(Due::Rfq(slot), closes_at);
        }
        Ok(())
    }

    pub(crate) fn cancel_rfq(
        &mut self,
        asker: Asker,
        c: &CancelRfq,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let id = match c.target {
            RfqTarget::Id(id) => id,
            RfqTarget::ClientId(target) if target == c.client_id => {
                return Err(RejectReason::UnknownRfq);
            }
            RfqTarget::ClientId(target) => match self.outcome_of(asker, target) {
                Some(Outcome::Rfq(handle)) => handle.rfq,
                Some(_) => return Err(RejectReason::UnknownRfq),
                None => return self.keep_cancel(asker, target, out),
            },
        };
        let slot = self.open_rfq_slot(id)?;
        let rfq = self.rfqs.at(slot);
        if rfq.buyer != asker.agent {
            return Err(RejectReason::UnknownRfq);
        }
        let (buyer, capability) = (rfq.buyer, rfq.terms.capability);
        out.push(Event::RfqCanceled(RfqCanceled { rfq: id, buyer, capability }));
        self.deadlines.remove(Due::Rfq(slot));
        self.withdraw_rfq(slot, out);
        Ok(())
    }

    /// Returns what one of the agent's own commands brought about.
    pub(crate) fn outcome_of(&self, asker: Asker, target: ClientId) -> Option<Outcome> {
        self.client_ids.find(asker.agent, target).map(|remembered| remembered.outcome)
    }

    /// Keeps a cancel that came before its target, which is then rejected when it comes.
    pub(crate) fn keep_cancel(
        &mut self,
        asker: Asker,
        target: ClientId,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let agent = asker.agent;
        self.client_ids.check_age(agent, target, self.clock.now)?;
        out.push(Event::CancelKept(CancelKept { agent, target }));
        self.client_ids.remember(Remembered {
            agent,
            client_id: target,
            body: None,
            ts_event: self.clock.now,
            outcome: Outcome::CancelKept,
        });
        Ok(())
    }

    /// Returns the slot of an open RFQ.
    ///
    /// # Errors
    ///
    /// [`RejectReason::TooLate`] if it is open no more, `UnknownRfq` if it never was.
    pub(crate) fn open_rfq_slot(&self, id: RfqId) -> Result<u32, RejectReason> {
        self.rfqs.slot(id).ok_or_else(|| {
            let founding = self.founding.as_ref();
            match founding.is_some_and(|founding| founding.mint.has_made(IdKind::Rfq, id.raw())) {
                true => RejectReason::TooLate,
                false => RejectReason::UnknownRfq,
            }
        })
    }

    /// Checks that the terms fit the capability.
    fn check_terms(&self, terms: &RfqTerms) -> Result<(), RejectReason> {
        let listed = self.directory.capability(terms.capability)?;
        if terms.currency != listed.currency {
            return Err(RejectReason::CurrencyMismatch);
        }
        // A standing quote is firm on the listed terms only.
        let admits_standing = terms.admit_standing || terms.window == DurationNs::ZERO;
        if admits_standing && terms.terms != listed.terms {
            return Err(RejectReason::TermsNotListed);
        }
        Ok(())
    }

    /// Checks that there is room for the RFQ and for the contract it may become.
    fn check_room(&self) -> Result<(), RejectReason> {
        let (rfqs, contracts) = (self.rfqs.len(), self.contracts.len());
        if rfqs >= RFQS_OPEN_MAX as usize || rfqs + contracts >= CONTRACTS_OPEN_MAX as usize {
            return Err(RejectReason::TableFull);
        }
        Ok(())
    }
}
