//! Invitations: who may answer an RFQ that is not open to all, and who has.

use alloc::vec::Vec;

use gavel_protocol::AgentId;
use slab::Slab;

use crate::chain::{Chain, Links};
use crate::limits::INVITATIONS_MAX;

/// The invitations to all open RFQs, a chain for each.
#[derive(Debug)]
pub struct Invitations {
    all: Slab<Invitation>,
}

#[derive(Clone, Copy, Debug)]
struct Invitation {
    provider: AgentId,
    answered: bool,
    links: Links,
}

impl Invitations {
    /// Makes room for every invitation there may be.
    pub(crate) fn new() -> Self {
        Self { all: Slab::with_capacity(INVITATIONS_MAX) }
    }

    pub(crate) fn add(&mut self, chain: &mut Chain, provider: AgentId) {
        let slot =
            self.all.insert(Invitation { provider, answered: false, links: Links::default() });
        let slot = u32::try_from(slot).expect("fewer than INVITATIONS_MAX");
        chain.push(&mut self.all, slot, links);
    }

    pub(crate) fn forget(&mut self, chain: Chain) {
        let mut next = chain.first();
        while let Some(slot) = next {
            next = self.all.remove(slot as usize).links.after();
        }
    }

    /// Returns whether the provider is among those of `rfq`.
    pub fn invites(&self, rfq: &crate::Rfq, provider: AgentId) -> bool {
        self.of(rfq).any(|(invited, _)| invited == provider)
    }

    /// Notes whether an invited provider has answered. Returns whether everybody has.
    pub fn set_answered(&mut self, rfq: &crate::Rfq, provider: AgentId, answered: bool) -> bool {
        let mut next = rfq.invitations.first();
        let mut all_answered = true;
        while let Some(slot) = next {
            let invitation = &mut self.all[slot as usize];
            if invitation.provider == provider {
                invitation.answered = answered;
            }
            all_answered &= invitation.answered;
            next = invitation.links.after();
        }
        all_answered
    }

    /// Returns who is invited to an RFQ, and whether they have answered, in the order of invitation.
    pub fn of(&self, rfq: &crate::Rfq) -> impl Iterator<Item = (AgentId, bool)> {
        let mut next = rfq.invitations.first();
        core::iter::from_fn(move || {
            let invitation = &self.all[next? as usize];
            next = invitation.links.after();
            Some((invitation.provider, invitation.answered))
        })
    }

    /// Returns who is invited to an RFQ, in the order of invitation.
    pub fn list(&self, rfq: &crate::Rfq) -> Vec<AgentId> {
        self.of(rfq).map(|(provider, _)| provider).collect()
    }
}

fn links(all: &mut Slab<Invitation>, slot: u32) -> &mut Links {
    &mut all[slot as usize].links
}
