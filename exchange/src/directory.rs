//! Who and what is known: agents, accounts, capabilities.

use alloc::vec::Vec;

use gavel_matcher::index::{self, Index};
use gavel_matcher::limits::CAPABILITIES_MAX;
use gavel_protocol::{
    AccountId, AgentId, CapabilityId, CapabilityListed, Name, PublicKey, RejectReason, Roles,
    SessionId,
};
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::limits::AGENTS_MAX;

/// An enrolled agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agent {
    /// Its id.
    pub(crate) id: AgentId,
    /// The account it acts for.
    pub(crate) account: AccountId,
    /// Its key.
    pub(crate) key: PublicKey,
    /// What it may do.
    pub(crate) roles: Roles,
    /// Its session, if it has one.
    pub(crate) session: Option<Session>,
}

/// A session, as the core knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// Its id.
    pub(crate) id: SessionId,
    /// Whether its end takes the agent's quotes with it.
    pub(crate) cancel_on_disconnect: bool,
}

/// Agents and capabilities, in the order of their enrolment and listing.
#[derive(Debug)]
pub(crate) struct Directory {
    agents: Vec<Agent>,
    agent_slots: Index,
    keys: HashMap<PublicKey, u32, FxBuildHasher>,
    capabilities: Vec<CapabilityListed>,
    capability_slots: Index,
    names: HashMap<Name, u32, FxBuildHasher>,
}

impl Directory {
    /// Makes room for everything there may be. A map gets twice its number of entries: it never
    /// grows by rehashing below half its capacity.
    pub(crate) fn new() -> Self {
        let map = |entries: u32| 2 * entries as usize;
        Self {
            agents: Vec::with_capacity(AGENTS_MAX as usize),
            agent_slots: Index::new(AGENTS_MAX),
            keys: HashMap::with_capacity_and_hasher(map(AGENTS_MAX), FxBuildHasher),
            capabilities: Vec::with_capacity(CAPABILITIES_MAX as usize),
            capability_slots: Index::new(CAPABILITIES_MAX),
            names: HashMap::with_capacity_and_hasher(map(CAPABILITIES_MAX), FxBuildHasher),
        }
    }

    /// Checks that an agent with this key may be enrolled.
    ///
    /// # Errors
    ///
    /// [`RejectReason::KeyTaken`] or `TableFull`.
    pub(crate) fn check_key(&self, key: &PublicKey) -> Result<(), RejectReason> {
        if self.keys.contains_key(key) {
            return Err(RejectReason::KeyTaken);
        }
        if self.agents.len() >= AGENTS_MAX as usize {
            return Err(RejectReason::TableFull);
        }
        Ok(())
    }

    /// Adds an agent.
    pub(crate) fn enrol(&mut self, agent: Agent) {
        let slot = slot(self.agents.len());
        self.agents.push(agent);
        self.agent_slots.insert(index::hash([agent.id.raw()]), slot);
        self.keys.insert(agent.key, slot);
    }

    /// Returns an agent.
    pub(crate) fn agent(&self, agent: AgentId) -> Option<&Agent> {
        self.agent_slot(agent).map(|slot| &self.agents[slot as usize])
    }

    /// Reads where [`Directory::agent`] will look first.
    pub(crate) fn look_ahead(&self, agent: AgentId) {
        self.agent_slots.look_ahead(index::hash([agent.raw()]));
    }

    /// Returns the agents in the order of their enrolment.
    pub(crate) fn agents(&self) -> &[Agent] {
        &self.agents
    }

    /// Returns the session of an agent, for a change.
    pub(crate) fn session_mut(&mut self, agent: AgentId) -> Option<&mut Option<Session>> {
        let slot = self.agent_slot(agent)?;
        Some(&mut self.agents[slot as usize].session)
    }

    /// Ends every session, and calls `lost` for the agents whose quotes go with it.
    pub(crate) fn end_sessions(&mut self, mut lost: impl FnMut(AgentId)) -> u32 {
        let mut ended = 0;
        for agent in &mut self.agents {
            let Some(session) = agent.session.take() else { continue };
            ended += 1;
            if session.cancel_on_disconnect {
                lost(agent.id);
            }
        }
        ended
    }

    /// Checks that a capability of this name may be listed.
    ///
    /// # Errors
    ///
    /// [`RejectReason::NameTaken`] or `TableFull`.
    pub(crate) fn check_name(&self, name: &Name) -> Result<(), RejectReason> {
        if self.names.contains_key(name) {
            return Err(RejectReason::NameTaken);
        }
        if self.capabilities.len() >= CAPABILITIES_MAX as usize {
            return Err(RejectReason::TableFull);
        }
        Ok(())
    }

    /// Adds a capability.
    pub(crate) fn list(&mut self, capability: CapabilityListed) {
        let slot = slot(self.capabilities.len());
        self.capabilities.push(capability);
        self.capability_slots.insert(index::hash([capability.capability.raw()]), slot);
        self.names.insert(capability.name, slot);
    }

    fn agent_slot(&self, agent: AgentId) -> Option<u32> {
        let is_it = |slot: u32| self.agents[slot as usize].id == agent;
        self.agent_slots.find(index::hash([agent.raw()]), is_it)
    }

    /// Returns a listed capability.
    ///
    /// # Errors
    ///
    /// [`RejectReason::UnknownCapability`].
    pub(crate) fn capability(&self, id: CapabilityId) -> Result<&CapabilityListed, RejectReason> {
        let is_it = |slot: u32| self.capabilities[slot as usize].capability == id;
        let slot = self.capability_slots.find(index::hash([id.raw()]), is_it);
        let slot = slot.ok_or(RejectReason::UnknownCapability)?;
        Ok(&self.capabilities[slot as usize])
    }

    /// Returns the capabilities in the order of their listing.
    pub(crate) fn capabilities(&self) -> &[CapabilityListed] {
        &self.capabilities
    }
}

fn slot(index: usize) -> u32 {
    u32::try_from(index).expect("invariant: every table has fewer than 2^32 entries")
}
