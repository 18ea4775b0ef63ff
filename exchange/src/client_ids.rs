//! What each agent's client ids brought about, so that a command sent twice takes effect once.
//!
//! The table is bounded twice: per agent and over all agents. When an agent has as many entries as it
//! may, its oldest makes room; when the table is full, the oldest of all does. From then on every id
//! that its agent created no later than that one is expired: it could be a repetition that is no
//! longer known as one.

use core::hash::BuildHasher as _;

use gavel_matcher::{Chain, Links};
use gavel_protocol::limits::{CLIENT_ID_AHEAD_MAX, CLIENT_ID_HORIZON};
use gavel_protocol::{AgentId, ClientId, Outcome, RejectReason, TimestampNs};
use hashbrown::{HashMap, HashTable};
use rkyv::{Archive, Deserialize, Serialize};
use rustc_hash::FxBuildHasher;
use slab::Slab;

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

#[derive(Debug)]
struct Entry {
    remembered: Remembered,
    of_agent: Links,
    of_all: Links,
}

/// An agent's entries, oldest first, and what is expired.
#[derive(Clone, Copy, Debug, Default)]
struct Queue {
    entries: Chain,
    /// Ids created no later than this are expired.
    horizon: TimestampNs,
}

/// The table.
#[derive(Debug)]
pub(crate) struct ClientIds {
    entries: Slab<Entry>,
    index: HashTable<u32>,
    queues: HashMap<AgentId, Queue, FxBuildHasher>,
    /// The entries of all agents, oldest first.
    all: Chain,
}

impl ClientIds {
    /// Makes room for every entry there may be.
    pub(crate) fn new() -> Self {
        Self {
            entries: Slab::with_capacity(CLIENT_IDS_MAX as usize),
            // Twice the number: a map never grows by rehashing below half its capacity.
            index: HashTable::with_capacity(2 * CLIENT_IDS_MAX as usize),
            queues: HashMap::with_capacity_and_hasher(2 * AGENTS_MAX as usize, FxBuildHasher),
            all: Chain::default(),
        }
    }

    /// Returns what is remembered of an id.
    pub(crate) fn find(&self, agent: AgentId, client_id: ClientId) -> Option<&Remembered> {
        let slot = self.index.find(hash(agent, client_id), |slot| {
            let remembered = &self.entries[*slot as usize].remembered;
            remembered.client_id == client_id && remembered.agent == agent
        })?;
        Some(&self.entries[*slot as usize].remembered)
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
        let horizon = self.queues.get(&agent).map_or(TimestampNs::default(), |q| q.horizon);
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
        let Remembered { agent, client_id, .. } = remembered;
        assert!(self.find(agent, client_id).is_none(), "invariant: an id is remembered once");
        let queue = self.queues.entry(agent).or_default().entries;
        if queue.len() >= CLIENT_IDS_PER_AGENT_MAX {
            self.forget(queue.first());
        }
        if self.all.len() >= CLIENT_IDS_MAX {
            self.forget(self.all.first());
        }
        self.append(remembered);
    }

    /// Returns every agent's horizon, in no particular order.
    pub(crate) fn horizons(&self) -> impl Iterator<Item = (AgentId, TimestampNs)> {
        self.queues.iter().map(|(agent, queue)| (*agent, queue.horizon))
    }

    /// Returns what is remembered, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Remembered> {
        let mut next = self.all.first();
        core::iter::from_fn(move || {
            let entry = &self.entries[next? as usize];
            next = entry.of_all.after();
            Some(&entry.remembered)
        })
    }

    /// Puts back an agent's horizon as it was.
    pub(crate) fn restore_horizon(&mut self, agent: AgentId, horizon: TimestampNs) {
        self.queues.entry(agent).or_default().horizon = horizon;
    }

    fn append(&mut self, remembered: Remembered) {
        let Remembered { agent, client_id, .. } = remembered;
        let (of_agent, of_all) = (Links::default(), Links::default());
        let slot = self.entries.insert(Entry { remembered, of_agent, of_all });
        let slot = u32::try_from(slot).expect("fewer than CLIENT_IDS_MAX");
        let entries = &self.entries;
        self.index.insert_unique(hash(agent, client_id), slot, |slot| {
            let other = &entries[*slot as usize].remembered;
            hash(other.agent, other.client_id)
        });
        let queue = self.queues.entry(agent).or_default();
        queue.entries.push(&mut self.entries, slot, links_of_agent);
        self.all.push(&mut self.entries, slot, links_of_all);
    }

    /// Forgets an entry; whatever its agent created no later is expired from now on.
    fn forget(&mut self, slot: Option<u32>) {
        let Some(slot) = slot else { return };
        let Remembered { agent, client_id, .. } = self.entries[slot as usize].remembered;
        let queue = self.queues.entry(agent).or_default();
        queue.horizon = queue.horizon.max(client_id.created());
        queue.entries.remove(&mut self.entries, slot, links_of_agent);
        self.all.remove(&mut self.entries, slot, links_of_all);
        self.entries.remove(slot as usize);
        let found = self.index.find_entry(hash(agent, client_id), |other| *other == slot);
        found.map(|entry| entry.remove()).expect("invariant: what is remembered is indexed");
    }
}

fn links_of_agent(entries: &mut Slab<Entry>, slot: u32) -> &mut Links {
    &mut entries[slot as usize].of_agent
}

fn links_of_all(entries: &mut Slab<Entry>, slot: u32) -> &mut Links {
    &mut entries[slot as usize].of_all
}

fn hash(agent: AgentId, client_id: ClientId) -> u64 {
    FxBuildHasher.hash_one((agent, client_id))
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
