//! One step: a command takes effect, or is rejected with a reason.

use core::hash::BuildHasher as _;

use gavel_matcher::Owner;
use gavel_protocol::limits::CLIENT_ID_HORIZON;
use gavel_protocol::{
    AgentId, ClientId, Command, Event, RejectReason, Rejected, Repeated, Request, Roles, Stamped,
    TimeAdvanced,
};
use gavel_risk::{permit, pretrade};
use rustc_hash::FxBuildHasher;

use crate::client_ids::Remembered;
use crate::deadlines::Due;
use crate::events::Events;
use crate::exchange::Exchange;
use crate::limits::DEADLINES_PER_STEP_MAX;
use crate::operator::upgrade;

// The condensed body of a command is part of the state: it must come out the same everywhere.
const _: () = assert!(cfg!(target_endian = "little") && usize::BITS == 64);

impl Exchange {
    /// Applies a command: the only way in which the state changes. Appends at least one event; the
    /// first one is the command's outcome.
    ///
    /// # Panics
    ///
    /// If an invariant is broken: a gap in the order, time going back, a command before a deadline
    /// that is due, money that came from nowhere.
    pub fn apply(&mut self, stamped: &Stamped, out: &mut Events<'_>) {
        let Stamped { seq, ts_event, request } = stamped;
        assert!(*seq == self.seq + 1, "invariant: {seq} does not follow {}", self.seq);
        assert!(*ts_event >= self.clock.now, "invariant: time went back at {seq}");
        assert!(
            may_overtake_deadlines(&request.command) || !self.is_due(*ts_event),
            "invariant: what is due takes effect before {seq}"
        );
        self.seq = *seq;
        self.clock.now = *ts_event;
        if let Some(founding) = &mut self.founding {
            founding.mint.begin(*seq);
        }

        let first = out.events.len();
        if let Err(reason) = self.execute(request, out) {
            assert!(out.events.len() == first, "invariant: what is rejected has no effect");
            out.push(Event::Rejected(Rejected { reason }));
        }
        assert!(out.events.len() > first, "invariant: every command yields an event");
        self.ledger.assert_balanced();
    }

    /// Returns whether a command may be applied now: it has the next place, time does not go back, and
    /// nothing is due before it.
    pub fn is_next(&self, stamped: &Stamped) -> bool {
        let Stamped { seq, ts_event, request } = stamped;
        Some(*seq) == self.seq.checked_add(1)
            && *ts_event >= self.clock.now
            && (may_overtake_deadlines(&request.command) || !self.is_due(*ts_event))
    }

    fn execute(&mut self, request: &Request, out: &mut Events<'_>) -> Result<(), RejectReason> {
        if request.agent == AgentId::EXCHANGE {
            return self.execute_own(&request.command, out);
        }
        let Request { agent, command } = request;
        let body = command.client_id().map(|id| (id, FxBuildHasher.hash_one(command)));
        if let Some((client_id, body)) = body
            && let Some(repeated) = self.repeated(*agent, client_id, body)
        {
            out.push(Event::Repeated(repeated));
            return Ok(());
        }

        let asker = self.directory.owner(*agent).ok_or(RejectReason::UnknownAgent)?;
        self.check(command, self.directory.at(asker.slots.agent).roles)?;
        if let Some((client_id, _)) = body {
            self.check_client_id(*agent, client_id)?;
        }

        let first = out.events.len();
        self.dispatch(asker, command, out)?;
        if let Some((client_id, body)) = body {
            let outcome = out.events[first].outcome().expect("a rejection is an Err, not an event");
            let (agent, ts_event) = (*agent, self.clock.now);
            let body = Some(body);
            self.client_ids.remember(Remembered { agent, client_id, body, ts_event, outcome });
        }
        Ok(())
    }

    /// Executes what only the exchange itself can ask for.
    fn execute_own(&mut self, command: &Command, out: &mut Events<'_>) -> Result<(), RejectReason> {
        match command {
            Command::Found(c) => {
                pretrade(command)?;
                self.found(c, out)
            }
            Command::SessionLost(c) => self.lose_session(c, out),
            Command::AdvanceTime(_) => self.advance_time(out),
            Command::ProposeAllocation(c) => self.propose_allocation(AgentId::EXCHANGE, c, out),
            Command::Resume(c) => self.resume(c, out),
            Command::Upgrade(c) => upgrade(c, out),
            // The clock has jumped, or come back.
            Command::Halt(c) => self.halt(c, out),
            Command::Reopen(c) => self.reopen(c, out),
            Command::OpenRfq(_)
            | Command::CancelRfq(_)
            | Command::PlaceQuote(_)
            | Command::AmendQuote(_)
            | Command::QuoteBundles(_)
            | Command::CancelQuote(_)
            | Command::SetStandingQuote(_)
            | Command::CancelStandingQuote(_)
            | Command::StartWork(_)
            | Command::Deliver(_)
            | Command::AcceptDelivery(_)
            | Command::DeclineRfq(_)
            | Command::TakeRfq(_)
            | Command::PickQuote(_)
            | Command::MassQuote(_)
            | Command::MassCancel(_)
            | Command::SignEnvelope(_)
            | Command::EnrolAccount(_)
            | Command::EnrolAgent(_)
            | Command::ListCapability(_)
            | Command::Deposit(_)
            | Command::SetPriceBand(_)
            | Command::Logon(_) => Err(RejectReason::NotPermitted),
        }
    }

    fn dispatch(
        &mut self,
        asker: Owner,
        command: &Command,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        match command {
            Command::OpenRfq(c) => self.open_rfq(asker, c, out),
            Command::CancelRfq(c) => self.cancel_rfq(asker, c, out),
            Command::PlaceQuote(c) => self.place_quote(asker, c, out),
            Command::AmendQuote(c) => self.amend_quote(asker, c, out),
            Command::CancelQuote(c) => self.cancel_quote(asker, c, out),
            Command::SetStandingQuote(c) => self.set_standing_quote(asker, c, out),
            Command::CancelStandingQuote(c) => self.cancel_standing_quote(asker, c, out),
            Command::StartWork(c) => self.start_work(asker, c, out),
            Command::Deliver(c) => self.deliver(asker, c, out),
            Command::AcceptDelivery(c) => self.accept_delivery(asker, c, out),
            Command::DeclineRfq(c) => self.decline_rfq(asker, c, out),
            Command::TakeRfq(c) => self.take_rfq(asker, c, out),
            Command::QuoteBundles(c) => self.quote_bundles(asker, c, out),
            Command::ProposeAllocation(c) => self.propose_allocation(asker.agent, c, out),
            Command::PickQuote(c) => self.pick_quote(asker, c, out),
            Command::MassQuote(c) => self.mass_quote(asker, c, out),
            Command::MassCancel(c) => self.mass_cancel(asker, c, out),
            Command::SignEnvelope(c) => self.sign_envelope(asker, c, out),
            Command::EnrolAccount(c) => self.enrol_account(c, out),
            Command::EnrolAgent(c) => self.enrol_agent(c, out),
            Command::ListCapability(c) => self.list_capability(c, out),
            Command::Deposit(c) => self.deposit(c, out),
            Command::SetPriceBand(c) => self.set_price_band(c, out),
            Command::Halt(c) => self.halt(c, out),
            Command::Reopen(c) => self.reopen(c, out),
            Command::Logon(c) => self.log_on(asker, c, out),
            Command::Found(_)
            | Command::SessionLost(_)
            | Command::AdvanceTime(_)
            | Command::Resume(_)
            | Command::Upgrade(_) => Err(RejectReason::NotPermitted),
        }
    }

    /// Checks what does not depend on anything that the command names.
    fn check(&self, command: &Command, roles: Roles) -> Result<(), RejectReason> {
        permit(command, roles)?;
        if self.halted && is_new_business(command) {
            return Err(RejectReason::Halted);
        }
        pretrade(command)
    }

    /// Returns the answer to a command that was answered before.
    fn repeated(&self, agent: AgentId, client_id: ClientId, body: u64) -> Option<Repeated> {
        let remembered = self.client_ids.find(agent, client_id)?;
        let expired = client_id.created().after(CLIENT_ID_HORIZON) < self.clock.now;
        let same = remembered.body == Some(body) && !expired;
        same.then_some(Repeated { ts_event: remembered.ts_event, outcome: remembered.outcome })
    }

    fn check_client_id(&self, agent: AgentId, client_id: ClientId) -> Result<(), RejectReason> {
        self.client_ids.check_age(agent, client_id, self.clock.now)?;
        match self.client_ids.find(agent, client_id) {
            Some(Remembered { body: Some(_), .. }) => Err(RejectReason::IdempotencyMismatch),
            Some(Remembered { body: None, .. }) => Err(RejectReason::AlreadyCanceled),
            None => Ok(()),
        }
    }

    /// Lets a bounded part of what is due take effect: sweeps first, for what began them came before
    /// any deadline that is due by now.
    fn advance_time(&mut self, out: &mut Events<'_>) -> Result<(), RejectReason> {
        let first = out.events.len();
        let mut advanced = TimeAdvanced { fired: 0, swept: 0, restarted: 0 };
        out.push(Event::TimeAdvanced(advanced));
        advanced.swept = self.sweep(out);
        if self.sweeps.is_empty() {
            advanced.restarted = self.restart(out);
        }
        while self.has_nothing_to_continue() && advanced.fired < DEADLINES_PER_STEP_MAX {
            let Some((at, due)) = self.deadlines.first(self.clock) else { break };
            if at > self.clock.now {
                break;
            }
            // Such a step is work enough for one command.
            let is_step_of_clearing = self.is_combinatorial(due);
            match due {
                Due::Rfq(slot) => self.rfq_due(slot, out),
                Due::Contract(slot) => self.contract_due(slot, out),
                Due::Standby(slot) => self.end_standby(slot, out),
            }
            advanced.fired += 1;
            if is_step_of_clearing {
                break;
            }
        }
        out.replace(first, Event::TimeAdvanced(advanced));
        Ok(())
    }

    fn is_combinatorial(&self, due: Due) -> bool {
        match due {
            Due::Rfq(slot) => self.rfqs.at(slot).bundles.is_some(),
            Due::Contract(_) | Due::Standby(_) => false,
        }
    }

    fn has_nothing_to_continue(&self) -> bool {
        self.sweeps.is_empty() && self.stopped_to_check == 0
    }
}

/// The commands that come before what is due: those that make it take effect, or move it.
fn may_overtake_deadlines(command: &Command) -> bool {
    matches!(command, Command::AdvanceTime(_) | Command::Resume(_) | Command::Upgrade(_))
}

fn is_new_business(command: &Command) -> bool {
    matches!(
        command,
        Command::OpenRfq(_)
            | Command::PlaceQuote(_)
            | Command::AmendQuote(_)
            | Command::TakeRfq(_)
            | Command::QuoteBundles(_)
            | Command::SetStandingQuote(_)
            | Command::MassQuote(_)
    )
}
