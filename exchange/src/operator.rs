//! What the operator does: found, enrol, list, deposit, halt. And how the exchange resumes.

use gavel_protocol::{
    AccountEnrolled, AccountId, AgentEnrolled, AgentId, Attributes, Bug, CapabilityId,
    CapabilityListed, Deposit, Deposited, EnrolAccount, EnrolAgent, Event, Found, Founded, Halt,
    Halted, IdKind, ListCapability, Micros, PriceBandSet, PublicKey, RULES_VERSION, RejectReason,
    Reopen, Reopened, Resume, Resumed, Role, Roles, SetPriceBand, Upgrade, Upgraded,
};
use gavel_risk::{Fades, QuoteRate, Reputation};
use gavel_settlement::LedgerError;

use crate::directory::{Agent, Capability, Stops};
use crate::events::Events;
use crate::exchange::{Exchange, Founding};
use crate::mint::Mint;
use crate::sweeps::Sweep;

impl Exchange {
    pub(crate) fn found(&mut self, c: &Found, out: &mut Events<'_>) -> Result<(), RejectReason> {
        if self.founding.is_some() {
            return Err(RejectReason::AlreadyFounded);
        }
        let mut mint = Mint::new(c.id_key);
        self.client_ids.set_seed(mint.seed());
        mint.begin(self.seq);
        self.founding = Some(Founding { name: c.name, settings: c.settings, mint });

        let operator_account = AccountId::new(self.mint(IdKind::Account));
        let operator = AgentId::new(self.mint(IdKind::Agent));
        for account in [AccountId::EXCHANGE, operator_account] {
            self.exposures.enrol(account, Micros::ZERO)?;
        }
        let known = (c.operator_key, Roles::OPERATOR, Attributes::default());
        self.add_agent(operator, operator_account, known)?;
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
        self.exposures.slot(c.account)?;
        let is_solver = c.roles.has(Role::Solver);
        let trades = |agent: &Agent| agent.account == c.account && !agent.roles.has(Role::Solver);
        if (is_solver && self.directory.agents().iter().any(trades))
            || (!is_solver && self.directory.is_of_solvers(c.account))
        {
            return Err(RejectReason::InvalidSettings);
        }
        self.directory.check_key(&c.key)?;
        let agent = AgentId::new(self.mint(IdKind::Agent));
        let &EnrolAgent { account, key, roles, attributes, .. } = c;
        self.add_agent(agent, account, (key, roles, attributes))?;
        out.push(Event::AgentEnrolled(AgentEnrolled { agent, account, key, roles, attributes }));
        Ok(())
    }

    fn add_agent(
        &mut self,
        id: AgentId,
        account: AccountId,
        (key, roles, attributes): (PublicKey, Roles, Attributes),
    ) -> Result<(), RejectReason> {
        self.directory.enrol(Agent {
            id,
            account,
            account_slot: self.exposures.slot(account)?,
            key,
            roles,
            attributes,
            reputation: Reputation::new(self.clock.market_now()),
            fades: Fades::default(),
            quote_rate: QuoteRate::default(),
            session: None,
        });
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
        let mut stops = Stops::default();
        if self.halted {
            stops.since = Some(self.clock.market_now());
        }
        self.directory.list(Capability { listed, band: None, halted: false, stops });
        self.standing.list(capability);
        out.push(Event::CapabilityListed(listed));
        Ok(())
    }

    pub(crate) fn deposit(
        &mut self,
        c: &Deposit,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        self.exposures.slot(c.account)?;
        let (account, amount, currency) = (c.account, c.amount, c.currency);
        let moved = self.ledger.deposit(account, amount, currency).map_err(rejected)?;
        out.push(Event::Deposited(Deposited { account, amount, currency }));
        out.push(Event::Moved(moved));
        Ok(())
    }

    /// Halts the exchange or a capability. Dutch prices stand still where new business does.
    pub(crate) fn halt(&mut self, c: &Halt, out: &mut Events<'_>) -> Result<(), RejectReason> {
        match c.capability {
            None => self.halted = true,
            Some(capability) => self.directory.capability_mut(capability)?.halted = true,
        }
        self.stop_or_go_on();
        out.push(Event::Halted(Halted { capability: c.capability }));
        Ok(())
    }

    /// Ends a halt. What another halt still covers stays halted.
    pub(crate) fn reopen(&mut self, c: &Reopen, out: &mut Events<'_>) -> Result<(), RejectReason> {
        match c.capability {
            None => self.halted = false,
            Some(capability) => self.directory.capability_mut(capability)?.halted = false,
        }
        self.stop_or_go_on();
        let stopped = u32::try_from(self.stopped.len());
        self.stopped_to_check = stopped.expect("invariant: at most RFQS_OPEN_MAX are stopped");
        out.push(Event::Reopened(Reopened { capability: c.capability }));
        Ok(())
    }

    /// Lets the Dutch clock of each capability stand still or go on.
    fn stop_or_go_on(&mut self) {
        let (now, halted) = (self.clock.market_now(), self.halted);
        for capability in self.directory.capabilities_mut() {
            let stops = &mut capability.stops;
            match (halted || capability.halted, stops.since) {
                (true, None) => stops.since = Some(now),
                (false, Some(_)) => *stops = Stops { ended: stops.until(now), since: None },
                (true, Some(_)) | (false, None) => {}
            }
        }
    }

    pub(crate) fn set_price_band(
        &mut self,
        c: &SetPriceBand,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let (capability, band) = (c.capability, c.band);
        self.directory.capability_mut(capability)?.band = band;
        out.push(Event::PriceBandSet(PriceBandSet { capability, band }));
        Ok(())
    }

    /// Continues after an outage: the market's clock stood still, and every session is lost.
    pub(crate) fn resume(&mut self, c: &Resume, out: &mut Events<'_>) -> Result<(), RejectReason> {
        if !Bug::OutageNotCounted.is_planted() {
            self.clock.outage = self.clock.outage.plus(c.gap);
        }
        // An agent that is being swept already may come twice: its second turn finds nothing.
        let sweeps = &mut self.sweeps;
        let sessions_lost =
            self.directory.end_sessions(|slot| sweeps.push_back(Sweep::of_session(slot)));
        out.push(Event::Resumed(Resumed { gap: c.gap, sessions_lost }));
        Ok(())
    }

    /// Returns the next id of this step.
    pub(crate) fn mint(&mut self, kind: IdKind) -> u64 {
        let founding = self.founding.as_mut();
        founding.expect("invariant: nothing is enrolled before the founding").mint.next(kind)
    }
}

/// Notes that these rules apply from here on: the state is what the rules before have left.
pub(crate) fn upgrade(c: &Upgrade, out: &mut Events<'_>) -> Result<(), RejectReason> {
    let rules_version = c.rules_version;
    if rules_version != RULES_VERSION {
        return Err(RejectReason::NotPermitted);
    }
    out.push(Event::Upgraded(Upgraded { rules_version }));
    Ok(())
}

/// Returns what a client is told when the ledger refuses.
pub(crate) fn rejected(error: LedgerError) -> RejectReason {
    match error {
        LedgerError::Insufficient => RejectReason::InsufficientFunds,
        LedgerError::Overflow => RejectReason::AmountOverflow,
        LedgerError::Full => RejectReason::TableFull,
    }
}
