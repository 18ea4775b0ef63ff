//! Offer envelopes: the signed bounds of standing quotes, one per agent and capability.

use alloc::vec::Vec;

use gavel_matcher::index::{self, Index};
use gavel_protocol::{AgentId, CapabilityId, OfferEnvelope, RejectReason};

use crate::limits::ENVELOPES_MAX;

/// The last envelope of each agent for each capability.
#[derive(Debug)]
pub(crate) struct Envelopes {
    signed: Vec<(AgentId, OfferEnvelope)>,
    places: Index,
}

impl Envelopes {
    /// Makes room for every envelope there may be.
    pub(crate) fn new() -> Self {
        Self {
            signed: Vec::with_capacity(ENVELOPES_MAX as usize),
            places: Index::new(ENVELOPES_MAX),
        }
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
        if let Some(place) = self.place(agent, envelope.capability) {
            self.signed[place as usize].1 = envelope;
            return Ok(());
        }
        if self.signed.len() >= ENVELOPES_MAX as usize {
            return Err(RejectReason::TableFull);
        }
        let place = u32::try_from(self.signed.len()).expect("fewer than ENVELOPES_MAX");
        self.places.insert(hash(agent, envelope.capability), place);
        self.signed.push((agent, envelope));
        Ok(())
    }

    /// Returns an agent's envelope for a capability.
    pub(crate) fn of(&self, agent: AgentId, capability: CapabilityId) -> Option<&OfferEnvelope> {
        if self.signed.is_empty() {
            return None;
        }
        self.place(agent, capability).map(|place| &self.signed[place as usize].1)
    }

    /// Returns every envelope, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AgentId, &OfferEnvelope)> {
        self.signed.iter().map(|(agent, envelope)| (*agent, envelope))
    }

    fn place(&self, agent: AgentId, capability: CapabilityId) -> Option<u32> {
        self.places.find(hash(agent, capability), |place| {
            let (signer, envelope) = &self.signed[place as usize];
            *signer == agent && envelope.capability == capability
        })
    }
}

fn hash(agent: AgentId, capability: CapabilityId) -> u64 {
    index::hash([agent.raw(), capability.raw()])
}
