//! What the operator does: found, enrol, list, deposit, halt. And how the exchange resumes.

use gavel_protocol::{
    AccountEnrolled, AccountId, AgentEnrolled, AgentId, CapabilityId, CapabilityListed, Deposit,
    Deposited, EnrolAccount, EnrolAgent, Event, Found, Founded, IdKind, ListCapability, Micros,
    RejectReason, Resume, Resumed, Roles,
};
use gavel_settlement::LedgerError;

use crate::directory::Agent;
use crate::events::Events;
use crate::exchange::{Exchange, Founding};
use crate::mint::Mint;

impl Exchange {
    pub(crate) fn found(&mut self, c: &Found, out: &mut Events<'_>) -> Result<(), RejectReason> {
        if self.founding.is_some() {
            return Err(RejectReason::AlreadyFounded);
        }
        let mut mint = Mint::new(c.id_key);
        mint.begin(self.seq);
        self.founding = Some(Founding { name: c.name, settings: c.settings, mint });

        let operator_account = AccountId::new(self.mint(IdKind::Account));
        let operator = AgentId::new(self.mint(IdKind::Agent));
        for account in [AccountId::EXCHANGE, operator_account] {
            self.exposures.enrol(account, Micros::ZERO)?;
        }
        self.directory.enrol(Agent {
            id: operator,
            account: operator_account,
            key: c.operator_key,
            roles: Roles::OPERATOR,
            session: None,
        });
        out.push(Event::Founded(Founded {
            name: c.name,
            fees: AccountId::EXCHANGE,
            operator_account,
            operator,
            operator_key: c.operator_key,
            settings: c.settings,
        }));
        Ok(())
    }

    pub(crate) fn enrol_account(
        &mut self,
        c: &EnrolAccount,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let account = AccountId::new(self.mint(IdKind::Account));
        let transaction_max = c.transaction_max;
        self.exposures.enrol(account, transaction_max)?;
        out.push(Event::AccountEnrolled(AccountEnrolled { account, transaction_max }));
        Ok(())
    }

    pub(crate) fn enrol_agent(
        &mut self,
        c: &EnrolAgent,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        self.exposures.of(c.account).ok_or(RejectReason::UnknownAccount)?;
        self.directory.check_key(&c.key)?;
        let agent = AgentId::new(self.mint(IdKind::Agent));
        let (account, key, roles) = (c.account, c.key, c.roles);
        self.directory.enrol(Agent { id: agent, account, key, roles, session: None });
        out.push(Event::AgentEnrolled(AgentEnrolled { agent, account, key, roles }));
        Ok(())
    }

    pub(crate) fn list_capability(
        &mut self,
        c: &ListCapability,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        self.directory.check_name(&c.name)?;
        let capability = CapabilityId::new(self.mint(IdKind::Capability));
        let (name, currency, terms) = (c.name, c.currency, c.terms);
        let listed = CapabilityListed { capability, name, currency, terms };
        self.directory.list(listed);
        self.standing.list(capability);
        out.push(Event::CapabilityListed(listed));
        Ok(())
    }

    pub(crate) fn deposit(
        &mut self,
        c: &Deposit,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        self.exposures.of(c.account).ok_or(RejectReason::UnknownAccount)?;
        let (account, amount, currency) = (c.account, c.amount, c.currency);
        let moved = self.ledger.deposit(account, amount, currency).map_err(rejected)?;
        out.push(Event::Deposited(Deposited { account, amount, currency }));
        out.push(Event::Moved(moved));
        Ok(())
    }

    pub(crate) fn halt(&mut self, out: &mut Events<'_>) -> Result<(), RejectReason> {
        self.halted = true;
        out.push(Event::Halted {});
        Ok(())
    }

    pub(crate) fn reopen(&mut self, out: &mut Events<'_>) -> Result<(), RejectReason> {
        self.halted = false;
        out.push(Event::Reopened {});
        Ok(())
    }

    /// Continues after an outage: the market's clock stood still, and every session is lost.
    pub(crate) fn resume(&mut self, c: &Resume, out: &mut Events<'_>) -> Result<(), RejectReason> {
        self.clock.outage = self.clock.outage.plus(c.gap);
        // An agent that is being swept already may come twice: its second turn finds nothing.
        let sweeps = &mut self.sweeps;
        let sessions_lost = self.directory.end_sessions(|agent| sweeps.push_back(agent));
        out.push(Event::Resumed(Resumed { gap: c.gap, sessions_lost }));
        Ok(())
    }

    /// Returns the next id of this step.
    pub(crate) fn mint(&mut self, kind: IdKind) -> u64 {
        let founding = self.founding.as_mut();
        founding.expect("invariant: nothing is enrolled before the founding").mint.next(kind)
    }
}

/// Returns what a client is told when the ledger refuses.
pub(crate) fn rejected(error: LedgerError) -> RejectReason {
    match error {
        LedgerError::Insufficient => RejectReason::InsufficientFunds,
        LedgerError::Overflow => RejectReason::AmountOverflow,
        LedgerError::Full => RejectReason::TableFull,
    }
}
