//! Who and what is known: agents, accounts, capabilities.

use alloc::vec::Vec;

use gavel_matcher::index::{self, Index};
use gavel_matcher::limits::CAPABILITIES_MAX;
use gavel_matcher::{Owner, Slots};
use gavel_protocol::{
    AccountId, AgentId, Attributes, CapabilityId, CapabilityListed, DurationNs, Name, PriceBand,
    PublicKey, RejectReason, Role, Roles, SessionId, TimestampNs,
};
use gavel_risk::{Fades, QuoteRate, Reputation};
use hashbrown::HashMap;
use rkyv::{Archive, Deserialize, Serialize};
use rustc_hash::FxBuildHasher;

use crate::limits::AGENTS_MAX;

/// An enrolled agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(crate) struct Agent {
    /// Its id.
    pub(crate) id: AgentId,
    /// The account it acts for.
    pub(crate) account: AccountId,
    /// Where the account is kept.
    pub(crate) account_slot: u32,
    /// Its key.
    pub(crate) key: PublicKey,
    /// What it may do.
    pub(crate) roles: Roles,
    /// What is known to be true of it.
    pub(crate) attributes: Attributes,
    /// What its outcomes say of it.
    pub(crate) reputation: Reputation,
    /// How often it has failed.
    pub(crate) fades: Fades,
    /// How often it quotes.
    pub(crate) quote_rate: QuoteRate,
    /// Its session, if it has one.
    pub(crate) session: Option<Session>,
}

/// A listed capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(crate) struct Capability {
    /// What everybody knows of it.
    pub(crate) listed: CapabilityListed,
    /// The band that prices must lie in.
    pub(crate) band: Option<PriceBand>,
    /// Whether it is halted by itself.
    pub(crate) halted: bool,
    /// The time that its Dutch prices stood still.
    pub(crate) stops: Stops,
}

/// How long the Dutch prices of a capability stood still, because it or the whole exchange was halted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(crate) struct Stops {
    /// In all halts that have ended.
    pub(crate) ended: DurationNs,
    /// Since when they stand still now, on the market's own clock.
    pub(crate) since: Option<TimestampNs>,
}

impl Stops {
    /// Returns the time in all halts up to `now`.
    pub(crate) fn until(&self, now: TimestampNs) -> DurationNs {
        self.since.map_or(self.ended, |since| self.ended.plus(now.since(since)))
    }
}

/// A session, as the core knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Its id.
    pub(crate) id: SessionId,
    /// Whether its end takes the agent's quotes with it.
    pub(crate) cancel_on_disconnect: bool,
}

/// Agents and capabilities, in the order of their enrolment and listing.
#[derive(Debug)]
pub(crate) struct Directory {
    /// The accounts of solvers; few.
    solver_accounts: Vec<AccountId>,
    agents: Vec<Agent>,
    agent_slots: Index,
    keys: HashMap<PublicKey, u32, FxBuildHasher>,
    capabilities: Vec<Capability>,
    capability_slots: Index,
    names: HashMap<Name, u32, FxBuildHasher>,
}

impl Directory {
    /// Makes room for everything there may be. A map gets twice its number of entries: it never
    /// grows by rehashing below half its capacity.
    pub(crate) fn new() -> Self {
        let map = |entries: u32| 2 * entries as usize;
        Self {
            solver_accounts: Vec::new(),
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
        if agent.roles.has(Role::Solver) {
            self.solver_accounts.push(agent.account);
        }
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

    /// Returns whether solvers act for an account: then nobody of it may trade.
    pub(crate) fn is_of_solvers(&self, account: AccountId) -> bool {
        self.solver_accounts.contains(&account)
    }

    /// Returns an agent and its account, and where they are kept.
    pub(crate) fn owner(&self, agent: AgentId) -> Option<Owner> {
        self.agent_slot(agent).map(|slot| self.owner_at(slot))
    }

    /// Returns the agent in a slot and its account, and where they are kept.
    pub(crate) fn owner_at(&self, slot: u32) -> Owner {
        let Agent { id: agent, account, account_slot, .. } = self.agents[slot as usize];
        Owner { agent, account, slots: Slots { agent: slot, account: account_slot } }
    }

    /// Returns the agent in a slot.
    pub(crate) fn at(&self, slot: u32) -> &Agent {
        &self.agents[slot as usize]
    }

    /// Returns the agent in a slot, for a change.
    pub(crate) fn at_mut(&mut self, slot: u32) -> &mut Agent {
        &mut self.agents[slot as usize]
    }

    /// Ends every session, and calls `lost` for the slots of the agents whose quotes go with
    /// it.
    pub(crate) fn end_sessions(&mut self, mut lost: impl FnMut(u32)) -> u32 {
        let mut ended = 0;
        for (slot, agent) in (0..).zip(&mut self.agents) {
            let Some(session) = agent.session.take() else { continue };
            ended += 1;
            if session.cancel_on_disconnect {
                lost(slot);
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
    pub(crate) fn list(&mut self, capability: Capability) {
        let (slot, listed) = (slot(self.capabilities.len()), capability.listed);
        self.capabilities.push(capability);
        self.capability_slots.insert(index::hash([listed.capability.raw()]), slot);
        self.names.insert(listed.name, slot);
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
    pub(crate) fn capability(&self, id: CapabilityId) -> Result<&Capability, RejectReason> {
        let slot = self.capability_slot(id).ok_or(RejectReason::UnknownCapability)?;
        Ok(&self.capabilities[slot as usize])
    }

    /// Returns a listed capability, for a change.
    ///
    /// # Errors
    ///
    /// [`RejectReason::UnknownCapability`].
    pub(crate) fn capability_mut(
        &mut self,
        id: CapabilityId,
    ) -> Result<&mut Capability, RejectReason> {
        let slot = self.capability_slot(id).ok_or(RejectReason::UnknownCapability)?;
        Ok(&mut self.capabilities[slot as usize])
    }

    fn capability_slot(&self, id: CapabilityId) -> Option<u32> {
        let is_it = |slot: u32| self.capabilities[slot as usize].listed.capability == id;
        self.capability_slots.find(index::hash([id.raw()]), is_it)
    }

    /// Returns the capabilities in the order of their listing.
    pub(crate) fn capabilities(&self) -> &[Capability] {
        &self.capabilities
    }

    /// Returns the capabilities in the order of their listing, for a change.
    pub(crate) fn capabilities_mut(&mut self) -> &mut [Capability] {
        &mut self.capabilities
    }
}

fn slot(index: usize) -> u32 {
    u32::try_from(index).expect("invariant: every table has fewer than 2^32 entries")
}
