//! Which session each agent has, and which connection carries it: a session outlives its connection
//! by its grace, and only then does the edge ask the core to end it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use gavel_protocol::{AgentId, DurationNs, SessionId};
use rustc_hash::FxBuildHasher;
use tokio::sync::Notify;

use crate::connection::{Claim, Connection};
use crate::lock::lock;

/// The numbering of a session's frames, shared by the connections that carry it one after another.
pub(crate) type SharedNumbering = Arc<Mutex<Numbering>>;

/// Where a session's frames stand.
#[derive(Debug)]
pub(crate) struct Numbering {
    /// The connection that may number frames; a newer one takes over.
    pub connection: u64,
    /// The number of the next frame.
    pub next: u64,
}

/// The live sessions, one per agent.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    records: Mutex<HashMap<AgentId, Record, FxBuildHasher>>,
    /// Notified when a session has lost its connection.
    pub changed: Notify,
}

#[derive(Debug)]
struct Record {
    session: SessionId,
    grace: DurationNs,
    numbering: SharedNumbering,
    carrier: Carrier,
}

/// What carries a session.
#[derive(Debug)]
enum Carrier {
    Connection(Arc<Connection>),
    /// Nothing; the session ends at that time of the edge's clock.
    Nothing {
        ends_at: DurationNs,
    },
    /// Nothing, and the core was asked to end it.
    Ending,
}

/// A logon that the core has accepted, as the registry has entered it.
#[derive(Debug)]
pub(crate) struct Entered {
    pub numbering: SharedNumbering,
    /// The connection that carried the agent's session so far.
    pub superseded: Option<Arc<Connection>>,
}

impl Default for Numbering {
    fn default() -> Self {
        Self { connection: 0, next: 1 }
    }
}

impl Sessions {
    /// Enters a session that the core has opened or resumed. `live` looks up the connection it is
    /// for; it is asked under the registry's lock, so that a connection that ends at this moment
    /// either is not found, or finds the session in [`Sessions::disconnected`].
    pub fn logged_on(
        &self,
        agent: AgentId,
        session: SessionId,
        live: impl FnOnce() -> Option<Arc<Connection>>,
    ) -> Entered {
        let mut records = lock(&self.records);
        let (numbering, superseded) = match records.remove(&agent) {
            Some(old) if old.session == session => {
                (Some(old.numbering), old.carrier.into_connection())
            }
            Some(old) => (None, old.carrier.into_connection()),
            None => (None, None),
        };
        let numbering = numbering.unwrap_or_default();
        let connection = live();
        let claim = connection.as_ref().and_then(|connection| connection.claimed());
        let grace = claim.map_or(DurationNs::ZERO, |Claim { grace, .. }| grace);
        let carrier = match connection {
            Some(connection) => Carrier::Connection(connection),
            None => {
                self.changed.notify_one();
                Carrier::Nothing { ends_at: DurationNs::ZERO }
            }
        };
        let record = Record { session, grace, numbering: Arc::clone(&numbering), carrier };
        records.insert(agent, record);
        Entered { numbering, superseded }
    }

    /// Starts the grace of the session that `connection` carried, if it still does.
    pub fn disconnected(&self, agent: AgentId, connection: u64, now: DurationNs) {
        self.end_at(agent, connection, |grace| now.plus(grace));
    }

    /// Ends the session that `connection` carries without any grace.
    pub fn logged_out(&self, agent: AgentId, connection: u64) {
        self.end_at(agent, connection, |_| DurationNs::ZERO);
    }

    fn end_at(&self, agent: AgentId, id: u64, ends_at: impl FnOnce(DurationNs) -> DurationNs) {
        if let Some(record) = lock(&self.records).get_mut(&agent)
            && matches!(&record.carrier, Carrier::Connection(carrier) if carrier.id == id)
        {
            record.carrier = Carrier::Nothing { ends_at: ends_at(record.grace) };
            self.changed.notify_one();
        }
    }

    /// Forgets a session that the core has ended. Returns the connection that carried it, if any.
    pub fn ended(&self, agent: AgentId, session: SessionId) -> Option<Arc<Connection>> {
        let mut records = lock(&self.records);
        if records.get(&agent)?.session != session {
            return None;
        }
        records.remove(&agent)?.carrier.into_connection()
    }

    /// Calls `lose` with every session whose grace has run out, until it returns `false`: then the
    /// rest stays due. Returns when the next one is due.
    pub fn drain_lost(
        &self,
        now: DurationNs,
        mut lose: impl FnMut(AgentId, SessionId) -> bool,
    ) -> Option<DurationNs> {
        let mut next = None::<DurationNs>;
        for (agent, record) in lock(&self.records).iter_mut() {
            let Carrier::Nothing { ends_at } = record.carrier else { continue };
            if ends_at <= now && lose(*agent, record.session) {
                record.carrier = Carrier::Ending;
            } else {
                next = Some(next.map_or(ends_at, |next| next.min(ends_at)));
            }
        }
        next
    }

    /// Returns how many sessions there are.
    pub fn count(&self) -> usize {
        lock(&self.records).len()
    }
}

impl Carrier {
    fn into_connection(self) -> Option<Arc<Connection>> {
        match self {
            Self::Connection(connection) => Some(connection),
            Self::Nothing { .. } | Self::Ending => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use gavel_protocol::Codec;

    use super::*;

    const AGENT: AgentId = AgentId::new(7);
    const SESSION: SessionId = SessionId::new(70);
    const GRACE: DurationNs = DurationNs::from_secs(2);

    fn connection(id: u64) -> Arc<Connection> {
        let connection = Arc::new(Connection::new(id, Codec::Rkyv));
        connection.claim(Claim { agent: AGENT, grace: GRACE });
        connection
    }

    fn lost(sessions: &Sessions, now: DurationNs) -> (Vec<SessionId>, Option<DurationNs>) {
        let mut lost = Vec::new();
        let next = sessions.drain_lost(now, |_, session| {
            lost.push(session);
            true
        });
        (lost, next)
    }

    #[test]
    fn a_session_is_lost_once_its_grace_has_run_out() {
        let sessions = Sessions::default();
        sessions.logged_on(AGENT, SESSION, || Some(connection(1)));
        assert_eq!(lost(&sessions, DurationNs::from_secs(9)), (vec![], None));
        sessions.disconnected(AGENT, 1, DurationNs::from_secs(10));
        let due = DurationNs::from_secs(12);
        assert_eq!(lost(&sessions, DurationNs::from_secs(11)), (vec![], Some(due)));
        assert_eq!(lost(&sessions, due), (vec![SESSION], None));
        assert_eq!(lost(&sessions, due), (vec![], None), "asked for once");
        assert!(sessions.ended(AGENT, SESSION).is_none());
        assert_eq!(sessions.count(), 0);
    }

    #[test]
    fn a_lost_session_that_finds_its_lane_full_stays_due() {
        let sessions = Sessions::default();
        sessions.logged_on(AGENT, SESSION, || Some(connection(1)));
        sessions.logged_out(AGENT, 1);
        let refused = sessions.drain_lost(DurationNs::ZERO, |_, _| false);
        assert_eq!(refused, Some(DurationNs::ZERO));
        assert_eq!(lost(&sessions, DurationNs::ZERO), (vec![SESSION], None));
    }

    #[test]
    fn a_resumed_session_keeps_its_numbering_and_a_new_one_starts_afresh() {
        let sessions = Sessions::default();
        let first = sessions.logged_on(AGENT, SESSION, || Some(connection(1)));
        lock(&first.numbering).next = 42;
        let resumed = sessions.logged_on(AGENT, SESSION, || Some(connection(2)));
        assert_eq!(resumed.superseded.unwrap().id, 1);
        assert_eq!(lock(&resumed.numbering).next, 42);
        let new = sessions.logged_on(AGENT, SessionId::new(71), || Some(connection(3)));
        assert_eq!(new.superseded.unwrap().id, 2);
        assert_eq!(lock(&new.numbering).next, 1);
        assert!(sessions.ended(AGENT, SESSION).is_none(), "the end of the old one is no news");
        assert_eq!(sessions.count(), 1);
    }

    #[test]
    fn the_end_of_a_superseded_connection_leaves_the_session_alone() {
        let sessions = Sessions::default();
        sessions.logged_on(AGENT, SESSION, || Some(connection(1)));
        sessions.logged_on(AGENT, SESSION, || Some(connection(2)));
        sessions.disconnected(AGENT, 1, DurationNs::ZERO);
        assert_eq!(lost(&sessions, DurationNs::from_secs(100)), (vec![], None));
    }

    #[test]
    fn a_session_whose_connection_ended_before_the_core_answered_is_lost_at_once() {
        let sessions = Sessions::default();
        sessions.logged_on(AGENT, SESSION, || None);
        assert_eq!(lost(&sessions, DurationNs::ZERO), (vec![SESSION], None));
    }
}
