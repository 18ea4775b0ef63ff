//! Who and what is known, sessions, time, and what is said of a command itself.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::command::{QuoteKind, choice};
use crate::ids::{AccountId, AgentId, CapabilityId, ClientId, Digest, PublicKey, SessionId};
use crate::money::{Currency, Micros};
use crate::name::Name;
use crate::reason::RejectReason;
use crate::roles::{Attributes, Roles};
use crate::terms::{PriceBand, Settings};
use crate::time::{DurationNs, TimestampNs};

happened! {
    /// The exchange was founded.
    pub struct Founded {
        /// Its public name.
        pub name: Name,
        /// The account that collects the fees.
        pub fees: AccountId,
        /// The first operator's account.
        pub operator_account: AccountId,
        /// The first operator.
        pub operator: AgentId,
        /// The operator's key.
        pub operator_key: PublicKey,
        /// What is charged.
        pub settings: Settings,
    }

    /// An account was enrolled.
    pub struct AccountEnrolled {
        /// Its id.
        pub account: AccountId,
        /// The most that one of its transactions may cost.
        pub transaction_max: Micros,
    }

    /// An agent was enrolled.
    pub struct AgentEnrolled {
        /// Its id.
        pub agent: AgentId,
        /// The account it acts for.
        pub account: AccountId,
        /// Its key.
        pub key: PublicKey,
        /// What it may do.
        pub roles: Roles,
        /// What is known to be true of it.
        pub attributes: Attributes,
    }

    /// What takes no new business.
    pub struct Halted {
        /// Which capability; without one, the whole exchange.
        pub capability: Option<CapabilityId>,
    }

    /// What takes new business again.
    pub struct Reopened {
        /// Which capability; without one, the whole exchange.
        pub capability: Option<CapabilityId>,
    }

    /// The band that prices of a capability must lie in was set.
    pub struct PriceBandSet {
        /// Which capability.
        pub capability: CapabilityId,
        /// The band; without one, any price will do.
        pub band: Option<PriceBand>,
    }

    /// A capability was listed.
    pub struct CapabilityListed {
        /// Its id.
        pub capability: CapabilityId,
        /// Its public name.
        pub name: Name,
        /// What it is traded in.
        pub currency: Currency,
        /// The terms of its standing quotes.
        pub terms: Digest,
    }

    /// A deposit was credited.
    pub struct Deposited {
        /// Whose money.
        pub account: AccountId,
        /// How much.
        pub amount: Micros,
        /// In what.
        pub currency: Currency,
    }

    /// A session was opened or resumed.
    pub struct LoggedOn {
        /// Whose session.
        pub agent: AgentId,
        /// Which session.
        pub session: SessionId,
        /// Whether it existed before.
        pub resumed: bool,
    }

    /// A session ended.
    pub struct SessionEnded {
        /// Whose session.
        pub agent: AgentId,
        /// Which session.
        pub session: SessionId,
        /// Whether its quotes are being canceled.
        pub cancels_quotes: bool,
    }

    /// An agent's quotes are being canceled.
    pub struct MassCanceled {
        /// Whose.
        pub agent: AgentId,
        /// Which.
        pub what: QuoteKind,
    }

    /// A cancel was kept for a command that has not come yet.
    pub struct CancelKept {
        /// Whose cancel.
        pub agent: AgentId,
        /// The client id that will be rejected.
        pub target: ClientId,
    }

    /// An agent's reputation changed.
    pub struct ReputationChanged {
        /// Whose.
        pub agent: AgentId,
        /// From so many basis points.
        pub from_bps: u16,
        /// To so many basis points.
        pub to_bps: u16,
        /// Because of what.
        pub cause: ReputationCause,
    }

    /// A provider is kept out.
    pub struct ProviderSuspended {
        /// Who.
        pub provider: AgentId,
        /// How long.
        pub until: TimestampNs,
        /// How many times it has failed, less those that were forgiven.
        pub fades: u8,
    }

    /// The command was rejected.
    pub struct Rejected {
        /// Why.
        pub reason: RejectReason,
    }

    /// The command repeats an earlier one.
    pub struct Repeated {
        /// When the earlier one took effect.
        pub ts_event: TimestampNs,
        /// Its outcome.
        pub outcome: Outcome,
    }

    /// Sequenced time advanced.
    pub struct TimeAdvanced {
        /// Deadlines that took effect in this step.
        pub fired: u32,
        /// Quotes that were canceled in this step, because their session ended or their agent asked.
        pub swept: u32,
        /// Dutch RFQs that were looked at in this step, because a halt ended.
        pub restarted: u32,
    }

    /// The exchange continues.
    pub struct Resumed {
        /// Every deadline moved by this much.
        pub gap: DurationNs,
        /// Sessions that counted as lost.
        pub sessions_lost: u32,
    }

    /// The exchange goes on under other rules.
    pub struct Upgraded {
        /// The rules from here on.
        pub rules_version: u32,
    }
}

choice! {
    /// Why a reputation changed.
    pub enum ReputationCause {
        /// Work was delivered, within the quoted latency, and paid.
        Settled,
        /// Work was delivered later than was quoted.
        Late,
        /// Work was not started or not delivered.
        Failed,
    }
}
