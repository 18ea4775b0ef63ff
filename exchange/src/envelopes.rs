//! Offer envelopes: the signed bounds of standing quotes, one per agent and capability.

use gavel_protocol::{AgentId, CapabilityId, OfferEnvelope, RejectReason};
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::limits::ENVELOPES_MAX;

/// The last envelope of each agent for each capability.
#[derive(Debug)]
pub(crate) struct Envelopes {
    signed: HashMap<(AgentId, CapabilityId), OfferEnvelope, FxBuildHasher>,
}

impl Envelopes {
    /// Makes room for every envelope there may be. A map gets twice its number of entries: it never
    /// grows by rehashing below half its capacity.
    pub(crate) fn new() -> Self {
        let entries = 2 * ENVELOPES_MAX as usize;
        Self { signed: HashMap::with_capacity_and_hasher(entries, FxBuildHasher) }
    }

    /// Keeps an envelope, in place of the one before it.
    ///
    /// # Errors
    ///
    /// [`RejectReason::TableFull`].
    pub(crate) fn sign(
        &mut self,
        agent: AgentId,
        envelope: OfferEnvelope,
    ) -> Result<(), RejectReason> {
        let key = (agent, envelope.capability);
        if self.signed.len() >= ENVELOPES_MAX as usize && !self.signed.contains_key(&key) {
            return Err(RejectReason::TableFull);
        }
        self.signed.insert(key, envelope);
        Ok(())
    }

    /// Returns an agent's envelope for a capability.
    pub(crate) fn of(&self, agent: AgentId, capability: CapabilityId) -> Option<&OfferEnvelope> {
        if self.signed.is_empty() {
            return None;
        }
        self.signed.get(&(agent, capability))
    }

    /// Returns every envelope, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AgentId, &OfferEnvelope)> {
        self.signed.iter().map(|((agent, _), envelope)| (*agent, envelope))
    }
}
