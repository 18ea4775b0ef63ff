//! What the edge knows by heart: the exchange's name, which agent a key belongs to, and what is
//! traded. Built from the events alone, or from what was saved of them.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use gavel_protocol::{
    AccountId, AgentEnrolled, AgentId, CapabilityId, CapabilityList, CapabilityListed, Founded,
    Name, PublicKey, Roles,
};
use rkyv::{Archive, Deserialize, Serialize};
use rustc_hash::FxBuildHasher;

use crate::limits::CAPABILITIES_PER_PAGE;

/// An enrolled agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(crate) struct Member {
    pub agent: AgentId,
    pub account: AccountId,
    pub roles: Roles,
}

/// The enrolled agents and the listed capabilities.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    entries: RwLock<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    exchange: Option<Name>,
    // Keys are chosen outside: hashed with a seed, so that nobody can choose colliding ones.
    members: HashMap<PublicKey, Member>,
    capabilities: Vec<CapabilityListed>,
    places: HashMap<CapabilityId, usize, FxBuildHasher>,
}

/// The directory as it is saved: members by key, capabilities in the order of their listing.
#[derive(Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(crate) struct SavedDirectory {
    exchange: Option<Name>,
    members: Vec<(PublicKey, Member)>,
    capabilities: Vec<CapabilityListed>,
}

impl Directory {
    /// Returns everything in it.
    pub fn saved(&self) -> SavedDirectory {
        self.read(|entries| {
            let members = entries.members.iter().map(|(key, member)| (*key, *member));
            let mut members: Vec<_> = members.collect();
            members.sort_unstable_by_key(|(key, _)| *key.as_bytes());
            let capabilities = entries.capabilities.clone();
            SavedDirectory { exchange: entries.exchange, members, capabilities }
        })
    }

    /// Puts in it what was saved, in place of what it has.
    pub fn restore(&self, saved: SavedDirectory) {
        let SavedDirectory { exchange, members, capabilities } = saved;
        let places = capabilities.iter().zip(0..).map(|(listed, place)| (listed.capability, place));
        let places = places.collect();
        let members = members.into_iter().collect();
        self.write(|entries| *entries = Entries { exchange, members, capabilities, places });
    }

    pub fn founded(&self, founded: &Founded) {
        let member = Member {
            agent: founded.operator,
            account: founded.operator_account,
            roles: Roles::OPERATOR,
        };
        self.write(|entries| {
            entries.exchange = Some(founded.name);
            entries.members.insert(founded.operator_key, member);
        });
    }

    pub fn enrolled(&self, enrolled: &AgentEnrolled) {
        let AgentEnrolled { agent, account, key, roles, attributes: _ } = *enrolled;
        self.write(|entries| entries.members.insert(key, Member { agent, account, roles }));
    }

    pub fn listed(&self, listed: &CapabilityListed) {
        self.write(|entries| {
            entries.places.insert(listed.capability, entries.capabilities.len());
            entries.capabilities.push(*listed);
        });
    }

    /// Returns the exchange's name, once it is founded.
    pub fn exchange(&self) -> Option<Name> {
        self.read(|entries| entries.exchange)
    }

    /// Returns the agent that a key belongs to.
    pub fn member(&self, key: &PublicKey) -> Option<Member> {
        self.read(|entries| entries.members.get(key).copied())
    }

    /// Returns whether a capability is listed.
    pub fn is_listed(&self, capability: CapabilityId) -> bool {
        self.read(|entries| entries.places.contains_key(&capability))
    }

    /// Returns a page of capabilities: those listed after `after`, or from the first. `None` if
    /// `after` is not listed.
    pub fn page(&self, after: Option<CapabilityId>) -> Option<CapabilityList> {
        self.read(|entries| {
            let start = match after {
                None => 0,
                Some(after) => entries.places.get(&after)? + 1,
            };
            let rest = &entries.capabilities[start..];
            let page = &rest[..rest.len().min(CAPABILITIES_PER_PAGE)];
            Some(CapabilityList { capabilities: page.to_vec(), more: page.len() < rest.len() })
        })
    }

    fn read<R>(&self, read: impl FnOnce(&Entries) -> R) -> R {
        read(&self.entries.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<R>(&self, write: impl FnOnce(&mut Entries) -> R) -> R {
        write(&mut self.entries.write().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use gavel_protocol::Digest;

    use super::*;

    #[test]
    fn capabilities_come_in_pages_in_the_order_of_their_listing() {
        let directory = Directory::default();
        let id = |n: usize| CapabilityId::new(1_000_000 - n as u64);
        for n in 0..CAPABILITIES_PER_PAGE + 2 {
            directory.listed(&CapabilityListed {
                capability: id(n),
                name: format!("c{n}").parse().unwrap(),
                currency: "USD".parse().unwrap(),
                terms: Digest::new([0; 32]),
            });
        }
        let first = directory.page(None).unwrap();
        assert_eq!(first.capabilities.len(), CAPABILITIES_PER_PAGE);
        assert!(first.more);
        let rest = directory.page(Some(id(CAPABILITIES_PER_PAGE - 1))).unwrap();
        let ids: Vec<_> = rest.capabilities.iter().map(|entry| entry.capability).collect();
        assert_eq!(ids, [id(CAPABILITIES_PER_PAGE), id(CAPABILITIES_PER_PAGE + 1)]);
        assert!(!rest.more);
        assert_eq!(directory.page(Some(CapabilityId::new(7))), None);
    }
}
