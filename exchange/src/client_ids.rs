//! What each agent's client ids brought about, so that a command sent twice takes effect once.
//!
//! The table is bounded twice: per agent and over all agents. When an agent has as many entries as it
//! may, its oldest makes room; when the table is full, the oldest of all does. From then on every id
//! that its agent created no later than that one is expired: it could be a repetition that is no
//! longer known as one.

use alloc::vec::Vec;

use gavel_matcher::index::{self, Index};
use gavel_matcher::{Chain, Links};
use gavel_protocol::limits::{CLIENT_ID_AHEAD_MAX, CLIENT_ID_HORIZON};
use gavel_protocol::{AgentId, Bug, ClientId, Outcome, RejectReason, TimestampNs};
use rkyv::{Archive, Deserialize, Serialize};

use crate::limits::{AGENTS_MAX, CLIENT_IDS_MAX, CLIENT_IDS_PER_AGENT_MAX};

/// What is remembered of one client id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// Whose id.
    pub(crate) agent: AgentId,
    /// The id.
    pub(crate) client_id: ClientId,
    /// What the command was, condensed; none if a cancel came before it.
    pub(crate) body: Option<u64>,
    /// When it took effect.
    pub(crate) ts_event: TimestampNs,
    /// What it brought about.
    pub(crate) outcome: Outcome,
}

/// What it takes to find and to forget an id: half a cache line.
#[derive(Debug)]
struct Entry {
    client_id: ClientId,
    queue: u32,
    /// The agent's next entry, if this is not its last one.
    next_of_agent: u32,
    of_all: Links,
}

const _: () = assert!(size_of::<Entry>() == 32);

/// The rest of what is remembered, read only when a command is repeated or named.
#[derive(Debug)]
struct Answer {
    body: Option<u64>,
    ts_event: TimestampNs,
    outcome: Outcome,
}

/// An agent's entries, oldest first, and what is expired.
#[derive(Debug)]
struct Queue {
    agent: AgentId,
    /// Ids created no later than this are expired.
    horizon: TimestampNs,
    /// No id above this one is remembered: most clients count up, and need not be looked for.
    greatest: ClientId,
    /// The ends of the queue, if it has any entry.
    first: u32,
    last: u32,
    len: u32,
}

/// The table.
#[derive(Debug)]
pub(crate) struct ClientIds {
    entries: Vec<Entry>,
    answers: Vec<Answer>,
    index: Index,
    queues: Vec<Queue>,
    queue_of: Index,
    /// The entries of all agents, oldest first.
    all: Chain,
    /// Clients choose their ids: without a number that they do not know, they could choose such that
    /// lie in one place.
    seed: u64,
}

impl ClientIds {
    /// Makes room for every entry there may be.
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::with_capacity(CLIENT_IDS_MAX as usize),
            answers: Vec::with_capacity(CLIENT_IDS_MAX as usize),
            index: Index::new(CLIENT_IDS_MAX),
            queues: Vec::with_capacity(AGENTS_MAX as usize),
            queue_of: Index::new(AGENTS_MAX),
            all: Chain::default(),
            seed: 0,
        }
    }

    /// Sets the number that clients do not know, before the first id is remembered.
    pub(crate) fn set_seed(&mut self, seed: u64) {
        assert!(self.entries.is_empty(), "invariant: the seed comes before what is hashed with it");
        self.seed = seed;
    }

    /// Returns what is remembered of an id.
    pub(crate) fn find(&self, agent: AgentId, client_id: ClientId) -> Option<Remembered> {
        if Bug::ClientIdForgotten.is_planted() && client_id.raw() % 16 == 3 {
            return None;
        }
        let queue = self.queue(agent)?;
        self.slot(agent, queue, client_id).map(|slot| self.at(slot))
    }

    /// Reads where [`ClientIds::find`] and [`ClientIds::remember`] will look first.
    pub(crate) fn look_ahead(&self, agent: AgentId, client_id: ClientId) {
        self.queue_of.look_ahead(index::hash([agent.raw()]));
        self.index.look_ahead(self.hash(agent, client_id));
    }

    /// Reads what the next `count` ids to be remembered will push out.
    pub(crate) fn look_ahead_oldest(&self, count: usize) {
        if self.all.len() < CLIENT_IDS_MAX {
            return;
        }
        for oldest in self.iter().take(count) {
            self.index.look_ahead(self.hash(oldest.agent, oldest.client_id));
        }
    }

    /// Checks that an id is neither so old that it may be forgotten, nor from the future.
    ///
    /// # Errors
    ///
    /// [`RejectReason::ClientIdExpired`] or `ClientIdInFuture`.
    pub(crate) fn check_age(
        &self,
        agent: AgentId,
        client_id: ClientId,
        now: TimestampNs,
    ) -> Result<(), RejectReason> {
        let created = client_id.created();
        let queue = self.queue(agent).map(|queue| &self.queues[queue as usize]);
        let horizon = queue.map_or(TimestampNs::default(), |queue| queue.horizon);
        if created <= horizon || created.after(CLIENT_ID_HORIZON) < now {
            return Err(RejectReason::ClientIdExpired);
        }
        if created > now.after(CLIENT_ID_AHEAD_MAX) {
            return Err(RejectReason::ClientIdInFuture);
        }
        Ok(())
    }

    /// Remembers an id that was not remembered before.
    pub(crate) fn remember(&mut self, remembered: Remembered) {
        let Remembered { agent, client_id, body, ts_event, outcome } = remembered;
        let queue = self.queue_or_new(agent);
        assert!(
            self.slot(agent, queue, client_id).is_none(),
            "invariant: an id is remembered once"
        );
        let entry = Entry { client_id, queue, next_of_agent: 0, of_all: Links::default() };
        let answer = Answer { body, ts_event, outcome };
        let slot = match self.make_room(queue) {
            Some(slot) => {
                self.entries[slot as usize] = entry;
                self.answers[slot as usize] = answer;
                slot
            }
            None => {
                self.entries.push(entry);
                self.answers.push(answer);
                u32::try_from(self.entries.len() - 1).expect("fewer than CLIENT_IDS_MAX")
            }
        };
        let hash = self.hash(agent, client_id);
        self.index.insert(hash, slot);
        self.all.push(self.entries.as_mut_slice(), slot, of_all);
        let queue = &mut self.queues[queue as usize];
        match queue.len {
            0 => queue.first = slot,
            _ => self.entries[queue.last as usize].next_of_agent = slot,
        }
        queue.last = slot;
        queue.len += 1;
        queue.greatest = queue.greatest.max(client_id);
    }

    /// Returns every agent's horizon, in no particular order.
    pub(crate) fn horizons(&self) -> impl Iterator<Item = (AgentId, TimestampNs)> {
        self.queues.iter().map(|queue| (queue.agent, queue.horizon))
    }

    /// Returns what is remembered, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Remembered> {
        let mut next = self.all.first();
        core::iter::from_fn(move || {
            let slot = next?;
            next = self.entries[slot as usize].of_all.after();
            Some(self.at(slot))
        })
    }

    /// Puts back an agent's horizon as it was.
    pub(crate) fn restore_horizon(&mut self, agent: AgentId, horizon: TimestampNs) {
        let queue = self.queue_or_new(agent);
        self.queues[queue as usize].horizon = horizon;
    }

    fn queue(&self, agent: AgentId) -> Option<u32> {
        let is_it = |queue: u32| self.queues[queue as usize].agent == agent;
        self.queue_of.find(index::hash([agent.raw()]), is_it)
    }

    fn queue_or_new(&mut self, agent: AgentId) -> u32 {
        self.queue(agent).unwrap_or_else(|| {
            let queue = u32::try_from(self.queues.len()).expect("fewer than AGENTS_MAX");
            let horizon = TimestampNs::default();
            let greatest = ClientId::new(0);
            self.queues.push(Queue { agent, horizon, greatest, first: 0, last: 0, len: 0 });
            self.queue_of.insert(index::hash([agent.raw()]), queue);
            queue
        })
    }

    fn slot(&self, agent: AgentId, queue: u32, client_id: ClientId) -> Option<u32> {
        if client_id > self.queues[queue as usize].greatest {
            return None;
        }
        self.index.find(self.hash(agent, client_id), |slot| {
            let entry = &self.entries[slot as usize];
            entry.client_id == client_id && entry.queue == queue
        })
    }

    fn at(&self, slot: u32) -> Remembered {
        let Entry { client_id, queue, .. } = self.entries[slot as usize];
        let Answer { body, ts_event, outcome } = self.answers[slot as usize];
        let agent = self.queues[queue as usize].agent;
        Remembered { agent, client_id, body, ts_event, outcome }
    }

    fn hash(&self, agent: AgentId, client_id: ClientId) -> u64 {
        let [upper, lower] = halves(client_id.raw());
        index::hash([self.seed ^ agent.raw(), upper, lower])
    }

    /// Makes room for another entry of the agent with this queue, and returns the slot that became
    /// free, if one had to.
    fn make_room(&mut self, queue: u32) -> Option<u32> {
        if self.queues[queue as usize].len >= CLIENT_IDS_PER_AGENT_MAX {
            return Some(self.forget_first(queue));
        }
        if self.all.len() >= CLIENT_IDS_MAX {
            let oldest = self.all.first().expect("there are CLIENT_IDS_MAX of them");
            return Some(self.forget_first(self.entries[oldest as usize].queue));
        }
        None
    }

    /// Forgets an agent's oldest entry, and returns its slot. Whatever the agent created no later is
    /// expired from now on.
    fn forget_first(&mut self, queue: u32) -> u32 {
        let queue = &mut self.queues[queue as usize];
        let slot = queue.first;
        let Entry { client_id, next_of_agent, .. } = self.entries[slot as usize];
        queue.horizon = queue.horizon.max(client_id.created());
        queue.first = next_of_agent;
        queue.len -= 1;
        let agent = queue.agent;
        let hash = self.hash(agent, client_id);
        self.index.remove(hash, slot);
        self.all.remove(self.entries.as_mut_slice(), slot, of_all);
        slot
    }
}

fn of_all(entries: &mut [Entry], slot: u32) -> &mut Links {
    &mut entries[slot as usize].of_all
}

#[expect(clippy::cast_possible_truncation, reason = "each half has the bits that it keeps")]
fn halves(raw: u128) -> [u64; 2] {
    [(raw >> u64::BITS) as u64, raw as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: AgentId = AgentId::new(9);

    fn id(millis: u64) -> ClientId {
        ClientId::from_parts(TimestampNs::from_nanos(millis * 1_000_000), 0)
    }

    fn remembered(millis: u64) -> Remembered {
        Remembered {
            agent: AGENT,
            client_id: id(millis),
            body: Some(millis),
            ts_event: TimestampNs::default(),
            outcome: Outcome::Done,
        }
    }

    fn remember(ids: &mut ClientIds, millis: u64) {
        ids.remember(remembered(millis));
    }

    #[test]
    fn the_oldest_makes_room_and_everything_as_old_is_expired() {
        let mut ids = ClientIds::new();
        let most = u64::from(CLIENT_IDS_PER_AGENT_MAX);
        for millis in 1..=most + 1 {
            remember(&mut ids, millis);
        }
        let now = TimestampNs::from_nanos(most * 1_000_000);
        assert_eq!(ids.find(AGENT, id(1)), None);
        assert_eq!(ids.check_age(AGENT, id(1), now), Err(RejectReason::ClientIdExpired));
        assert_eq!(ids.find(AGENT, id(2)).unwrap().body, Some(2));
        assert_eq!(ids.check_age(AGENT, id(most + 2), now), Ok(()));
        assert_eq!(ids.iter().count(), CLIENT_IDS_PER_AGENT_MAX as usize);
        assert_eq!(ids.find(AgentId::new(8), id(2)), None, "ids are unique per agent");
    }

    #[test]
    fn a_full_table_makes_room_by_the_oldest_of_all() {
        let mut ids = ClientIds::new();
        let agents = u64::from(CLIENT_IDS_MAX / CLIENT_IDS_PER_AGENT_MAX);
        remember(&mut ids, 1);
        for agent in 100..100 + agents {
            for millis in 1..=u64::from(CLIENT_IDS_PER_AGENT_MAX) {
                ids.remember(Remembered { agent: AgentId::new(agent), ..remembered(millis) });
            }
        }
        // The first agent's only entry had to go; what it creates from now on is remembered.
        let now = TimestampNs::from_nanos(2_000_000);
        assert_eq!(ids.check_age(AGENT, id(1), now), Err(RejectReason::ClientIdExpired));
        remember(&mut ids, 2);
        assert_eq!(ids.find(AGENT, id(2)).unwrap().body, Some(2));
        assert_eq!(ids.iter().count(), CLIENT_IDS_MAX as usize);
    }

    #[test]
    fn an_id_from_the_future_or_from_yesterday_is_refused() {
        let ids = ClientIds::new();
        let day = 24 * 3_600 * 1_000;
        let now = TimestampNs::from_nanos(2 * day * 1_000_000);
        let check = |millis| ids.check_age(AGENT, id(millis), now);
        assert_eq!(check(2 * day + 61_000), Err(RejectReason::ClientIdInFuture));
        assert_eq!(check(2 * day + 59_000), Ok(()));
        assert_eq!(check(day - 1), Err(RejectReason::ClientIdExpired));
    }
}
