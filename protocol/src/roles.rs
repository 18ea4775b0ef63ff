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

/// A set of [`Role`]s. As JSON: a list of names.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Archive, RkyvSerialize, RkyvDeserialize,
)]
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
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Archive, RkyvSerialize, RkyvDeserialize,
)]
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
