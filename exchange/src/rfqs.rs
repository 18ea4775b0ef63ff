//! Opening and canceling RFQs.

use gavel_matcher::limits::{BUNDLE_RFQS_OPEN_MAX, RFQS_OPEN_MAX};
use gavel_matcher::{BundleRules, Dutch, Owner, Rfq, Taken};
use gavel_protocol::limits::AWARDS_PER_RFQ_MAX;
use gavel_protocol::{
    AccountId, AgentId, CancelKept, CancelRfq, ClientId, DurationNs, Event, IdKind, OpenRfq,
    Outcome, ProviderInvited, RejectReason, RfqCanceled, RfqId, RfqOpened, RfqTarget, RfqTerms,
    Role, SignedRfq,
};
use gavel_risk::limits::{CONTRACTS_PROMISED_PER_ACCOUNT_MAX, RFQS_PER_ACCOUNT_MAX};
use gavel_settlement::Hold;
use gavel_settlement::limits::CONTRACTS_OPEN_MAX;

use crate::client_ids::Remembered;
use crate::deadlines::Due;
use crate::events::Events;
use crate::exchange::Exchange;
use crate::operator::rejected;

impl Exchange {
    pub(crate) fn open_rfq(
        &mut self,
        asker: Owner,
        c: &OpenRfq,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let terms = c.rfq;
        self.check_not_halted(terms.capability)?;
        if c.signature.is_none() {
            self.check_unsigned()?;
        }
        self.check_invited(asker, c)?;
        self.check_terms(&terms)?;
        let total = terms.reserve.times(terms.quantity).ok_or(RejectReason::AmountOverflow)?;
        let contracts = match &c.bundles {
            Some(bundles) => u32::try_from(bundles.items.len()).expect("at most ITEMS_MAX"),
            None => contracts_of(&terms, Taken::default()),
        };
        self.exposures.check_rfq(asker.slots.account, total, contracts)?;
        self.check_room(contracts)?;
        if c.bundles.is_some() && self.rfqs.books.len() >= BUNDLE_RFQS_OPEN_MAX {
            return Err(RejectReason::TableFull);
        }

        let id = RfqId::new(self.mint(IdKind::Rfq));
        let hold = Hold { account: asker.account, amount: total, currency: terms.currency };
        let held = self.holds.open(&mut self.ledger, id, hold).map_err(rejected)?;
        let slot = self.add_rfq(asker, id, c);
        let closes_at = self.rfqs.at(slot).closes_at;
        out.push(Event::RfqOpened(RfqOpened {
            rfq: id,
            buyer: asker.agent,
            account: asker.account,
            closes_at: self.clock.sequenced(closes_at),
            terms,
        }));
        out.push(Event::Moved(held));
        for provider in &c.invited {
            let provider = *provider;
            out.push(Event::ProviderInvited(ProviderInvited { rfq: id, provider }));
        }
        if terms.window == DurationNs::ZERO {
            self.clear_rfq(slot, out);
        } else {
            self.deadlines.set(Due::Rfq(slot), closes_at);
        }
        Ok(())
    }

    /// Adds an RFQ that was checked, and returns its slot.
    fn add_rfq(&mut self, owner: Owner, id: RfqId, c: &OpenRfq) -> u32 {
        let opened_at = self.clock.market_now();
        let closes_at = opened_at.after(c.rfq.window);
        let mut rfq = Rfq::new(id, owner, (opened_at, closes_at), c.rfq);
        rfq.signed = c.signature.as_deref().map(SignedRfq::of);
        rfq.directed = !c.invited.is_empty();
        rfq.stopped_before = self.stopped_until_now(c.rfq.capability);
        let bundles = c.bundles.as_deref();
        let bundles = bundles.map(|terms| (BundleRules::of(terms), &*terms.items));
        let slot = self.rfqs.open(rfq, c.dutch.as_ref().map(Dutch::new), bundles);
        for provider in &c.invited {
            self.rfqs.invite(slot, *provider);
        }
        let promised = self.contracts_promised(self.rfqs.at(slot));
        self.exposures.rfq_opened(owner.slots.account, promised);
        slot
    }

    pub(crate) fn cancel_rfq(
        &mut self,
        asker: Owner,
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
        if rfq.owner.agent != asker.agent {
            return Err(RejectReason::UnknownRfq);
        }
        if rfq.closed && rfq.bundles.is_some() {
            return Err(RejectReason::TooLate);
        }
        let (buyer, capability) = (rfq.owner.agent, rfq.terms.capability);
        out.push(Event::RfqCanceled(RfqCanceled { rfq: id, buyer, capability }));
        self.withdraw_rfq(slot, out);
        Ok(())
    }

    /// Returns what one of the agent's own commands brought about.
    pub(crate) fn outcome_of(&self, asker: Owner, target: ClientId) -> Option<Outcome> {
        self.client_ids.find(asker.agent, target).map(|remembered| remembered.outcome)
    }

    /// Keeps a cancel that came before its target, which is then rejected when it comes.
    pub(crate) fn keep_cancel(
        &mut self,
        asker: Owner,
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

    /// Checks that everybody who is to answer can: providers, each of an account of its own that is not
    /// the buyer's.
    fn check_invited(&self, asker: Owner, c: &OpenRfq) -> Result<(), RejectReason> {
        for (index, provider) in c.invited.iter().enumerate() {
            let account = self.account_to_ask(asker, *provider)?;
            let is_same = |other| self.account_to_ask(asker, other) == Ok(account);
            if c.invited[..index].iter().copied().any(is_same) {
                return Err(RejectReason::InvalidInvitation);
            }
        }
        if let Some(first) = c.dutch.as_ref().and_then(|dutch| dutch.exclusive) {
            self.account_to_ask(asker, first.provider)?;
            if !c.invited.is_empty() && !c.invited.contains(&first.provider) {
                return Err(RejectReason::InvalidInvitation);
            }
        }
        Ok(())
    }

    /// Returns the account of a provider that may answer.
    fn account_to_ask(&self, asker: Owner, provider: AgentId) -> Result<AccountId, RejectReason> {
        let agent = self.directory.agent(provider).ok_or(RejectReason::UnknownAgent)?;
        if !agent.roles.has(Role::Provider) || agent.account == asker.account {
            return Err(RejectReason::InvalidInvitation);
        }
        Ok(agent.account)
    }

    /// Checks that the terms fit the capability.
    fn check_terms(&self, terms: &RfqTerms) -> Result<(), RejectReason> {
        let listed = self.directory.capability(terms.capability)?.listed;
        if terms.currency != listed.currency {
            return Err(RejectReason::CurrencyMismatch);
        }
        // A standing quote is firm on the listed terms only.
        if terms.admits_standing() && terms.terms != listed.terms {
            return Err(RejectReason::TermsNotListed);
        }
        Ok(())
    }

    /// Returns how many contracts an RFQ may still become: of a combinatorial one, one per item.
    pub(crate) fn contracts_promised(&self, rfq: &Rfq) -> u32 {
        match rfq.bundles {
            Some(book) => {
                let items = self.rfqs.books.at(book).items().len();
                u32::try_from(items).expect("at most ITEMS_MAX")
            }
            None => contracts_of(&rfq.terms, rfq.taken),
        }
    }

    /// Checks that there is room for the RFQ and for the contracts it may become.
    fn check_room(&self, contracts: u32) -> Result<(), RejectReason> {
        let others = self.exposures.promised() + self.contracts.len() as u64;
        if self.rfqs.len() >= RFQS_OPEN_MAX as usize
            || others + u64::from(contracts) > u64::from(CONTRACTS_OPEN_MAX)
        {
            return Err(RejectReason::TableFull);
        }
        Ok(())
    }
}

/// No account can promise itself more than a sixteenth of all contracts, nor open more RFQs.
const _: () = assert!(CONTRACTS_OPEN_MAX / CONTRACTS_PROMISED_PER_ACCOUNT_MAX >= 16);
const _: () = assert!(RFQS_OPEN_MAX / RFQS_PER_ACCOUNT_MAX >= 16);

/// Returns how many contracts an RFQ may still become.
pub(crate) fn contracts_of(terms: &RfqTerms, taken: Taken) -> u32 {
    match terms.split {
        true => (terms.quantity - taken.quantity).min(AWARDS_PER_RFQ_MAX - taken.times),
        false => 1 - taken.times,
    }
}
