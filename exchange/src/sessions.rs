//! Sessions: who is logged on, and what goes when they are lost.

use gavel_matcher::Owner;
use gavel_protocol::{
    CancelCause, Event, IdKind, LoggedOn, Logon, QuoteKind, RejectReason, SessionEnded, SessionId,
    SessionLost,
};

use crate::directory::Session;
use crate::events::Events;
use crate::exchange::Exchange;
use crate::sweeps::Sweep;

impl Exchange {
    pub(crate) fn log_on(
        &mut self,
        asker: Owner,
        c: &Logon,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let old = self.directory.at(asker.slots.agent).session;
        let resumed = old.filter(|old| c.resume == Some(old.id));
        let id = match resumed {
            Some(session) => session.id,
            None => SessionId::new(self.mint(IdKind::Session)),
        };
        let cancel_on_disconnect = c.cancel_on_disconnect;
        let session = Session { id, cancel_on_disconnect };
        self.directory.at_mut(asker.slots.agent).session = Some(session);
        let (agent, resumed) = (asker.agent, resumed.is_some());
        out.push(Event::LoggedOn(LoggedOn { agent, session: id, resumed }));
        if let (Some(old), false) = (old, resumed) {
            self.end_session(asker, old, out);
        }
        Ok(())
    }

    pub(crate) fn lose_session(
        &mut self,
        c: &SessionLost,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let owner = self.directory.owner(c.agent).ok_or(RejectReason::UnknownSession)?;
        let place = &mut self.directory.at_mut(owner.slots.agent).session;
        let session = place.take_if(|session| session.id == c.session);
        self.end_session(owner, session.ok_or(RejectReason::UnknownSession)?, out);
        Ok(())
    }

    fn end_session(&mut self, owner: Owner, session: Session, out: &mut Events<'_>) {
        let (agent, cancels_quotes) = (owner.agent, session.cancel_on_disconnect);
        let session = session.id;
        out.push(Event::SessionEnded(SessionEnded { agent, session, cancels_quotes }));
        if cancels_quotes {
            self.sweeps.push_back(Sweep::of_session(owner.slots.agent));
        }
    }
}

impl Sweep {
    /// Takes the quotes of an agent whose session ended.
    pub(crate) fn of_session(agent_slot: u32) -> Self {
        Self { agent_slot, what: QuoteKind::All, cause: CancelCause::SessionLost }
    }
}
