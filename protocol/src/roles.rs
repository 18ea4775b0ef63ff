//! What an agent may do, and what is known to be true of it: sets of names.

use alloc::vec::Vec;

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

use crate::command::choice;

choice! {
    /// What an agent may be enrolled to do.
    pub enum Role {
        /// May open RFQs.
        Buyer,
        /// May quote.
        Provider,
        /// May enrol, list, deposit and halt.
        Operator,
        /// May propose allocations of bundles. Nobody of its account may trade.
        Solver,
    }

    /// What may be true of a provider, as the operator has found.
    pub enum Attribute {
        /// Data stays in the European Union.
        DataInEu,
        /// Data stays in the United States.
        DataInUs,
        /// Data stays in the United Kingdom.
        DataInUk,
        /// Data is deleted once the contract has ended.
        NoRetention,
        /// Data is not used for training.
        NoTraining,
        /// Data is encrypted wherever it is stored.
        EncryptedAtRest,
        /// Work runs in a sandbox without network.
        Isolated,
        /// A person reviews the work.
        HumanReview,
        /// Audited after SOC 2.
        Soc2,
        /// Certified after ISO 27001.
        Iso27001,
        /// May handle health data under HIPAA.
        Hipaa,
        /// May handle card data under PCI DSS.
        PciDss,
    }
}

/// A number of which some bit means no member of the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a set of which every member is known")]
struct UnknownBitsError;

/// A set of [`Role`]s. As JSON: a list of names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Archive, RkyvSerialize)]
#[rkyv(derive(Debug))]
pub struct Roles(u8);

impl Roles {
    /// Buyer and provider: an ordinary agent.
    pub const TRADER: Self = Self(0b011);
    /// The operator.
    pub const OPERATOR: Self = Self(0b100);

    /// A solver from outside.
    pub const SOLVER: Self = Self(0b1000);

    const fn bit(role: Role) -> u8 {
        match role {
            Role::Buyer => 0b001,
            Role::Provider => 0b010,
            Role::Operator => 0b100,
            Role::Solver => 0b1000,
        }
    }

    /// Returns this set with `role`.
    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        Self(self.0 | Self::bit(role))
    }

    /// Returns whether `role` is in the set.
    pub const fn has(self, role: Role) -> bool {
        self.0 & Self::bit(role) != 0
    }

    fn iter(self) -> impl Iterator<Item = Role> {
        let roles = [Role::Buyer, Role::Provider, Role::Operator, Role::Solver];
        roles.into_iter().filter(move |r| self.has(*r))
    }
}

// Written by hand because not every byte is a set of roles.
impl<D> RkyvDeserialize<Roles, D> for ArchivedRoles
where
    D: rkyv::rancor::Fallible + ?Sized,
    D::Error: rkyv::rancor::Source,
{
    fn deserialize(&self, _: &mut D) -> Result<Roles, D::Error> {
        let roles = Roles(self.0);
        if roles.iter().fold(Roles::default(), Roles::with) == roles {
            return Ok(roles);
        }
        rkyv::rancor::fail!(UnknownBitsError)
    }
}

impl Serialize for Roles {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let roles = Vec::<Role>::deserialize(deserializer)?;
        Ok(roles.into_iter().fold(Self::default(), Self::with))
    }
}

impl Attribute {
    /// Every attribute.
    pub const ALL: [Self; 12] = [
        Self::DataInEu,
        Self::DataInUs,
        Self::DataInUk,
        Self::NoRetention,
        Self::NoTraining,
        Self::EncryptedAtRest,
        Self::Isolated,
        Self::HumanReview,
        Self::Soc2,
        Self::Iso27001,
        Self::Hipaa,
        Self::PciDss,
    ];
}

/// A set of [`Attribute`]s. As JSON: a list of names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Archive, RkyvSerialize)]
#[rkyv(derive(Debug))]
pub struct Attributes(u32);

impl Attributes {
    /// Returns this set with `attribute`.
    #[must_use]
    pub const fn with(self, attribute: Attribute) -> Self {
        Self(self.0 | 1 << attribute as u32)
    }

    /// Returns the set as bits: attribute number n, counted from 0, is bit n.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Returns whether everything in `required` is in this set.
    pub const fn has_all(self, required: Self) -> bool {
        self.0 & required.0 == required.0
    }

    fn iter(self) -> impl Iterator<Item = Attribute> {
        let one = |attribute| Self::default().with(attribute);
        Attribute::ALL.into_iter().filter(move |attribute| self.has_all(one(*attribute)))
    }
}

impl FromIterator<Attribute> for Attributes {
    fn from_iter<I: IntoIterator<Item = Attribute>>(attributes: I) -> Self {
        attributes.into_iter().fold(Self::default(), Self::with)
    }
}

// Written by hand because not every number is a set of attributes.
impl<D> RkyvDeserialize<Attributes, D> for ArchivedAttributes
where
    D: rkyv::rancor::Fallible + ?Sized,
    D::Error: rkyv::rancor::Source,
{
    fn deserialize(&self, _: &mut D) -> Result<Attributes, D::Error> {
        let attributes = Attributes(self.0.to_native());
        if attributes.iter().collect::<Attributes>() == attributes {
            return Ok(attributes);
        }
        rkyv::rancor::fail!(UnknownBitsError)
    }
}

impl Serialize for Attributes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Attribute>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use rkyv::rancor::Failure;

    use super::*;

    #[test]
    fn an_archive_holds_known_roles_and_attributes_only() {
        for bit in 0..8 {
            let bytes = rkyv::to_bytes::<Failure>(&Roles(1 << bit)).unwrap();
            assert_eq!(rkyv::from_bytes::<Roles, Failure>(&bytes).is_ok(), bit < 4, "{bit}");
        }
        for bit in 0..32_usize {
            let bytes = rkyv::to_bytes::<Failure>(&Attributes(1 << bit)).unwrap();
            let known = bit < Attribute::ALL.len();
            assert_eq!(rkyv::from_bytes::<Attributes, Failure>(&bytes).is_ok(), known, "{bit}");
        }
    }
}
