//! Sessions: who is logged on, and what goes when they are lost.

use gavel_protocol::{
    AgentId, CancelCause, Event, IdKind, LoggedOn, Logon, QuoteCanceled, RejectReason,
    SessionEnded, SessionId, SessionLost, StandingQuoteCanceled,
};

use crate::apply::Asker;
use crate::directory::Session;
use crate::events::Events;
use crate::exchange::Exchange;

impl Exchange {
    pub(crate) fn log_on(
        &mut self,
        asker: Asker,
        c: &Logon,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let agent = asker.agent;
        let old = self.session(agent);
        let resumed = old.filter(|old| c.resume == Some(old.id));
        let id = match resumed {
            Some(session) => session.id,
            None => SessionId::new(self.mint(IdKind::Session)),
        };
        let cancel_on_disconnect = c.cancel_on_disconnect;
        self.set_session(agent, Some(Session { id, cancel_on_disconnect }));
        let resumed = resumed.is_some();
        out.push(Event::LoggedOn(LoggedOn { agent, session: id, resumed }));
        if let (Some(old), false) = (old, resumed) {
            self.end_session(agent, old, out);
        }
        Ok(())
    }

    pub(crate) fn lose_session(
        &mut self,
        c: &SessionLost,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let session = self.session(c.agent).filter(|session| session.id == c.session);
        let session = session.ok_or(RejectReason::UnknownSession)?;
        self.set_session(c.agent, None);
        self.end_session(c.agent, session, out);
        Ok(())
    }

    /// Cancels one quote of the agents whose session ended. Returns whether there was one.
    pub(crate) fn sweep_one(&mut self, out: &mut Events<'_>) -> bool {
        while let Some(agent) = self.sweeps.front().copied() {
            if self.sweep_quote_of(agent, out) {
                return true;
            }
            self.sweeps.pop_front();
        }
        false
    }

    fn sweep_quote_of(&mut self, provider: AgentId, out: &mut Events<'_>) -> bool {
        let cause = CancelCause::SessionLost;
        if let Some(quote) = self.rfqs.first_quote_of(provider).map(|quote| quote.id) {
            let quote = self.rfqs.cancel_quote(quote);
            self.exposures.quote_ended(quote.account);
            let (quote, rfq) = (quote.id, quote.rfq);
            out.push(Event::QuoteCanceled(QuoteCanceled { quote, rfq, provider, cause }));
            return true;
        }
        let Some(standing) = self.standing.first_of(provider) else { return false };
        let (capability, revision) = (standing.capability, standing.revision);
        self.standing.end(provider, capability);
        out.push(Event::StandingQuoteCanceled(StandingQuoteCanceled {
            capability,
            provider,
            revision,
            cause,
        }));
        true
    }

    fn end_session(&mut self, agent: AgentId, session: Session, out: &mut Events<'_>) {
        let cancels_quotes = session.cancel_on_disconnect;
        let session = session.id;
        out.push(Event::SessionEnded(SessionEnded { agent, session, cancels_quotes }));
        if cancels_quotes {
            self.sweeps.push_back(agent);
        }
    }

    fn session(&self, agent: AgentId) -> Option<Session> {
        self.directory.agent(agent).and_then(|agent| agent.session)
    }

    fn set_session(&mut self, agent: AgentId, session: Option<Session>) {
        let place = self.directory.session_mut(agent);
        *place.expect("invariant: whoever has a session is enrolled") = session;
    }
}
